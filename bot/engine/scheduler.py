"""Workers in this process: one asyncio task for each thread that has work."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from bot.engine.ports import ThreadKey

_log = structlog.get_logger()

#: Seconds before a worker that failed (the database is locked, the disk full) tries again: first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0


class TaskScheduler:
    """Drains each woken thread in a task of its own, never two at once for one thread."""

    def __init__(self, drain: Callable[[ThreadKey], Awaitable[None]]) -> None:
        self._drain = drain
        self._tasks: dict[ThreadKey, asyncio.Task[None]] = {}
        self._woken: set[ThreadKey] = set()
        self._closed = False

    def wake(self, key: ThreadKey) -> None:
        """This thread has work. While it is being drained, it is drained once more."""
        if self._closed:
            return
        if key in self._tasks:
            self._woken.add(key)
        else:
            self._tasks[key] = asyncio.create_task(self._work(key))

    async def close(self, grace: float) -> None:
        """Take no more work, give what runs `grace` seconds, then leave the rest to the next start."""
        self._closed = True
        self._woken.clear()
        tasks = list(self._tasks.values())
        if not tasks:
            return
        _, unfinished = await asyncio.wait(tasks, timeout=grace)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    async def _work(self, key: ThreadKey) -> None:
        pause = _FIRST_PAUSE
        try:
            while True:
                self._woken.discard(key)
                try:
                    await self._drain(key)
                    pause = _FIRST_PAUSE
                except Exception:  # noqa: BLE001 - any failure: the rows still say that there is work
                    _log.exception("thread-worker-failed", thread=key.ts, channel=key.channel, retry_in=pause)
                    await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
                    pause = min(pause * 2, _LONGEST_PAUSE)
                    self._woken.add(key)
                # Nothing is awaited between this look and the removal, so no wake falls between them.
                if key not in self._woken:
                    return
        finally:
            del self._tasks[key]
