"""One file an API; each turns its wire into run events."""

import openai

from bot.backends.assistants import AssistantsBackend
from bot.backends.responses import ResponsesBackend
from bot.engine.ports import Backend
from bot.errors import SettingsError

#: Seconds to connect, and without a byte while an answer is made.
_CONNECT, _SILENCE = 5.0, 600.0


_KINDS: dict[str, type[AssistantsBackend | ResponsesBackend]] = {
    "assistants": AssistantsBackend,
    "responses": ResponsesBackend,
}


def connect(name: str, api_key: str, base_url: str | None) -> Backend:
    """The backend with this name, on one HTTP session. Raises SettingsError for a name that there is not."""
    if name not in _KINDS:
        raise SettingsError(f"BOBBIN_BACKEND is wrong: there is no {name}; there are {', '.join(_KINDS)}.")
    client = openai.AsyncOpenAI(
        api_key=api_key,
        base_url=base_url,
        # It would repeat writes without an idempotency key; `retries.py` knows which may be.
        max_retries=0,
        timeout=openai.Timeout(_SILENCE, connect=_CONNECT),
    )
    return _KINDS[name](client)
