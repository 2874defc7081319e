"""What comes in: decide what a post is, store it, wake its thread. Only then is Slack told "received"."""

from dataclasses import replace

import structlog

from bot.engine.calls import Decision, Verdict
from bot.engine.commands import Commands, parse_word
from bot.engine.early import EarlyReplies
from bot.engine.ports import Arrival, Post, PostKind, Scheduler, Storage, ThreadKey
from bot.engine.runs import Runs
from bot.engine.waiting import Waiting

_log = structlog.get_logger()


class Intake:
    """The engine's door. Its methods return once what they were told is stored; all work comes after."""

    def __init__(
        self, storage: Storage, scheduler: Scheduler, commands: Commands, runs: Runs, waiting: Waiting
    ) -> None:
        self._storage = storage
        self._scheduler = scheduler
        self._commands = commands
        self._runs = runs
        self._waiting = waiting
        self._early = EarlyReplies()

    async def receive(self, arrival: Arrival) -> None:
        """Store a post once and see that it is answered. Raises StorageError: then Slack must send it again."""
        post = replace(arrival.post, kind=self._kind(arrival))
        starts_thread = post.ts == post.thread.ts
        if starts_thread and not arrival.addressed:
            return  # people talking in a channel: nothing to look up, nothing to keep
        new = await self._storage.add_post(post, opens_thread=arrival.addressed)
        try:
            await self._stored(post, arrival, new=new)
        finally:
            # Also for one that is known: what failed after it was stored must not leave it asleep.
            self._scheduler.wake(post.thread)

    async def _stored(self, post: Post, arrival: Arrival, *, new: bool) -> None:
        if arrival.addressed:
            await self._add_early(post)
        elif not new:
            self._early.keep(post)
        if not new:
            return
        _log.info("post-received", kind=post.kind, channel=post.thread.channel, thread=post.thread.ts, ts=post.ts)
        word = parse_word(post.text) if post.kind is PostKind.COMMAND else None
        if word is not None and word.name == "reset":
            self._runs.stop_waiting(post.thread)
        if word is not None and word.name == "stop" and self._runs.stop(post.thread):
            await self._storage.finish_post(post)
        elif post.kind is not PostKind.CONTEXT and self._runs.busy(post.thread):
            self._waiting.mark(post)

    async def _add_early(self, opening: Post) -> None:
        for post in self._early.replies(opening.thread, after=opening.ts):
            await self._storage.add_post(post, opens_thread=False)
            self._early.drop(post.thread.team, post.thread.channel, post.ts)

    async def edited(self, team: str, channel: str, ts: str, text: str, edited_ts: str) -> None:
        """A post was edited. One that still waits is forwarded as edited."""
        self._early.edit(team, channel, ts, text, edited_ts)
        await self._storage.edit_post(team, channel, ts, text, edited_ts)

    async def deleted(self, team: str, channel: str, ts: str) -> None:
        """A post was deleted. One that still waits is dropped."""
        self._early.drop(team, channel, ts)
        await self._storage.drop_post(team, channel, ts)

    async def retry(self, run_id: str) -> bool:
        """Run again what failed. Returns False where it was retried before, or did not fail."""
        thread = await self._runs.retry(run_id)
        if thread is None:
            return False
        self._scheduler.wake(thread)
        return True

    async def decide(self, decision: Decision) -> Verdict | None:
        """Approve or deny a tool call that people were asked about. Returns what to tell whoever did, None where the
        question itself says it."""
        return await self._runs.decide(decision)

    async def reset(self, thread: ThreadKey, now: str, where: str = "in this thread") -> str:
        """Forget what was said in a thread (Commands.reset). What waits there for a decision is over: nobody is to
        answer from what is forgotten."""
        self._runs.stop_waiting(thread)
        return await self._commands.reset(thread, now, where)

    def stop(self, thread: ThreadKey) -> bool:
        """End the run of a thread and keep its text so far. Returns whether one was going."""
        return self._runs.stop(thread)

    def stop_run(self, run_id: str) -> bool:
        """End this run and keep its text so far. Returns whether it was going."""
        return self._runs.stop_run(run_id)

    async def take_up(self) -> int:
        """At the start: wake every thread with work left from before. Returns how many."""
        threads = await self._storage.threads_with_work()
        for thread in threads:
            self._scheduler.wake(thread)
        return len(threads)

    def _kind(self, arrival: Arrival) -> PostKind:
        post = arrival.post
        if post.files and not post.text.strip():
            return PostKind.ASK if not arrival.to_others or arrival.addressed else PostKind.CONTEXT
        if arrival.addressed and self._commands.is_command(post.text, mentioned=arrival.mentioned):
            return PostKind.COMMAND
        if arrival.to_others and not arrival.addressed:
            return PostKind.CONTEXT
        return PostKind.ASK
