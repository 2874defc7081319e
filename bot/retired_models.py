"""Models that OpenAI has switched off or announced to, when, and what stands in their place.

The names and dates are those of openai/types/shared/chat_model.py ("Deprecated values"), which points to
https://developers.openai.com/api/docs/deprecations.
"""

import re
from dataclasses import dataclass
from datetime import date

_LUNA, _TERRA, _SOL = "gpt-6-luna", "gpt-6.1-terra", "gpt-6.2-sol"

#: A day, what stands in the place of the models that end on it, and their names.
_ENDS = (
    ("2024-09-13", _LUNA, "gpt-3.5-turbo-16k gpt-3.5-turbo-16k-0613 gpt-3.5-turbo-0301 gpt-3.5-turbo-0613"),
    ("2024-12-06", _TERRA, "gpt-4-vision-preview"),
    ("2025-06-06", _TERRA, "gpt-4-32k gpt-4-32k-0314 gpt-4-32k-0613"),
    ("2025-07-28", _SOL, "o1-preview o1-preview-2024-09-12"),
    ("2025-10-10", _LUNA, "gpt-4o-audio-preview-2024-10-01"),
    ("2025-10-27", _TERRA, "o1-mini o1-mini-2024-09-12"),
    ("2026-02-12", _TERRA, "codex-mini-latest"),
    ("2026-02-17", _LUNA, "chatgpt-4o-latest"),
    ("2026-03-26", _TERRA, "gpt-4-0125-preview gpt-4-turbo-preview gpt-4-0314"),
    (
        "2026-05-07",
        _LUNA,
        "gpt-4o-audio-preview gpt-4o-audio-preview-2024-12-17 gpt-4o-audio-preview-2025-06-03 "
        "gpt-4o-mini-audio-preview gpt-4o-mini-audio-preview-2024-12-17",
    ),
    (
        "2026-07-23",
        _LUNA,
        "gpt-4o-search-preview gpt-4o-search-preview-2025-03-11 gpt-4o-mini-search-preview "
        "gpt-4o-mini-search-preview-2025-03-11",
    ),
    ("2026-07-23", _TERRA, "gpt-5-chat-latest gpt-5.1-chat-latest gpt-5.1-codex"),
    ("2026-08-10", _TERRA, "gpt-5.2-chat-latest gpt-5.3-chat-latest"),
    ("2026-09-28", _LUNA, "gpt-3.5-turbo-1106"),
    (
        "2026-10-23",
        _LUNA,
        "gpt-3.5-turbo gpt-3.5-turbo-0125 gpt-4.1-nano gpt-4.1-nano-2025-04-14 gpt-4o-2024-05-13",
    ),
    (
        "2026-10-23",
        _TERRA,
        "gpt-4 gpt-4-0613 gpt-4-1106-preview gpt-4-turbo gpt-4-turbo-2024-04-09 o3-mini o3-mini-2025-01-31 o4-mini "
        "o4-mini-2025-04-16",
    ),
    ("2026-10-23", _SOL, "o1 o1-2024-12-17"),
    ("2026-12-11", _TERRA, "gpt-5 gpt-5-2025-08-07 gpt-5-mini gpt-5-mini-2025-08-07"),
    ("2026-12-11", _LUNA, "gpt-5-nano gpt-5-nano-2025-08-07"),
    ("2026-12-11", _SOL, "o3 o3-2025-04-16"),
    (
        "2027-01-14",
        _LUNA,
        "gpt-4.1 gpt-4.1-2025-04-14 gpt-4.1-mini gpt-4.1-mini-2025-04-14 gpt-4o gpt-4o-2024-08-06 gpt-4o-2024-11-20 "
        "gpt-4o-mini gpt-4o-mini-2024-07-18",
    ),
    ("2027-01-20", _LUNA, "gpt-audio-mini gpt-audio-mini-2025-12-15"),
    ("2027-04-01", _TERRA, "gpt-5.1 gpt-5.1-2025-11-13"),
    ("2027-04-01", _LUNA, "gpt-5.4-nano gpt-5.4-nano-2026-03-17"),
)

#: Models that there were, of which no day is known but their family's (openai/types/shared/responses_model.py has
#: most). What only begins with the name of a model is none of OpenAI's: a deployment or a model of somebody's own.
_RELATIVES = {
    "gpt-3.5-turbo": "gpt-3.5-turbo-instruct",
    "gpt-4": "gpt-4-1106-vision-preview",
    "gpt-5": "gpt-5-codex gpt-5-pro gpt-5-search-api",
    "gpt-5.1": "gpt-5.1-mini gpt-5.1-codex-mini gpt-5.1-codex-max",
    "o1": "o1-pro",
    "o3": "o3-pro o3-deep-research",
    "o4-mini": "o4-mini-deep-research",
}
#: A snapshot's name ends in its day: -0613, -2024-08-06.
_SNAPSHOT = re.compile(r"-(\d{4}-)?(0[1-9]|1[0-2])-?([0-2]\d|3[01])$")


@dataclass(frozen=True, slots=True)
class Retirement:
    """When a model ends at OpenAI and what stands in its place. `of_family`: it may have ended earlier."""

    ends: str
    successor: str
    of_family: bool = False

    @property
    def until(self) -> str:
        return f"{self.ends} at the latest" if self.of_family else self.ends

    def is_over(self, today: date) -> bool:
        return date.fromisoformat(self.ends) <= today


_KNOWN = {name: Retirement(ends, successor) for ends, successor, names in _ENDS for name in names.split()}
_FAMILIES = {name: name for name in _KNOWN} | {
    name: family for family, names in _RELATIVES.items() for name in names.split()
}


def retirement(model: str) -> Retirement | None:
    """What is known of a model's end; None where it stays, or is none of OpenAI's."""
    if model in _KNOWN:
        return _KNOWN[model]
    family = _FAMILIES.get(model) or _FAMILIES.get(_SNAPSHOT.sub("", model))
    return Retirement(_KNOWN[family].ends, _KNOWN[family].successor, of_family=True) if family else None


def may_refuse_sampling(model: str) -> bool:
    """Whether a model reasons, and so may refuse a request that sets temperature or top_p: the o-series, and GPT from
    the fifth on."""
    return re.match(r"(ft:)?(o[1-9]|gpt-([5-9]|[1-9]\d))(?![a-z0-9])", model) is not None
