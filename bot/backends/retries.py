"""When a call to a backend may be made again, and how long to wait.

The SDK's own retries are off (`max_retries=0`): it sends no idempotency key, so it would repeat a write that may
have been carried out (https://github.com/openai/openai-python, _base_client.py).
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import httpx2
import openai
import structlog

_log = structlog.get_logger()
T = TypeVar("T")

#: The connection was never made, so nothing was carried out.
_NEVER_REACHED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_QUOTA = "insufficient_quota"
#: Seconds between two looks at the least, whatever a server allows: it counts them against its rate limits.
_SOONEST = 0.1


#: Seconds for what can be done without: a model for which another stands in, a file beside an answer.
_HASTE = 5.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on trying, all in seconds: altogether, the first pause, and the longest."""

    total: float = 60.0
    first: float = 0.5
    longest: float = 8.0

    @property
    def in_haste(self) -> "Patience":
        """For what can be done without."""
        return replace(self, total=min(self.total, _HASTE))


#: For a lock that somebody else holds: often it is free again within a second
#: (https://openai.github.io/openai-agents-python/running_agents, conversation_locked).
LOCK_PATIENCE = Patience(first=0.25, longest=4.0)


class Attempts:
    """Counts the pauses of one call that is tried until it goes through or patience ends."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._pause = patience.first
        self._until = asyncio.get_running_loop().time() + patience.total

    async def pause(self, at_least: float = 0.0) -> bool:
        """Wait before the next try; `at_least` is what the server asked for. False, at once: patience has ended."""
        seconds = max(at_least, self._pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
        if asyncio.get_running_loop().time() + seconds > self._until:
            return False
        await asyncio.sleep(seconds)
        self._pause = min(self._pause * 2, self._patience.longest)
        return True


async def patiently(
    call: Callable[[], Awaitable[T]],
    patience: Patience,
    *,
    repeatable: bool = False,
    done: Callable[[], Awaitable[T | None]] | None = None,
) -> T:
    """Make a call until it goes through.

    A refusal for now and a connection that was never made are tried again. After a failure on the way the call may
    have been carried out: it is made again only if it is `repeatable`, or if `done`, asked first, finds no trace of
    it; what `done` finds is the result. Raises the SDK's last error.
    """
    attempts = Attempts(patience)
    while True:
        try:
            return await call()
        except openai.APIError as error:
            unclear = failed_on_the_way(error) and not repeatable
            if not (refused_for_now(error) or failed_on_the_way(error)) or (unclear and done is None):
                raise
            _log.info("backend-call-failed", error=type(error).__name__, code=error.code, unclear=unclear)
            patient = await attempts.pause(retry_after(error))
            found = await done() if unclear and done else None
            if found is not None:
                return found
            if not patient:
                raise


def refused_for_now(error: openai.APIError) -> bool:
    """Nothing was carried out, and later it may be."""
    if isinstance(error, openai.APIConnectionError):
        return isinstance(error.__cause__, _NEVER_REACHED)
    if isinstance(error, openai.RateLimitError):
        return error.code != _QUOTA
    # A server that says when to come again has not begun; any other 503 may come from a proxy behind which it has.
    return isinstance(error, openai.APIStatusError) and error.status_code == 503 and retry_after(error) > 0


def failed_on_the_way(error: openai.APIError) -> bool:
    """The server may have carried it out, or not."""
    if refused_for_now(error):
        return False
    if isinstance(error, openai.APIConnectionError):
        return True
    return isinstance(error, openai.APIStatusError) and (error.status_code >= 500 or error.status_code in (408, 409))


def retry_after(error: openai.APIError) -> float:
    """Seconds that the server asks to wait; 0 where it does not say."""
    if not isinstance(error, openai.APIStatusError):
        return 0.0
    headers = error.response.headers
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(float(headers[name]) / unit, 0.0)
        except (KeyError, ValueError):
            continue
    return 0.0


def poll_after(headers: Mapping[str, str], default: float) -> float:
    """Seconds until the next look at a run: what the server asks for, the default where it says nothing, or
    nonsense."""
    try:
        seconds = float(headers["openai-poll-after-ms"]) / 1000
    except (KeyError, ValueError):
        return default
    return max(seconds, _SOONEST) if math.isfinite(seconds) and seconds >= 0 else default
