"""One package of adapters; each turns its API's wire into run events."""

from collections.abc import Mapping

import openai

from bot.backends.agents.backend import AgentsBackend
from bot.backends.assistants.backend import AssistantsBackend
from bot.backends.local.backend import LocalBackend
from bot.backends.local.conversation import Histories
from bot.backends.responses.backend import ResponsesBackend
from bot.engine.ports import Ability, Backend
from bot.errors import SettingsError

#: What each backend can carry, by its name.
ABILITIES: Mapping[str, frozenset[Ability]] = {
    each.name: each.abilities for each in (AgentsBackend, AssistantsBackend, LocalBackend, ResponsesBackend)
}
#: Seconds to connect, and without a byte of an answer; streams have their own.
_TIMEOUT = openai.Timeout(30.0, connect=5.0)


def connect(
    name: str,
    api_key: str,
    base_url: str | None,
    *,
    histories: Histories,
    background: bool = False,
    context_tokens: int = 32_000,
) -> Backend:
    """The backend with this name, on one HTTP session. `background` is for Responses, `histories` for
    local servers and agents, `context_tokens` for local servers (see there).

    Raises SettingsError for a name that there is not.
    """
    match name:
        case AgentsBackend.name:
            return AgentsBackend(_client(api_key, base_url), histories)
        case AssistantsBackend.name:
            return AssistantsBackend(_client(api_key, base_url))
        case ResponsesBackend.name:
            return ResponsesBackend(_client(api_key, base_url), background=background)
        case LocalBackend.name:
            return LocalBackend(_client(api_key, base_url), histories, context_tokens=context_tokens)
    names = f"{AssistantsBackend.name}, {ResponsesBackend.name}, {LocalBackend.name}, {AgentsBackend.name}"
    raise SettingsError(f"BOBBIN_BACKEND is wrong: there is no {name}; there are {names}.")


def _client(api_key: str, base_url: str | None) -> openai.AsyncOpenAI:
    # The SDK would repeat writes without an idempotency key; `retries.py` knows which may be.
    return openai.AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0, timeout=_TIMEOUT)
