"""The two ways in which a growing text is a Slack message: streamed, or posted and updated."""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import structlog

from bot.engine.ports import ReplyTarget, Task, TaskStatus
from bot.errors import SlackRefused, StoppedByUser
from bot.render.governor import Governor, Urgency
from bot.render.limits import STREAM_LIFETIME, TASK_TEXT, TEXT
from bot.render.markdown import harmless
from bot.render.notices import plain

_log = structlog.get_logger()

#: Seconds between two writes to one message, so that an answer of some seconds needs about ten calls. An update
#: sends the whole text again, and Slack advises few of them (https://docs.slack.dev/ai/developing-agents).
_STREAM_PACE, _UPDATE_PACE = 0.5, 1.5
#: The parts of a stream's life after which we look for a good place to go on in the next message, and after which
#: any place is good.
_EARLY, _LATE = 0.8, 0.93

#: Slack's word for a stream that is over (https://docs.slack.dev/reference/methods/chat.appendStream).
_EXPIRED = "message_not_in_streaming_state"
_STOPPED = "stopped_by_user"
#: Somebody deleted the message, or Slack lets nobody change it any more: what it showed is their decision, and what
#: is still to come goes on below (https://docs.slack.dev/reference/methods/chat.update).
_GONE = ("message_not_found", "cant_update_message", "edit_window_closed")

#: The action of the Stop button under an answer that is posted; Slack has its own under one that is streamed. Its
#: value is the run's id.
STOP = "stop_run"
#: Where there are no task cards: a sign for each status, and how many tasks are told.
_SIGNS = {
    TaskStatus.IN_PROGRESS: ":hourglass_flowing_sand:",
    TaskStatus.COMPLETE: ":white_check_mark:",
    TaskStatus.ERROR: ":warning:",
}
_TASKS = 10

#: Called with a message's ts and whether it is a stream, as soon as Slack has given it one.
Born = Callable[[str, bool], Awaitable[None]]


class GrowingMessage(Protocol):
    """A message that grows. `whole` is always its full text so far, of at most one page."""

    #: Seconds to leave between two writes, and the method that a further one calls, in its turn.
    pace: float
    update_method: str

    @property
    def begun(self) -> bool:
        """Whether something of it is in Slack."""

    async def write(self, whole: str) -> None:
        """Show more; a turn for `update_method` was taken if something is in Slack already. Raises SlackRefused;
        MessageOverError where this message takes no more."""

    async def work(self, tasks: Sequence[Task]) -> None:
        """Show what tools do, beside the text; a turn was taken as for `write`. Raises as `write` does."""

    async def mend(self, whole: str) -> None:
        """After MessageOverError: put this in its place, if it is there. Raises SlackRefused."""

    async def close(self, whole: str, *, complete: bool) -> None:
        """Show the rest; this message grows no more. `complete` says that `whole` is the truth, whatever is shown.
        Raises SlackRefused, MessageGoneError."""

    def seconds_left(self) -> tuple[float, float]:
        """Until a good place to end should be taken, and until any place has to do."""


class MessageOverError(Exception):
    """This message takes no more. It is still to be given its last text (`mend`); the rest goes on in another."""


class MessageGoneError(Exception):
    """There is no such message any more, and nobody knows what it showed."""


class StreamedMessage:
    """chat.startStream, appendStream, stopStream."""

    pace = _STREAM_PACE
    update_method = "chat.appendStream"

    def __init__(self, governor: Governor, target: ReplyTarget, born: Born, lifetime: float = STREAM_LIFETIME) -> None:
        """`lifetime` is after how many seconds Slack ends a stream."""
        self._governor = governor
        self._target = target
        self._born = born
        self._lifetime = lifetime
        #: A stream that shows tasks is fed with chunks only: Slack takes either those or `markdown_text`
        #: (https://docs.slack.dev/reference/methods/chat.appendStream).
        self._chunks = False
        self._ts: str | None = None
        self._written = ""
        self._started_at = 0.0

    @property
    def begun(self) -> bool:
        return self._ts is not None

    async def write(self, whole: str) -> None:
        if not whole.startswith(self._written):
            # The server took back what it had said: a stream can only grow.
            await stop_stream(self._governor, self._target, str(self._ts))
            raise MessageOverError
        piece = whole[len(self._written) :]
        if not piece.strip():  # Slack refuses a text of white space; it goes along with what follows
            return
        if self._ts is None:
            await self._start(self._text(piece))
        else:
            await self._append(self._text(piece))
        self._written = whole

    async def work(self, tasks: Sequence[Task]) -> None:
        chunks = {"chunks": [_chunk(task) for task in tasks]}
        if self._ts is None:
            self._chunks = True
            await self._start(chunks)
        elif self._chunks:
            await self._append(chunks)
        else:
            await stop_stream(self._governor, self._target, self._ts)
            raise MessageOverError

    def _text(self, piece: str) -> dict[str, Any]:
        return {"chunks": [{"type": "markdown_text", "text": piece}]} if self._chunks else {"markdown_text": piece}

    async def mend(self, whole: str) -> None:
        """Repeatable, unlike what went wrong."""
        if not whole.strip():
            return
        try:
            await update(self._governor, self._target, str(self._ts), whole)
        except SlackRefused as refusal:
            if refusal.code not in _GONE:
                raise
            _log.info("message-was-deleted", channel=self._target.thread.channel, ts=self._ts)

    async def close(self, whole: str, *, complete: bool) -> None:  # noqa: ARG002 - it is known what is shown
        if self._ts is None:
            await self.write(whole)
        grown = whole.startswith(self._written)
        piece = whole[len(self._written) :] if grown else ""
        arguments: dict[str, Any] = {"channel": self._target.thread.channel, "ts": self._ts}
        if piece.strip():
            arguments |= self._text(piece)
        try:
            await self._governor.call("chat.stopStream", arguments, repeatable=False)
        except SlackRefused as error:
            await self._end(error)
            grown = False
        if not grown:
            await self.mend(whole)
        self._written = whole

    def seconds_left(self) -> tuple[float, float]:
        age = asyncio.get_running_loop().time() - self._started_at if self._ts else 0.0
        return self._lifetime * _EARLY - age, self._lifetime * _LATE - age

    async def _start(self, content: dict[str, Any]) -> None:
        arguments = {"channel": self._target.thread.channel, "thread_ts": self._target.thread.ts, **content}
        if self._target.surface != "im":
            # Outside of DMs Slack wants to know for whom it streams
            # (https://docs.slack.dev/reference/methods/chat.startStream).
            arguments |= {"recipient_user_id": self._target.asker, "recipient_team_id": self._target.asker_team}
        self._started_at = asyncio.get_running_loop().time()
        response = await self._governor.call("chat.startStream", arguments, repeatable=False)
        self._ts = str(response["ts"])
        await self._born(self._ts, True)

    async def _append(self, content: dict[str, Any]) -> None:
        arguments = {"channel": self._target.thread.channel, "ts": self._ts, **content}
        try:
            await self._governor.call(
                "chat.appendStream", arguments, urgency=Urgency.UPDATE, repeatable=False, turn_taken=True
            )
        except SlackRefused as error:
            await self._end(error)
            raise MessageOverError from error

    async def _end(self, error: SlackRefused) -> None:
        """The stream is over, or nobody knows what arrived: end it, so that its message can be updated."""
        if error.code == _STOPPED:
            raise StoppedByUser from error
        _log.info("stream-mended", code=error.code, channel=self._target.thread.channel, ts=self._ts)
        if error.code not in (_EXPIRED, *_GONE):
            await stop_stream(self._governor, self._target, str(self._ts))


class PostedMessage:
    """chat.postMessage, then chat.update with the whole text each time. It carries a Stop button while it grows."""

    pace = _UPDATE_PACE
    update_method = "chat.update"

    def __init__(self, governor: Governor, target: ReplyTarget, born: Born, run: str) -> None:
        self._governor = governor
        self._target = target
        self._born = born
        self._run = run
        self._ts: str | None = None
        self._written = ""
        self._growing = False
        self._tasks: dict[str, Task] = {}

    @property
    def begun(self) -> bool:
        return self._ts is not None

    async def write(self, whole: str) -> None:
        if self._ts is None:
            await self._post(whole, growing=True)
        elif whole != self._written:
            await self._update(self._content(whole), turn_taken=True)
        self._written = whole

    async def work(self, tasks: Sequence[Task]) -> None:
        self._tasks |= {task.id: task for task in tasks}
        content = self._content(self._written)
        if self._ts is None:
            await self._send(content, growing=True)
        else:
            await self._update(content, turn_taken=True)

    async def mend(self, whole: str) -> None:
        """It was deleted: there is nothing to mend."""

    async def close(self, whole: str, *, complete: bool) -> None:  # noqa: ARG002 - it is known what is shown
        if self._ts is None:
            await self._post(whole, growing=False)
        elif self._growing or whole != self._written:
            with contextlib.suppress(MessageOverError):
                await self._update(self._blocks(whole, []), turn_taken=False)
        self._written = whole

    def seconds_left(self) -> tuple[float, float]:
        return STREAM_LIFETIME, STREAM_LIFETIME

    async def _update(self, content: dict[str, Any], *, turn_taken: bool) -> None:
        try:
            await _update(self._governor, self._target, str(self._ts), content, turn_taken=turn_taken)
        except SlackRefused as refusal:
            if refusal.code not in _GONE:
                raise
            raise MessageOverError from refusal

    async def _post(self, whole: str, *, growing: bool) -> None:
        await self._send(self._content(whole) if growing else {"markdown_text": whole}, growing=growing)

    async def _send(self, content: dict[str, Any], *, growing: bool) -> None:
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

    def _content(self, whole: str) -> dict[str, Any]:
        """The text so far as a block, because `markdown_text` takes no button beside it."""
        button = {
            "type": "button",
            "action_id": STOP,
            "text": {"type": "plain_text", "text": "Stop"},
            "value": self._run,
        }
        return self._blocks(whole, [{"type": "actions", "elements": [button]}])

    def _blocks(self, whole: str, below: list[dict[str, Any]]) -> dict[str, Any]:
        above = [_context(list(self._tasks.values()))] if self._tasks else []
        return _in_blocks(whole, above, below)


class ResumedMessage:
    """A message that an earlier process began. How much it shows is not known, so it is written once, whole."""

    pace = _UPDATE_PACE
    update_method = "chat.update"

    def __init__(self, governor: Governor, target: ReplyTarget, ts: str, *, stream: bool) -> None:
        self._governor = governor
        self._target = target
        self._ts = ts
        self._stream = stream

    @property
    def begun(self) -> bool:
        return True

    async def write(self, whole: str) -> None:
        """Nothing yet: less than what is shown must never take its place."""

    async def work(self, tasks: Sequence[Task]) -> None:
        """Nothing: what tools did before is told no more."""

    async def mend(self, whole: str) -> None:
        """It never says that it is over."""

    async def close(self, whole: str, *, complete: bool) -> None:
        if self._stream:
            await stop_stream(self._governor, self._target, self._ts)
        if not whole.strip() or (not complete and len(whole) < await self._shown()):
            return
        try:
            # What was posted has blocks, and keeps them unless it is given others.
            content = {"markdown_text": whole} if self._stream else _in_blocks(whole)
            await _update(self._governor, self._target, self._ts, content, turn_taken=False)
        except SlackRefused as refusal:
            if refusal.code not in _GONE:
                raise
            raise MessageGoneError from refusal

    def seconds_left(self) -> tuple[float, float]:
        return math.inf, math.inf

    async def _shown(self) -> float:
        """How many characters it shows, about; more than there can be where Slack does not tell."""
        thread, ts = self._target.thread, self._ts
        only = {"channel": thread.channel, "ts": thread.ts, "oldest": ts, "latest": ts, "inclusive": True, "limit": 5}
        try:
            page = await self._governor.call("conversations.replies", only, reads=True)
        except SlackRefused as error:
            _log.info("message-unreadable", code=error.code, channel=thread.channel, ts=ts)
            return math.inf
        found = [each for each in page.get("messages") or [] if each.get("ts") == ts]
        return sum(max(len(str(each.get("text") or "")), _letters(each.get("blocks"))) for each in found)


def _in_blocks(
    whole: str, above: Sequence[dict[str, Any]] = (), below: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """A text with blocks around it. `chat.update` leaves the blocks that a message has where it is given none
    (https://docs.slack.dev/reference/methods/chat.update)."""
    text = [{"type": "markdown", "text": whole}] if whole.strip() else []
    return {"text": whole[:TEXT].strip() or "…", "blocks": [*above, *text, *below]}


def _letters(blocks: Any) -> int:
    """The characters of all texts in blocks, in whatever form Slack keeps them."""
    if isinstance(blocks, list):
        return sum(map(_letters, blocks))
    if isinstance(blocks, dict):
        return sum(
            len(value) if name == "text" and isinstance(value, str) else _letters(value)
            for name, value in blocks.items()
        )
    return 0


def _chunk(task: Task) -> dict[str, Any]:
    """A task card. Its title and status replace what was said before, its details are added to it: so they are said
    once, with the beginning (https://docs.slack.dev/ai/developing-agents)."""
    chunk = {"type": "task_update", "id": task.id, "title": one_line(task.title, TASK_TEXT), "status": task.status}
    if task.details and task.status is TaskStatus.IN_PROGRESS:
        chunk["details"] = one_line(task.details, TASK_TEXT)
    if task.output:
        chunk["output"] = one_line(task.output, TASK_TEXT)
    return chunk


def _context(tasks: Sequence[Task]) -> dict[str, Any]:
    """Where there are no cards: a line for each of the latest tasks."""
    lines = [f"{_SIGNS[task.status]} {plain(one_line(task.title, TASK_TEXT), TASK_TEXT)}" for task in tasks[-_TASKS:]]
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": "\n".join(lines)}]}


def one_line(text: str, limit: int) -> str:
    """Text from a model or a tool on one line, pinging nobody."""
    text = harmless(" ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


async def stop_stream(governor: Governor, target: ReplyTarget, ts: str) -> None:
    """End a stream; one that is over already is what we wanted."""
    try:
        await governor.call("chat.stopStream", {"channel": target.thread.channel, "ts": ts}, lasting=True)
    except SlackRefused as error:
        _log.info("stream-was-over", code=error.code, ts=ts)


async def update(governor: Governor, target: ReplyTarget, ts: str, whole: str) -> None:
    """Put `whole` in the place of what a message shows."""
    await _update(governor, target, ts, {"markdown_text": whole}, turn_taken=False)


async def _update(
    governor: Governor, target: ReplyTarget, ts: str, content: dict[str, Any], *, turn_taken: bool
) -> None:
    # One whose turn was taken can wait for another one.
    arguments = {"channel": target.thread.channel, "ts": ts, **content}
    urgency = Urgency.UPDATE if turn_taken else Urgency.FIRST_OR_FINAL
    await governor.call("chat.update", arguments, urgency=urgency, turn_taken=turn_taken, lasting=True)
