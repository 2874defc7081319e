"""A conversation that Bobbin keeps, as exchanges: what was asked, what tools said, and the answer, together.

Items are kept in a form of Bobbin's own, which does not change with what servers take: `input.py` makes the wire's of
it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.backends.failures import OUTCOME_UNKNOWN
from bot.backends.limits import CHARACTERS_PER_TOKEN
from bot.backends.local.room import fair_share, tokens_of
from bot.backends.transcript import joined
from bot.engine.ports import ToolCall, ToolOutput

#: What Bobbin notes of an item begins so. No server sees it.
OURS = "bobbin_"
#: Marks an answer that was cut off.
_CUT = f"{OURS}cut"
_SHORTENED = "\n… cut: it was too long to read."

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Exchange:
    """`items` oldest first."""

    items: tuple[Item, ...]

    @property
    def tokens(self) -> int:
        """About how many the model reads."""
        return sum(map(tokens_of, self.items))


def answer(text: str, *, cut: bool = False) -> dict[str, Any]:
    """What the assistant said, as an item; `cut` where the server ended it too early."""
    return {"role": "assistant", "content": text, **({_CUT: True} if cut else {})}


def call_of(call: ToolCall) -> dict[str, Any]:
    """What the assistant wants to know, as an item."""
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}


def outputs_of(calls: Iterable[ToolCall], outputs: Sequence[ToolOutput]) -> list[dict[str, Any]]:
    """What calls came to, as items: each has to be answered, or every later request fails."""
    known = {output.call: f"Error: {output.text}" if output.failed else output.text for output in outputs}
    return [
        {"type": "function_call_output", "call_id": call.id, "output": known.get(call.id, OUTCOME_UNKNOWN)}
        for call in calls
    ]


def is_open(exchange: Exchange) -> bool:
    """Whether it has no answer yet: the last thing said is not the assistant's."""
    return not exchange.items or exchange.items[-1].get("role") != "assistant"


def asks_already(exchanges: Sequence[Exchange], asked: Sequence[Item]) -> bool:
    """Whether a conversation ends with this having been asked, and not answered, or not whole: by a run that is
    retried. What its tools came to is still known then."""
    *_, last = _with_retries(exchanges) or [Exchange(())]
    unanswered = is_open(last) or bool(last.items[-1].get(_CUT))
    return bool(last.items) and unanswered and list(last.items[: len(asked)]) == list(asked)


def calls_of(exchange: Exchange) -> tuple[ToolCall, ...]:
    """The calls that nobody answered yet."""
    answered = {item["call_id"] for item in exchange.items if item.get("type") == "function_call_output"}
    return tuple(
        ToolCall(item["call_id"], item["name"], item["arguments"])
        for item in exchange.items
        if item.get("type") == "function_call" and item["call_id"] not in answered
    )


def said_in(exchange: Exchange) -> str:
    """All that the assistant said in it."""
    return joined([str(item["content"]) for item in exchange.items if item.get("role") == "assistant"])


def trimmed(exchanges: Sequence[Exchange], tokens: int) -> list[Item] | None:
    """The items of the latest exchanges that fit into so many tokens, whole ones only, and always the last; None where
    that alone does not fit. What tools said is shortened before an exchange is left out. An answer at the end that was
    cut off is left out: its question is asked again."""
    kept: list[Exchange] = []
    for exchange in reversed(_with_retries(exchanges)):
        fitting = _shortened(exchange, tokens)
        if fitting is None:
            break
        tokens -= fitting.tokens
        kept.insert(0, fitting)
    if exchanges and not kept:
        return None
    items = [item for exchange in kept for item in exchange.items]
    if items and items[-1].get(_CUT):
        items.pop()
    return items


def _with_retries(exchanges: Sequence[Exchange]) -> list[Exchange]:
    """A run that was retried, and the run that retried it, are one exchange: only the first holds the question."""
    whole: list[Exchange] = []
    for exchange in exchanges:
        if whole and exchange.items and exchange.items[0].get("role") != "user":
            whole[-1] = Exchange(whole[-1].items + exchange.items)
        else:
            whole.append(exchange)
    return whole


def _shortened(exchange: Exchange, tokens: int) -> Exchange | None:
    """An exchange that fits, with the long ones of what tools said cut short; None where that is not enough."""
    if exchange.tokens <= tokens:
        return exchange
    sizes = [len(item["output"]) for item in exchange.items if "output" in item]
    rest = Exchange(tuple({**item, "output": ""} if "output" in item else item for item in exchange.items))
    # A token of each is lost to rounding.
    share = fair_share(sizes, (tokens - rest.tokens - len(sizes)) * CHARACTERS_PER_TOKEN)
    fitting = Exchange(tuple(_cut(item, share) for item in exchange.items))
    return fitting if fitting.tokens <= tokens else None


def _cut(item: Item, longest: int) -> Item:
    if len(item.get("output", "")) <= longest:
        return item
    return {**item, "output": item["output"][: max(longest - len(_SHORTENED), 0)] + _SHORTENED}
