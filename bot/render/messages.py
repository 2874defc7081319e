"""The two ways in which a growing text is a Slack message: streamed, or posted and updated."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from bot.engine.ports import ReplyTarget
from bot.errors import SlackRefused, StoppedByUser
from bot.render.governor import UNCERTAIN, Governor, Urgency
from bot.render.limits import STREAM_LIFETIME

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
#: Somebody deleted the message: what it showed is their decision, and what is still to come goes on below.
_DELETED = "message_not_found"

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

    async def close(self, whole: str) -> None:
        """Show the rest; this message grows no more."""

    def seconds_left(self) -> tuple[float, float]:
        """Until a good place to end should be taken, and until any place has to do."""


class MessageOverError(Exception):
    """This message takes no more, and shows all that it was last asked to show; the text goes on in another."""


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
        self._ts: str | None = None
        self._written = ""
        self._started_at = 0.0

    @property
    def begun(self) -> bool:
        return self._ts is not None

    async def write(self, whole: str) -> None:
        piece = whole[len(self._written) :]
        if not piece:
            return
        if self._ts is None:
            await self._start(piece)
        else:
            await self._append(whole, piece)
        self._written = whole

    async def close(self, whole: str) -> None:
        if self._ts is None:
            await self.write(whole)
        piece = whole[len(self._written) :]
        arguments = {"channel": self._target.thread.channel, "ts": self._ts}
        if piece:
            arguments["markdown_text"] = piece
        try:
            await self._governor.call("chat.stopStream", arguments, repeatable=False)
        except SlackRefused as error:
            await self._mend(error, whole)
        self._written = whole

    def seconds_left(self) -> tuple[float, float]:
        age = asyncio.get_running_loop().time() - self._started_at if self._ts else 0.0
        return self._lifetime * _EARLY - age, self._lifetime * _LATE - age

    async def _start(self, piece: str) -> None:
        arguments = {
            "channel": self._target.thread.channel,
            "thread_ts": self._target.thread.ts,
            "markdown_text": piece,
        }
        if self._target.surface != "im":
            # Outside of DMs Slack wants to know for whom it streams
            # (https://docs.slack.dev/reference/methods/chat.startStream).
            arguments |= {"recipient_user_id": self._target.asker, "recipient_team_id": self._target.asker_team}
        self._started_at = asyncio.get_running_loop().time()
        response = await self._governor.call("chat.startStream", arguments, repeatable=False)
        self._ts = str(response["ts"])
        await self._born(self._ts, True)

    async def _append(self, whole: str, piece: str) -> None:
        arguments = {"channel": self._target.thread.channel, "ts": self._ts, "markdown_text": piece}
        try:
            await self._governor.call(
                "chat.appendStream", arguments, urgency=Urgency.UPDATE, repeatable=False, turn_taken=True
            )
        except SlackRefused as error:
            await self._mend(error, whole)
            raise MessageOverError from error

    async def _mend(self, error: SlackRefused, whole: str) -> None:
        """The stream is over, or nobody knows what arrived: put the whole text in its place, which is repeatable."""
        if error.code == _STOPPED:
            raise StoppedByUser from error
        _log.info("stream-mended", code=error.code, channel=self._target.thread.channel, ts=self._ts)
        if error.code == UNCERTAIN:
            await self._stop()
        try:
            await update(self._governor, self._target, str(self._ts), whole)
        except SlackRefused as refusal:
            if refusal.code != _DELETED:
                raise
            _log.info("message-was-deleted", channel=self._target.thread.channel, ts=self._ts)

    async def _stop(self) -> None:
        try:
            await self._governor.call(
                "chat.stopStream", {"channel": self._target.thread.channel, "ts": self._ts}, repeatable=True
            )
        except SlackRefused as error:
            if error.code != _EXPIRED:  # stopped already: what we wanted
                raise


class PostedMessage:
    """chat.postMessage, then chat.update with the whole text each time."""

    pace = _UPDATE_PACE
    update_method = "chat.update"

    def __init__(self, governor: Governor, target: ReplyTarget, born: Born, run: str) -> None:
        self._governor = governor
        self._target = target
        self._born = born
        self._run = run
        self._ts: str | None = None
        self._written = ""

    @property
    def begun(self) -> bool:
        return self._ts is not None

    async def write(self, whole: str) -> None:
        await self._show(whole, turn_taken=True)

    async def close(self, whole: str) -> None:
        with contextlib.suppress(MessageOverError):
            await self._show(whole, turn_taken=False)

    def seconds_left(self) -> tuple[float, float]:
        return STREAM_LIFETIME, STREAM_LIFETIME

    async def _show(self, whole: str, *, turn_taken: bool) -> None:
        if whole == self._written:
            return
        if self._ts is None:
            await self._post(whole)
        else:
            await self._update(whole, turn_taken=turn_taken)
        self._written = whole

    async def _update(self, whole: str, *, turn_taken: bool) -> None:
        try:
            await update(self._governor, self._target, str(self._ts), whole, turn_taken=turn_taken)
        except SlackRefused as refusal:
            if refusal.code != _DELETED:
                raise
            raise MessageOverError from refusal

    async def _post(self, whole: str) -> None:
        arguments = {
            "channel": self._target.thread.channel,
            "thread_ts": self._target.thread.ts,
            "markdown_text": whole,
            "unfurl_links": False,
            "unfurl_media": False,
            "metadata": {"event_type": "bobbin_reply", "event_payload": {"run": self._run}},
        }
        response = await self._governor.call("chat.postMessage", arguments, repeatable=False)
        self._ts = str(response["ts"])
        await self._born(self._ts, False)


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

    async def close(self, whole: str) -> None:
        if self._stream:
            try:
                stop = {"channel": self._target.thread.channel, "ts": self._ts}
                await self._governor.call("chat.stopStream", stop)
            except SlackRefused as error:
                _log.info("stream-was-over", code=error.code, ts=self._ts)
        await update(self._governor, self._target, self._ts, whole)

    def seconds_left(self) -> tuple[float, float]:
        return STREAM_LIFETIME, STREAM_LIFETIME


async def update(governor: Governor, target: ReplyTarget, ts: str, whole: str, *, turn_taken: bool = False) -> None:
    """Put `whole` in the place of what a message shows. An update whose turn was taken can wait for another one."""
    arguments = {"channel": target.thread.channel, "ts": ts, "markdown_text": whole}
    urgency = Urgency.UPDATE if turn_taken else Urgency.FIRST_OR_FINAL
    await governor.call("chat.update", arguments, urgency=urgency, turn_taken=turn_taken)
