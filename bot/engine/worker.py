"""What one thread's worker does: finish what was begun, then take the waiting posts, in order."""

from itertools import takewhile

import structlog

from bot.engine.commands import Commands, Place
from bot.engine.ports import Notices, Post, PostKind, ReplyTarget, Storage, ThreadKey
from bot.engine.runs import Runs
from bot.engine.waiting import Waiting
from bot.errors import CommandError, SlackRefused

_log = structlog.get_logger()


class Worker:
    """Drains one thread at a time for each call; the scheduler sees that no thread is drained twice at once."""

    def __init__(self, storage: Storage, runs: Runs, commands: Commands, notices: Notices, waiting: Waiting) -> None:
        self._storage = storage
        self._runs = runs
        self._commands = commands
        self._notices = notices
        self._waiting = waiting

    async def drain(self, key: ThreadKey) -> None:
        """Work until the thread has nothing left to do."""
        while await self._step(key):
            pass

    async def _step(self, key: ThreadKey) -> bool:
        unfinished = await self._storage.unfinished_run(key)
        if unfinished:
            await self._runs.take_up(unfinished)
            return True
        waiting = await self._storage.waiting_posts(key)
        # A command divides what was said before it from what was said after it.
        batch = list(takewhile(lambda post: post.kind is not PostKind.COMMAND, waiting))
        if any(post.kind is PostKind.ASK for post in batch):
            self._waiting.unmark(batch)
            await self._runs.answer(batch)
            return True
        if len(batch) < len(waiting):
            await self._carry_out(waiting[len(batch)])
            return True
        return False

    async def _carry_out(self, post: Post) -> None:
        target = ReplyTarget(post.thread, post.author, post.author_team, post.surface)
        place = Place(post.thread.team, post.thread.channel, post.author, post.surface, post.thread)
        try:
            answer = await self._commands.in_thread(post.text, place, post.ts)
        except CommandError as error:
            answer = error.sentence
        try:
            # Slack shows ephemeral messages only in a thread that people can already see.
            if post.ts == post.thread.ts:
                await self._notices.public(target, answer)
            else:
                await self._notices.private(target, answer)
        except SlackRefused as error:
            _log.warning("command-answer-undeliverable", channel=post.thread.channel, error=error.code)
        self._waiting.unmark([post])
        await self._storage.finish_post(post)
