"""Posts that wait for a run to end carry a mark, so that people see that they were heard."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from bot.engine.ports import Notices, Post


class Waiting:
    """Marks in the background: a mark that Slack does not take must hold nothing up."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._started = f"{time.time():.6f}"
        self._marks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def mark(self, post: Post) -> None:
        """This post waits."""
        self._marks[(post.thread.channel, post.ts)] = self._begin(self._notices.mark(post))

    def unmark(self, posts: Sequence[Post]) -> None:
        """These posts wait no more."""
        for post in posts:
            mark = self._marks.pop((post.thread.channel, post.ts), None)
            # One from before this process may carry an earlier one's mark.
            if mark is not None or post.ts < self._started:
                self._begin(self._take_off(post, mark))

    async def close(self) -> None:
        """Let go of what is not done."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take_off(self, post: Post, mark: asyncio.Task[None] | None) -> None:
        if mark is not None:
            await mark
        await self._notices.unmark(post)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
