"""A run's reply: the answer so far becomes Slack messages, live, a page at a time."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from bot.engine.ports import (
    Answered,
    Ending,
    FileMade,
    Ledger,
    Recovery,
    Reply,
    ReplyMessage,
    ReplyTarget,
    Source,
    Task,
)
from bot.errors import SlackRefused, StoppedByUser
from bot.render.cards import Cards
from bot.render.governor import UNCERTAIN, Governor, Urgency
from bot.render.harmless import HarmlessText, harmless
from bot.render.limits import STATUS_LIFETIME, STREAM_LIFETIME
from bot.render.made import MadeFiles
from bot.render.markdown import Fences, page_end, page_text, settled, whole_lines
from bot.render.messages import GrowingMessage, MessageGoneError, MessageOverError, PostedMessage, StreamedMessage
from bot.render.notices import NOTICE, SlackNotices
from bot.render.resumed import ResumedMessage
from bot.render.sources import listed
from bot.render.status import ThreadStatus
from bot.render.uploads import SlackUploads

_log = structlog.get_logger()

#: What comes between what a run said before it waited and what it says then.
_BETWEEN = "\n\n"
#: Seconds after which a first word is shown although it may still grow.
_FIRST_WORD_PATIENCE = 0.25
#: Messages among which lost ones are looked for, and the seconds that may take: a message twice is worse than a late
#: one, and an app outside the Marketplace may be allowed to look once a minute.
_LOST_AMONG, _LOST_PATIENCE = 200, 120.0
#: How often a reply begins again after a call of which nobody knows whether Slack carried it out: as a stream, and at
#: all.
_STREAM_SEARCHES, _SEARCHES = 2, 5
#: Slack's answers to chat.startStream after which posting would be refused too.
_HOPELESS = frozenset(
    {
        "account_inactive",
        "channel_not_found",
        "invalid_auth",
        "is_archived",
        "not_authed",
        "not_in_channel",
        "token_expired",
        "token_revoked",
    }
)
#: ... and after which no other stream will be taken either.
_NO_STREAMS = frozenset({"unknown_method", "method_deprecated", "not_allowed_token_type", "feature_disabled"})


class SlackReplies:
    """Opens replies, and remembers whether this workspace streams at all."""

    def __init__(
        self,
        governor: Governor,
        notices: SlackNotices,
        uploads: SlackUploads,
        bot_user: str,
        *,
        stream_lifetime: float = STREAM_LIFETIME,
    ) -> None:
        """`bot_user` is Bobbin's own user id; `stream_lifetime` is after how many seconds Slack ends a stream."""
        self.bot_user = bot_user
        self.uploads = uploads
        self.governor = governor
        self.notices = notices
        self.stream_lifetime = stream_lifetime
        self.streams = True

    def open(
        self,
        run: str,
        target: ReplyTarget,
        shown: Sequence[ReplyMessage],
        ledger: Ledger,
        recovery: Recovery,
        folder: Path,
    ) -> Reply:
        files = MadeFiles(self.uploads, ledger, run, target, folder)
        return SlackReply(self, run, target, shown, ledger, recovery, files)

    async def lost_messages(self, target: ReplyTarget, recovery: Recovery) -> list[str]:
        """The ts of what Bobbin wrote in a thread without hearing or storing it, oldest first."""
        arguments = {
            "channel": target.thread.channel,
            "ts": target.thread.ts,
            "oldest": recovery.since,
            "include_all_metadata": True,
            "limit": _LOST_AMONG,
        }
        try:
            async with asyncio.timeout(_LOST_PATIENCE):
                page = await self.governor.call("conversations.replies", arguments, reads=True, lasting=True)
        except (SlackRefused, TimeoutError) as error:
            _log.info("lost-messages-unreadable", channel=target.thread.channel, error=repr(error))
            return []
        return [
            str(message["ts"])
            for message in page.get("messages") or []
            if message.get("user") == self.bot_user
            and str(message["ts"]) > recovery.since
            and message["ts"] not in recovery.known
            and (message.get("metadata") or {}).get("event_type") != NOTICE
        ]


class SlackReply:
    """Writes in a task of its own, so that a slow Slack never slows the run; `show` only leaves the text."""

    def __init__(
        self,
        replies: SlackReplies,
        run: str,
        target: ReplyTarget,
        shown: Sequence[ReplyMessage],
        ledger: Ledger,
        recovery: Recovery,
        files: MadeFiles,
    ) -> None:
        self._replies = replies
        self._run = run
        self._target = target
        self._ledger = ledger
        self._status = ThreadStatus(replies.governor, target.thread)
        #: What was said and is still to be read (None once the text is final), and what of it can be shown.
        self._said: str | None = ""
        self._growing = HarmlessText()
        self._text = ""
        self._fences = Fences()
        #: Whether the text does not go on for now, and how it ended.
        self._whole = False
        self._ending: Ending | None = None
        self._changed = asyncio.Event()
        #: Where the current message begins in the text, how far the text is shown, and how many messages there are.
        self._start = self._shown = 0
        self._count = len(shown)
        self._recovery = recovery
        #: Messages that were begun and not stored; they are taken before new ones are made.
        self._lost: list[str] = []
        self._searches = 0
        self._message: GrowingMessage | None = None
        self._cards = Cards()
        self._files = files
        if shown:
            last = shown[-1]
            self._start = self._shown = last.start
            self._message = ResumedMessage(replies.governor, target, last.ts, stream=last.stream)
        self._writer = asyncio.create_task(self._write())

    def show(self, text: str, *, whole: bool = False) -> None:
        if self._writer.done():
            self._writer.result()  # raises what stopped it
        self._whole = whole
        # What follows must not begin with white space, which Slack may drop where two appended parts meet.
        self._said = text + _BETWEEN if whole and text.strip() else text
        self._changed.set()

    def task(self, task: Task) -> None:
        self._hear()
        self._cards.tell(task, len(self._text))
        self._changed.set()

    def attach(self, file: FileMade) -> None:
        self._hear()
        self._files.add(file, len(self._text))
        self._changed.set()

    async def finish(self, text: str, ending: Ending, sources: Sequence[Source] = ()) -> None:
        self._said = None
        self._put(harmless(text + listed(sources)))
        self._cards.end(ending, len(self._text))
        if ending == Answered:
            await self._files.add_snippets(text, len(self._text))
        self._ending = ending
        self._changed.set()
        try:
            await self._writer
        except StoppedByUser as stopped:
            await self._end(ending if ending.notice else Ending(stopped.sentence))

    async def apologise(self, ending: Ending) -> None:
        try:
            await self._replies.notices.ending(self._run, self._target, ending)
        except SlackRefused as error:
            _log.info("apology-undeliverable", channel=self._target.thread.channel, code=error.code)
        await self._status.clear()

    def abandon(self) -> None:
        self._writer.cancel()
        self._status.abandon()

    def _hear(self) -> None:
        """Read what was said since: not word by word, however fast it comes."""
        if self._said is not None:
            self._put(self._growing.grow(self._said))

    def _put(self, text: str) -> None:
        if not text.startswith(self._text):
            self._fences = Fences()
        self._text = text

    # The writer's task

    async def _write(self) -> None:
        self._status.think()
        if self._recovery.taken_up:
            self._lost = await self._replies.lost_messages(self._target, self._recovery)
            self._recovery = replace(self._recovery, taken_up=False)
        while self._ending is None:
            await self._wait()
            if self._ending is None and self._news() and await self._turn():
                await self._tell()
        while self._news():
            await self._tell()
            if not self._news():
                await self._close_message(cut=False)
        self._shown = min(self._shown, len(self._text))
        await self._close_message(cut=False)
        while self._lost:
            # A stream that was begun and for which there is no text now: it must not stay open.
            message = await self._begin()
            await message.close("", complete=False)
        await self._end(self._ending)

    async def _tell(self) -> None:
        """Show what there is, in the order in which it came."""
        await self._advance(self._showable())
        await self._upload(self._shown)

    async def _end(self, ending: Ending) -> None:
        if ending.notice:
            await self._replies.notices.ending(self._run, self._target, ending)
        await self._status.clear()

    async def _wait(self) -> None:
        """Until there is more to show (but not sooner than the pace allows), or something is due."""
        if self._message and self._message.begun:
            await self._finished_within(self._message.pace)
        if self._ending is None and not self._news():
            self._changed.clear()
            try:
                async with asyncio.timeout(self._patience()):
                    await self._changed.wait()
            except TimeoutError:
                await self._due()

    async def _turn(self) -> bool:
        """Stand in line for the next update; its text is what has come by then. False where the end came first: the
        final text does not wait behind an update."""
        if not (self._message and self._message.begun):
            return True
        place = (self._message.update_method, self._target.thread.channel, Urgency.UPDATE)
        turn = asyncio.create_task(self._replies.governor.turn(*place))
        try:
            while not turn.done() and self._ending is None:
                self._changed.clear()
                changed = asyncio.create_task(self._changed.wait())
                try:
                    await asyncio.wait({turn, changed}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
            return turn.done() and self._ending is None
        finally:
            turn.cancel()

    async def _finished_within(self, seconds: float) -> None:
        """Let text gather; an ending is not kept waiting."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self._ending is None and (left := deadline - asyncio.get_running_loop().time()) > 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return

    def _news(self) -> bool:
        """Whether there is something to show."""
        self._hear()
        return self._showable() > self._shown or self._cards.place is not None or self._files.place is not None

    def _showable(self) -> int:
        """How far the text can be shown: to a task or a file that came before the rest, or to its last whole word."""
        over = self._whole or self._ending is not None
        places = [place for place in (self._cards.place, self._files.place) if place is not None]
        return min(places, default=len(self._text) if over else settled(self._text))

    def _patience(self) -> float:
        """Seconds until something has to be done although no more text came."""
        if self._message and self._message.begun:
            return max(self._message.seconds_left()[1], 0.0)
        return _FIRST_WORD_PATIENCE if self._first_word() else STATUS_LIFETIME * 0.8

    def _first_word(self) -> int:
        """How much of a text that may be a single word can be shown: not what may become an entity."""
        return len(self._text.rstrip().rstrip("<"))

    async def _due(self) -> None:
        if self._message and self._message.begun:
            await self._close_message(cut=True)
        elif first := self._first_word():
            await self._advance(first)
        else:
            self._status.think()

    async def _advance(self, limit: int) -> None:
        """Show the text up to `limit`, and what tools do there, in as many messages as it takes."""
        while self._shown < limit or self._cards.due(self._shown):
            message = self._message or await self._begin()
            early, late = message.seconds_left()
            end = page_end(self._text, self._start, self._shown, limit, early=early <= 0, fences=self._fences)
            if end is None and late <= 0:
                end = self._shown
            to = limit if end is None else end
            if message.begun and (end is not None or (self._ending and not self._cards.due(to))):
                self._shown = to  # closing it shows the rest
            else:
                await self._show(message, to)
            if end is not None and self._shown == end:
                await self._close_message(cut=True)

    async def _upload(self, shown: int) -> None:
        """Post the files that belong after the text so far, below it."""
        files = await self._files.due(shown)
        if not files:
            return
        await self._close_message(cut=True)
        if problem := await self._files.post(files):
            await self._replies.notices.public(self._target, problem)

    async def _show(self, message: GrowingMessage, limit: int) -> None:
        whole = page_text(self._text, self._start, limit, cut=False, fences=self._fences)
        tasks = self._cards.due(limit)
        try:
            if whole.strip() or tasks:
                await message.write(whole, tasks)
        except MessageOverError:
            await self._go_on_below(message, limit)
            return
        except SlackRefused as error:
            await self._begin_otherwise(message, error)
            return
        self._cards.told(tasks)
        self._shown = limit

    async def _go_on_below(self, message: GrowingMessage, limit: int) -> None:
        """A message ended before its time: give it a good end, and let the rest begin another."""
        end = whole_lines(self._text, self._start, limit, fences=self._fences)
        whole = page_text(self._text, self._start, end, cut=True, fences=self._fences)
        await message.mend(whole, self._cards.leave(message.tasks, end))
        self._start = self._shown = end
        self._message = None

    async def _begin_otherwise(self, message: GrowingMessage, error: SlackRefused) -> None:
        """A message could not be begun: look for it where nobody knows, else do without streams. Raises `error` where
        there is no other way."""
        if message.begun or error.code in _HOPELESS:
            raise error
        patient = self._searches < (_STREAM_SEARCHES if isinstance(message, StreamedMessage) else _SEARCHES)
        if error.code == UNCERTAIN and patient:
            self._searches += 1
            self._lost = await self._replies.lost_messages(self._target, self._recovery)
            self._message = None
        elif isinstance(message, StreamedMessage):
            self._go_without_stream(error)
        else:
            raise error

    def _go_without_stream(self, error: SlackRefused) -> None:
        _log.info("streaming-unavailable", code=error.code, channel=self._target.thread.channel)
        if error.code in _NO_STREAMS:
            self._replies.streams = False
        self._message = self._posted()

    async def _begin(self) -> GrowingMessage:
        if self._lost:
            ts = self._lost.pop(0)
            await self._born(ts, True)
            self._message = resumed = ResumedMessage(self._replies.governor, self._target, ts, stream=True)
            return resumed
        # A full line for streams is no reason to keep people waiting: posting has a budget of its own.
        streams = self._replies.streams and self._replies.governor.free("chat.startStream")
        message = self._streamed() if streams else self._posted()
        self._message = message
        return message

    def _streamed(self) -> StreamedMessage:
        return StreamedMessage(self._replies.governor, self._target, self._born, self._replies.stream_lifetime)

    def _posted(self) -> PostedMessage:
        return PostedMessage(self._replies.governor, self._target, self._born, self._run)

    async def _born(self, ts: str, stream: bool) -> None:
        message = ReplyMessage(self._run, self._count, ts, self._start, stream, time.time())
        self._recovery = replace(self._recovery, known=self._recovery.known | {ts})
        self._count += 1
        await self._ledger.add_reply_message(message)

    async def _close_message(self, *, cut: bool) -> None:
        """End the current message with what is shown of it; the next begins where this ends."""
        message, self._message = self._message, None
        if message is None:
            return
        begin, self._start = self._start, self._shown
        whole = page_text(self._text, begin, self._shown, cut=cut, fences=self._fences)
        if not message.begun and not whole.strip():
            return
        last = self._cards.leave(message.tasks, self._shown)
        try:
            await message.close(whole, last, complete=cut or self._ending == Answered)
        except MessageGoneError:
            # Nothing of it is left in Slack: it is said again, in a message of its own.
            self._start = self._shown = begin
