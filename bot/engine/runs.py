"""Runs: from the posts that ask to the reply that answers, and every way in which that can end."""

import asyncio
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from bot.engine.answer import Answer, Helpers, last_ask, target_of
from bot.engine.calls import Decision, Verdict
from bot.engine.commands import Commands, Place
from bot.engine.folders import Folders
from bot.engine.ports import (
    Answered,
    Assistant,
    Ending,
    Post,
    PostKind,
    Recovery,
    Replies,
    Reply,
    Run,
    RunEnded,
    RunStatus,
    ThreadKey,
)
from bot.errors import BackendError, SlackRefused, StoppedByUser

_log = structlog.get_logger()

#: Seconds that the backend gets to hear that a run is over; fewer where it has failed just now, because Retry waits.
_CANCEL_PATIENCE, _FAILED_PATIENCE = 10.0, 2.0
_CRASHED = "Something went wrong inside Bobbin; its log has the details."
#: How often a run is taken up, at most. A process that is killed again and again counts too.
_MOST_ATTEMPTS = 25
#: A name or a number, such as 429 or messages[0].content, and not a sentence.
_FACT = re.compile(r"[\w.\[\]/:-]{1,80}")
#: How a run ends that its backend may still work on, or knows half of.
_BROKEN_OFF = frozenset({RunStatus.CANCELLED, RunStatus.EXPIRED, RunStatus.FAILED})


@dataclass(slots=True)
class _Active:
    """A run in this process. Ending its deadline ends it; `stopped` tells a person's wish from lateness."""

    run: str
    deadline: asyncio.Timeout
    stopped: bool = False
    _waiting: int = 0
    _left: float = 0.0

    @property
    def asks(self) -> bool:
        """Whether people are asked something now."""
        return self._waiting > 0

    def stop(self) -> None:
        self.stopped = True
        self.deadline.reschedule(asyncio.get_running_loop().time())

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """People are asked something: the run's time stands still."""
        clock = asyncio.get_running_loop().time
        if not self._waiting:
            self._left = (self.deadline.when() or clock()) - clock()
            self.deadline.reschedule(None)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting and not self.stopped and not self.deadline.expired():
                self.deadline.reschedule(clock() + self._left)


class Runs:
    """Makes answers: one run at a time for a thread, as many threads as there are."""

    def __init__(
        self,
        helpers: Helpers,
        replies: Replies,
        commands: Commands,
        folders: Folders,
        *,
        timeout: float,
    ) -> None:
        """`timeout` is in seconds, for one run; time in which people are asked does not count."""
        self._with = helpers
        self._storage = helpers.storage
        self._backend = helpers.backend
        self._notices = helpers.notices
        self._replies = replies
        self._commands = commands
        self._folders = folders
        self._timeout = timeout
        self._active: dict[ThreadKey, _Active] = {}
        self._closed: dict[str, asyncio.Event] = {}

    async def answer(self, posts: Sequence[Post]) -> None:
        """Answer waiting posts of one thread together, in one run."""
        run = self._new_run(posts[0].thread, (await self._commands.who(_place(posts))).key)
        taken = await self._storage.open_run(run, posts)
        if any(post.kind is PostKind.ASK for post in taken):
            await self._carry_out(run, taken)
        elif taken:  # the asks were deleted in between
            await self._close(run, RunStatus.CANCELLED, None)

    async def take_up(self, run: Run) -> None:
        """Go on with a run that was begun and not ended: by an earlier process, or offered again by Retry."""
        posts = await self._storage.run_posts(run.id)
        if not any(post.kind is PostKind.ASK for post in posts):
            await self._close(run, RunStatus.CANCELLED, None)
            return
        if run.attempt >= _MOST_ATTEMPTS:
            await self._give_up(run, posts)
            return
        if run.backend != self._backend.name:
            # BOBBIN_BACKEND was changed in between.
            run = replace(run, backend=self._backend.name, backend_thread=None, backend_run=None, cursor=None)
        if run.status is not RunStatus.QUEUED:
            run = replace(run, attempt=run.attempt + 1)
            await self._storage.update_run(run)
            _log.info("run-taken-up", run=run.id, attempt=run.attempt, backend_run=run.backend_run)
        await self._carry_out(run, posts)

    async def _give_up(self, run: Run, posts: Sequence[Post]) -> None:
        """What fails every time would keep its thread for ever."""
        _log.error("run-given-up", run=run.id, attempts=run.attempt)
        await self._close(run, RunStatus.FAILED, f"Given up after {run.attempt} attempts.")
        try:
            await self._notices.public(
                target_of(posts),
                f"I tried this {run.attempt} times and could not finish it, so I gave it up. An admin finds the reason "
                "in Bobbin's log; please ask again later.",
            )
        except SlackRefused as error:
            _log.warning("notice-undeliverable", run=run.id, error=error.code)

    async def retry(self, run_id: str) -> ThreadKey | None:
        """Give a failed run's posts to a new run. Returns its thread, None where it failed not or was retried."""
        if closed := self._closed.get(run_id):
            # The Retry button is in Slack a moment before the run is closed in the database.
            await closed.wait()
        failed = await self._storage.run(run_id)
        if failed is None:
            return None
        # A second attempt: the backend may have the posts already, and looks before it takes them again.
        posts = await self._storage.run_posts(run_id)
        asked = any(post.kind is PostKind.ASK for post in posts)
        assistant = (await self._commands.who(_place(posts))).key if asked else failed.assistant
        successor = replace(self._new_run(failed.thread, assistant), attempt=failed.attempt + 1)
        return failed.thread if await self._storage.reopen_run(run_id, successor) else None

    async def decide(self, decision: Decision) -> Verdict | None:
        """A person pressed Approve or Deny under a question. Returns what to tell them; None where the question says
        it."""
        return await self._with.calls.decide(decision)

    def busy(self, thread: ThreadKey) -> bool:
        """Whether an answer is being made in this thread."""
        return thread in self._active

    def stop(self, thread: ThreadKey) -> bool:
        """End the thread's run now. Returns whether one was going."""
        active = self._active.get(thread)
        if active is None or active.deadline.expired():
            return False
        active.stop()
        return True

    def stop_waiting(self, thread: ThreadKey) -> bool:
        """End the thread's run if it waits for people to decide something. Returns whether it did."""
        active = self._active.get(thread)
        return active is not None and active.asks and self.stop(thread)

    def stop_run(self, run_id: str) -> bool:
        """End this run now. Returns whether it was going."""
        thread = next((thread for thread, active in self._active.items() if active.run == run_id), None)
        return thread is not None and self.stop(thread)

    def _new_run(self, thread: ThreadKey, assistant: str) -> Run:
        return Run(uuid.uuid4().hex, thread, assistant, self._backend.name, created_at=time.time())

    async def _carry_out(self, run: Run, posts: Sequence[Post]) -> None:
        closed = self._closed[run.id] = asyncio.Event()
        try:
            await self._answer(run, posts)
        finally:
            closed.set()
            del self._closed[run.id]

    async def _answer(self, run: Run, posts: Sequence[Post]) -> None:
        shown = await self._storage.reply_messages(run.id)
        known = await self._storage.replied(run.thread)
        recovery = Recovery(last_ask(posts).ts, known, taken_up=run.status is not RunStatus.QUEUED)
        # Whoever was chosen since then answers the next run.
        assistant = self._commands.assistant(run.assistant)
        async with self._folders.new() as folder:
            reply = self._replies.open(run.id, target_of(posts), shown, self._storage, recovery, folder)
            try:
                await self._reply(run, posts, assistant, folder, reply)
            finally:
                reply.abandon()

    async def _reply(self, run: Run, posts: Sequence[Post], assistant: Assistant, folder: Path, reply: Reply) -> None:
        active = _Active(run.id, asyncio.timeout(self._timeout))
        answer = Answer(run, posts, assistant, self._with, folder=folder, waiting=active.waiting)
        try:
            status, ending = await self._make(run, active, answer, reply)
            await self._finish(run, answer, reply, status, ending)
        except SlackRefused as error:
            if error.passing:
                raise  # the run is taken up again, from where it is
            _log.warning("reply-undeliverable", run=run.id, channel=run.thread.channel, error=error.code)
            await self._cancel(answer, run, RunStatus.CANCELLED)
            await self._close(run, RunStatus.FAILED, f"Slack: {error.code}")
            await answer.keep_usage()
            # Where Slack takes a line of ours, it says what became of the answer; else the log is the only place left.
            await reply.apologise(Ending(f"Slack did not take this answer ({error.code}).", retry=True))
            return
        await self._close(run, status, ending.notice)
        await answer.keep_usage()
        _log.info("run-ended", run=run.id, status=status, assistant=run.assistant, characters=len(answer.text))

    async def _make(self, run: Run, active: _Active, answer: Answer, reply: Reply) -> tuple[RunStatus, Ending]:
        """Follow the run; every failure becomes a status and a sentence."""
        try:
            async with active.deadline:
                self._active[run.thread] = active
                await answer.make(reply)
        except StoppedByUser as stopped:
            return RunStatus.CANCELLED, Ending(stopped.sentence)
        except TimeoutError:
            return self._timed_out(run, active)
        except BackendError as error:
            _log.warning("run-failed", run=run.id, error=type(error).__name__, **_facts(error.__cause__))
            _log.debug("run-failed", run=run.id, cause=repr(error.__cause__))
            return RunStatus.FAILED, Ending(error.sentence, retry=error.retry)
        except SlackRefused:
            raise
        except Exception:  # noqa: BLE001 - the boundary around a run: a person must hear of anything
            _log.exception("run-crashed", run=run.id)
            return RunStatus.FAILED, Ending(_CRASHED, retry=True)
        finally:
            self._active.pop(run.thread, None)
        return _ending(answer)

    def _timed_out(self, run: Run, active: _Active) -> tuple[RunStatus, Ending]:
        if active.stopped:
            return RunStatus.CANCELLED, Ending(StoppedByUser().sentence)
        if active.deadline.expired():
            return RunStatus.EXPIRED, Ending(self._too_long(), retry=True)
        _log.exception("run-crashed", run=run.id)
        return RunStatus.FAILED, Ending(_CRASHED, retry=True)

    async def _finish(self, run: Run, answer: Answer, reply: Reply, status: RunStatus, ending: Ending) -> None:
        """Show how it ended; a run that was broken off is ended at the backend meanwhile, which may take longer than
        people who pressed Stop want to wait."""
        broken_off = answer.ended is None and status in _BROKEN_OFF
        shown, *_ = await asyncio.gather(
            reply.finish(answer.text, ending, answer.sources),
            *([self._cancel(answer, run, status)] if broken_off else []),
            return_exceptions=True,
        )
        if isinstance(shown, BaseException):
            raise shown

    async def _cancel(self, answer: Answer, run: Run, status: RunStatus) -> None:
        """Raises nothing: whatever goes wrong here, the run has ended for its people."""
        stopped = status is RunStatus.CANCELLED
        try:
            await self._with.calls.withdraw(run, "was stopped" if stopped else "ended")
            async with asyncio.timeout(_FAILED_PATIENCE if status is RunStatus.FAILED else _CANCEL_PATIENCE):
                await answer.cancel(for_good=stopped)
        except (TimeoutError, BackendError) as error:
            _log.warning("run-not-cancelled", run=run.id, error=type(error).__name__)
        except Exception:  # noqa: BLE001 - beside the reply, nobody else would hear of it
            _log.exception("cancel-crashed", run=run.id)

    async def _close(self, run: Run, status: RunStatus, error: str | None) -> None:
        await self._with.calls.withdraw(run, "has ended")
        await self._storage.close_run(replace(run, status=status, error=error, ended_at=time.time()))

    def _too_long(self) -> str:
        return f"This took longer than {self._timeout:g} seconds, so I ended it."


def _facts(cause: BaseException | None) -> dict[str, str]:
    """What a log may say of an error's cause. Its words stay out: servers quote what people wrote, and keys."""
    named = {name: getattr(cause, name, None) for name in ("status_code", "code", "param", "request_id")}
    facts = {name: str(value) for name, value in named.items() if _FACT.fullmatch(str(value or ""))}
    return {"cause": type(cause).__name__, **facts} if cause else {}


def _place(posts: Sequence[Post]) -> Place:
    ask = last_ask(posts)
    return Place(ask.thread.team, ask.thread.channel, ask.author, ask.surface, ask.thread)


def _ending(answer: Answer) -> tuple[RunStatus, Ending]:
    ended = answer.ended or RunEnded(RunStatus.FAILED)
    if ended.status is RunStatus.COMPLETED:
        silent = "The assistant finished without writing anything."
        return ended.status, Answered if answer.text.strip() else Ending(silent, retry=True)
    return ended.status, Ending(ended.reason or f"The run ended as {ended.status}.", retry=True)
