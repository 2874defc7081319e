"""A thread on an Assistants server is locked while a run is going; only the refusal's sentence says which.

https://platform.openai.com/docs/assistants/deep-dive#thread-locks
"""

import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import openai
import structlog

from bot.backends.retries import Attempts, Patience, patiently
from bot.engine.ports import RunStatus
from bot.errors import ThreadLocked

_log = structlog.get_logger()
T = TypeVar("T")

#: "Can't add messages to thread_… while a run run_… is active.", "Thread thread_… already has an active run run_…."
#: Servers have ids of their own kinds, and some name none.
_LOCKED = re.compile(r"while a run (?:(\S+) )?is active|already has an active run(?: (\S+?))?\.?(?=\s|$)")
_ENDED = frozenset(status.value for status in RunStatus if status.ended)


class ThreadLock:
    """Waits for the runs that hold threads."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience, lock_patience: Patience) -> None:
        """`lock_patience` is for runs that hold a lock, `patience` for the calls that look at them."""
        self._client = client
        self._patience = patience
        self._lock_patience = lock_patience

    async def freed(
        self,
        thread: str,
        call: Callable[[], Awaitable[T]],
        done: Callable[[], Awaitable[T | None]],
    ) -> T:
        """Make a call; where a run holds the thread, again once that has ended.

        `done` is asked first then: the call may have been carried out before, and hold the lock itself.
        Raises ThreadLocked where the run goes on beyond all patience, and openai.APIError.
        """
        attempts = Attempts(self._lock_patience)
        while True:
            try:
                return await call()
            except openai.BadRequestError as error:
                locked = _LOCKED.search(str(error.message))
                if locked is None:
                    raise
                holder = (locked[1] or locked[2] or "").strip("'\"`") or None
                _log.info("thread-locked", thread=thread, run=holder)
                found = await done()
                if found is not None:
                    return found
                if not await self._ended(thread, holder, attempts):
                    raise ThreadLocked(
                        "An earlier answer in this conversation has not ended on the server. Please try again later.",
                        holder,
                    ) from error

    async def _ended(self, thread: str, run_id: str | None, attempts: Attempts) -> bool:
        """Whether the run has ended within patience; it may have, where nobody knows which it is."""
        while await attempts.pause():
            if run_id is None:
                return True
            status = await self._status(thread, run_id)
            if status is None or status in _ENDED:
                return True
            if status == "requires_action":
                # Nobody will hand in what it waits for; it would hold the lock until it expires.
                await self._cancel(thread, run_id)
        return False

    async def _status(self, thread: str, run_id: str) -> str | None:
        """None where the server no longer has the run, or knows none by this id."""
        runs = self._client.beta.threads.runs
        try:
            run = await patiently(lambda: runs.retrieve(run_id, thread_id=thread), self._patience, repeatable=True)
        except (openai.BadRequestError, openai.NotFoundError):
            return None
        return run.status

    async def _cancel(self, thread: str, run_id: str) -> None:
        try:
            await self._client.beta.threads.runs.cancel(run_id, thread_id=thread)
        except openai.BadRequestError:
            _log.debug("run-had-ended", run=run_id)
