"""A Slack message that an earlier process began, and that is to be finished."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog

from bot.engine.ports import ReplyTarget, Task
from bot.errors import SlackRefused, StoppedByUser
from bot.render.cards import card
from bot.render.governor import Governor, Urgency
from bot.render.messages import (
    GONE,
    STOPPED,
    UPDATE_PACE,
    MessageGoneError,
    in_blocks,
    in_place,
    stop_stream,
    update,
)

_log = structlog.get_logger()

#: What stands in a message that showed nothing but what tools were at.
_INTERRUPTED = "_This was interrupted._"


class ResumedMessage:
    """How much of the text it shows is not known, so that is written once, whole. What tools do is told at once: a
    card of a tool that is used again is still there, at work."""

    pace = UPDATE_PACE
    update_method = "chat.update"

    def __init__(self, governor: Governor, target: ReplyTarget, ts: str, *, stream: bool) -> None:
        self.tasks: dict[str, Task] = {}
        self._governor = governor
        self._target = target
        self._ts = ts
        self._stream = stream
        self._streaming = stream

    @property
    def begun(self) -> bool:
        return True

    async def write(self, whole: str, tasks: Sequence[Task] = ()) -> None:  # noqa: ARG002 - see below
        """Tasks only: less text than what is shown must never take its place."""
        self.tasks |= {task.id: task for task in tasks}
        if not tasks or not self._streaming:
            return
        arguments = {"channel": self._target.thread.channel, "ts": self._ts, "chunks": _again(tasks)}
        try:
            await self._governor.call("chat.appendStream", arguments, urgency=Urgency.UPDATE, repeatable=False)
        except SlackRefused as error:
            if error.code == STOPPED:
                raise StoppedByUser from error
            _log.info("stream-not-resumed", code=error.code, channel=self._target.thread.channel, ts=self._ts)
            self._streaming = False

    async def mend(self, whole: str, tasks: Sequence[Task] = ()) -> None:
        """It never says that it is over."""

    async def close(self, whole: str, tasks: Sequence[Task] = (), *, complete: bool) -> None:
        self.tasks |= {task.id: task for task in tasks}
        if self._stream:
            await stop_stream(self._governor, self._target, self._ts, _again(tasks))
        said = whole.strip()
        if not (said and complete) and len(said) < await self._shown():
            return
        content = self._content(whole)
        if content is None:
            return
        try:
            await update(self._governor, self._target, self._ts, content, turn_taken=False)
        except SlackRefused as refusal:
            if refusal.code not in GONE:
                raise
            raise MessageGoneError from refusal

    def seconds_left(self) -> tuple[float, float]:
        return math.inf, math.inf

    def _content(self, whole: str) -> dict[str, Any] | None:
        """What takes the place of all that it shows."""
        if not whole.strip() and not self.tasks:
            # A stream without text shows cards, of tools of which nobody will hear again.
            return in_blocks(_INTERRUPTED, {}) if self._stream else None
        # What was posted has blocks, and keeps them unless it is given others.
        return in_place(whole, self.tasks) if self._stream else in_blocks(whole, self.tasks)

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


def _again(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Cards without their details, which are there already: they would be added once more."""
    return [card(task, replace(task, output="")) for task in tasks]


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
