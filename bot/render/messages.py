"""The two ways in which a growing text is a Slack message: streamed, or posted and updated."""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import structlog

from bot.engine.ports import ReplyTarget, Task, TaskStatus
from bot.errors import SlackRefused, StoppedByUser
from bot.render.cards import card, lines
from bot.render.governor import Governor, Urgency
from bot.render.limits import STREAM_LIFETIME, TEXT

_log = structlog.get_logger()

#: Seconds between two writes to one message, so that an answer of some seconds needs about ten calls. An update
#: sends the whole text again, and Slack advises few of them (https://docs.slack.dev/ai/developing-agents).
STREAM_PACE, UPDATE_PACE = 0.5, 1.5
#: The parts of a stream's life after which we look for a good place to go on in the next message, and after which
#: any place is good.
_EARLY, _LATE = 0.8, 0.93

#: Slack's word for a stream that is over (https://docs.slack.dev/reference/methods/chat.appendStream).
_EXPIRED = "message_not_in_streaming_state"
STOPPED = "stopped_by_user"
#: Somebody deleted the message, or Slack lets nobody change it any more: what it showed is their decision, and what
#: is still to come goes on below (https://docs.slack.dev/reference/methods/chat.update).
GONE = ("message_not_found", "cant_update_message", "edit_window_closed")

#: The action of the Stop button under an answer that is posted; Slack has its own under one that is streamed. Its
#: value is the run's id.
STOP = "stop_run"
#: Called with a message's ts and whether it is a stream, as soon as Slack has given it one.
Born = Callable[[str, bool], Awaitable[None]]


class GrowingMessage(Protocol):
    """A message that grows. `whole` is always its full text so far, of at most one page; `tasks` are news of what tools
    do, to be shown beside it."""

    #: Seconds to leave between two writes, and the method that a further one calls, in its turn.
    pace: float
    update_method: str
    #: What it shows of tasks, by id.
    tasks: dict[str, Task]

    @property
    def begun(self) -> bool:
        """Whether something of it is in Slack."""

    async def write(self, whole: str, tasks: Sequence[Task] = ()) -> None:
        """Show more; a turn for `update_method` was taken if something is in Slack already. Raises SlackRefused;
        MessageOverError where this message takes no more."""

    async def mend(self, whole: str, tasks: Sequence[Task] = ()) -> None:
        """After MessageOverError: put this in its place, if it is there. Raises SlackRefused."""

    async def close(self, whole: str, tasks: Sequence[Task] = (), *, complete: bool) -> None:
        """Show the rest; this message grows no more. `complete` says that `whole` is the truth, whatever is shown.
        Raises SlackRefused, MessageGoneError."""

    def seconds_left(self) -> tuple[float, float]:
        """Until a good place to end should be taken, and until any place has to do."""


class MessageOverError(Exception):
    """This message takes no more. It is still to be given its last text (`mend`); the rest goes on in another."""


class MessageGoneError(Exception):
    """There is no such message any more, and nobody knows what it showed."""


class StreamedMessage:
    """chat.startStream, appendStream, stopStream. It is fed with chunks alone, which may be text and tasks: Slack takes
    either those or `markdown_text` in one stream (https://docs.slack.dev/reference/methods/chat.appendStream)."""

    pace = STREAM_PACE
    update_method = "chat.appendStream"

    def __init__(self, governor: Governor, target: ReplyTarget, born: Born, lifetime: float = STREAM_LIFETIME) -> None:
        """`lifetime` is after how many seconds Slack ends a stream."""
        self.tasks: dict[str, Task] = {}
        self._governor = governor
        self._target = target
        self._born = born
        self._lifetime = lifetime
        self._ts: str | None = None
        self._written = ""
        self._started_at = 0.0

    @property
    def begun(self) -> bool:
        return self._ts is not None

    async def write(self, whole: str, tasks: Sequence[Task] = ()) -> None:
        if not whole.startswith(self._written):
            # The server took back what it had said: a stream can only grow.
            await stop_stream(self._governor, self._target, str(self._ts))
            raise MessageOverError
        piece = whole[len(self._written) :]
        chunks = _chunks(piece, tasks, self.tasks)
        if not chunks:
            return
        if self._ts is None:
            await self._start(chunks)
        else:
            await self._append(chunks)
        if piece.strip():  # what is nothing but white space goes along with what follows
            self._written = whole
        self._show(tasks)

    async def mend(self, whole: str, tasks: Sequence[Task] = ()) -> None:
        """Repeatable, unlike what went wrong."""
        self._show(tasks)
        if not whole.strip() and not self.tasks:
            return
        try:
            content = in_place(whole, self.tasks)
            await update(self._governor, self._target, str(self._ts), content, turn_taken=False)
        except SlackRefused as refusal:
            if refusal.code not in GONE:
                raise
            _log.info("message-was-deleted", channel=self._target.thread.channel, ts=self._ts)

    async def close(self, whole: str, tasks: Sequence[Task] = (), *, complete: bool) -> None:  # noqa: ARG002 - it is known what is shown
        if self._ts is None:
            await self.write(whole, tasks)
            tasks = ()
        # Of a text that was to go on and does not, nothing but white space is to be taken back.
        grown = whole.startswith(self._written) or whole.rstrip() == self._written.rstrip()
        piece = whole[len(self._written) :] if grown else ""
        arguments: dict[str, Any] = {"channel": self._target.thread.channel, "ts": self._ts}
        if chunks := _chunks(piece, tasks, self.tasks):
            arguments["chunks"] = chunks
        try:
            await self._governor.call("chat.stopStream", arguments, repeatable=False)
        except SlackRefused as error:
            await self._end(error)
            grown = False
        self._show(tasks)
        if not grown:
            await self.mend(whole)
        self._written = whole

    def seconds_left(self) -> tuple[float, float]:
        age = asyncio.get_running_loop().time() - self._started_at if self._ts else 0.0
        return self._lifetime * _EARLY - age, self._lifetime * _LATE - age

    async def _start(self, chunks: Sequence[dict[str, Any]]) -> None:
        arguments = {"channel": self._target.thread.channel, "thread_ts": self._target.thread.ts, "chunks": chunks}
        if self._target.surface != "im":
            # Outside of DMs Slack wants to know for whom it streams
            # (https://docs.slack.dev/reference/methods/chat.startStream).
            arguments |= {"recipient_user_id": self._target.asker, "recipient_team_id": self._target.asker_team}
        self._started_at = asyncio.get_running_loop().time()
        response = await self._governor.call("chat.startStream", arguments, repeatable=False)
        self._ts = str(response["ts"])
        await self._born(self._ts, True)

    async def _append(self, chunks: Sequence[dict[str, Any]]) -> None:
        arguments = {"channel": self._target.thread.channel, "ts": self._ts, "chunks": chunks}
        try:
            await self._governor.call(
                "chat.appendStream", arguments, urgency=Urgency.UPDATE, repeatable=False, turn_taken=True
            )
        except SlackRefused as error:
            await self._end(error)
            raise MessageOverError from error

    async def _end(self, error: SlackRefused) -> None:
        """The stream is over, or nobody knows what arrived: end it, so that its message can be updated."""
        if error.code == STOPPED:
            at_work = [task for task in self.tasks.values() if task.status is TaskStatus.IN_PROGRESS]
            if at_work:
                await self.mend(self._written, [replace(task, status=TaskStatus.ERROR) for task in at_work])
            raise StoppedByUser from error
        _log.info("stream-mended", code=error.code, channel=self._target.thread.channel, ts=self._ts)
        if error.code not in (_EXPIRED, *GONE):
            await stop_stream(self._governor, self._target, str(self._ts))

    def _show(self, tasks: Sequence[Task]) -> None:
        self.tasks |= {task.id: task for task in tasks}


class PostedMessage:
    """chat.postMessage, then chat.update with the whole text each time. It carries a Stop button while it grows."""

    pace = UPDATE_PACE
    update_method = "chat.update"

    def __init__(self, governor: Governor, target: ReplyTarget, born: Born, run: str) -> None:
        self.tasks: dict[str, Task] = {}
        self._governor = governor
        self._target = target
        self._born = born
        self._run = run
        self._ts: str | None = None
        self._written = ""
        self._growing = False

    @property
    def begun(self) -> bool:
        return self._ts is not None

    async def write(self, whole: str, tasks: Sequence[Task] = ()) -> None:
        self.tasks |= {task.id: task for task in tasks}
        content = in_blocks(whole, self.tasks, [self._stop_button()])
        if self._ts is None:
            await self._post(content, growing=True)
        elif tasks or whole != self._written:
            await self._update(content, turn_taken=True)
        self._written = whole

    async def mend(self, whole: str, tasks: Sequence[Task] = ()) -> None:
        """It was deleted: there is nothing to mend."""

    async def close(self, whole: str, tasks: Sequence[Task] = (), *, complete: bool) -> None:  # noqa: ARG002 - it is known what is shown
        self.tasks |= {task.id: task for task in tasks}
        if self._ts is None:
            await self._post(in_place(whole, self.tasks), growing=False)
        elif self._growing or tasks or whole != self._written:
            with contextlib.suppress(MessageOverError):
                await self._update(in_blocks(whole, self.tasks), turn_taken=False)
        self._written = whole

    def seconds_left(self) -> tuple[float, float]:
        return math.inf, math.inf

    async def _update(self, content: Mapping[str, Any], *, turn_taken: bool) -> None:
        try:
            await update(self._governor, self._target, str(self._ts), content, turn_taken=turn_taken)
        except SlackRefused as refusal:
            if refusal.code not in GONE:
                raise
            raise MessageOverError from refusal

    async def _post(self, content: Mapping[str, Any], *, growing: bool) -> None:
        arguments = {
            "channel": self._target.thread.channel,
            "thread_ts": self._target.thread.ts,
            **content,
            "unfurl_links": False,
            "unfurl_media": False,
            "metadata": {"event_type": "bobbin_reply", "event_payload": {"run": self._run}},
        }
        response = await self._governor.call("chat.postMessage", arguments, repeatable=False)
        self._ts, self._growing = str(response["ts"]), growing
        await self._born(self._ts, False)

    def _stop_button(self) -> dict[str, Any]:
        button = {
            "type": "button",
            "action_id": STOP,
            "text": {"type": "plain_text", "text": "Stop"},
            "value": self._run,
        }
        return {"type": "actions", "elements": [button]}


def _chunks(piece: str, tasks: Sequence[Task], shown: Mapping[str, Task]) -> list[dict[str, Any]]:
    """More text and news of tasks. Slack refuses a text of white space."""
    text = [{"type": "markdown_text", "text": piece}] if piece.strip() else []
    return [*text, *(card(task, shown.get(task.id)) for task in tasks)]


def in_place(whole: str, tasks: Mapping[str, Task]) -> dict[str, Any]:
    """What takes the place of all that a stream showed: its cards become lines."""
    return in_blocks(whole, tasks) if tasks else {"markdown_text": whole}


def in_blocks(whole: str, tasks: Mapping[str, Task], below: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """A text with blocks around it, because `markdown_text` takes no button beside it. `chat.update` leaves the blocks
    that a message has where it is given none (https://docs.slack.dev/reference/methods/chat.update)."""
    above = [lines(list(tasks.values()))] if tasks else []
    text = [{"type": "markdown", "text": whole}] if whole.strip() else []
    return {"text": whole[:TEXT].strip() or "…", "blocks": [*above, *text, *below]}


async def stop_stream(governor: Governor, target: ReplyTarget, ts: str, chunks: Sequence[dict[str, Any]] = ()) -> None:
    """End a stream, with its last chunks; one that is over already is what we wanted."""
    arguments = {"channel": target.thread.channel, "ts": ts} | ({"chunks": chunks} if chunks else {})
    try:
        await governor.call("chat.stopStream", arguments, lasting=True)
    except SlackRefused as error:
        _log.info("stream-was-over", code=error.code, ts=ts)


async def update(
    governor: Governor, target: ReplyTarget, ts: str, content: Mapping[str, Any], *, turn_taken: bool
) -> None:
    """Put this in the place of what a message shows. Raises SlackRefused."""
    # One whose turn was taken can wait for another one.
    arguments = {"channel": target.thread.channel, "ts": ts, **content}
    urgency = Urgency.UPDATE if turn_taken else Urgency.FIRST_OR_FINAL
    await governor.call("chat.update", arguments, urgency=urgency, turn_taken=turn_taken, lasting=True)
