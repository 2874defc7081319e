"""Bobbin's own short lines, told apart from what a model writes by their form."""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog

from bot.engine.ports import Ending, Post, ReplyTarget, ThreadKey, ToolCall
from bot.errors import SlackRefused
from bot.render.governor import Governor
from bot.render.limits import SECTION_TEXT, TEXT

#: The action of the Retry button; its value is the run's id.
RETRY = "retry_run"
#: The actions of a question; their value is the run's id and the call's.
APPROVE, DENY = "approve_call", "deny_call"
#: Messages of a thread among which a question is looked for, and seconds by which Slack's clock may be behind ours.
_LOOKED_AT, _CLOCKS = 200, 60.0
#: Characters of a block of a call's arguments in a question, and how many there are: more nobody reads before they
#: approve.
_ARGUMENTS, _ARGUMENT_BLOCKS = 2_800, 8
#: Characters of a tool's name.
_NAME = 100
#: Where an approver who is not there does not see a question.
_CLOSED = frozenset({"im", "mpim", "group"})
#: Characters that show as nothing, or turn what stands beside them around, besides Unicode's own categories for such.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
#: The metadata by which Bobbin's own lines are told from answers.
NOTICE = "bobbin_notice"
#: The reaction on a post that waits.
_WAITING = "hourglass_flowing_sand"

_log = structlog.get_logger()


def escape(text: str) -> str:
    """Make text plain for Slack: nothing in it is a mention, a link or an entity
    (https://docs.slack.dev/messaging/formatting-message-text#escaping)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(text: str, limit: int) -> str:
    """Text made plain, and cut so that it has at most `limit` characters then."""
    while len(escape(text)) > limit:
        text = text[: -max((len(escape(text)) - limit) // 5, 1)]
    return escape(text)


class SlackNotices:
    """Posts them. Their text is Bobbin's own mrkdwn; anything a person or a server wrote in it is escaped."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor

    async def private(self, target: ReplyTarget, text: str) -> None:
        """To the asker alone, in the thread. Raises SlackRefused."""
        arguments = {
            "channel": target.thread.channel,
            "user": target.asker,
            "thread_ts": target.thread.ts,
            "text": plain(text, TEXT),
        }
        await self._governor.call("chat.postEphemeral", arguments)

    async def public(self, target: ReplyTarget, text: str) -> None:
        """To everybody in the thread. Raises SlackRefused."""
        await self._post(target, text, [_section(text)])

    async def ask(self, run: str, target: ReplyTarget, call: ToolCall, approvers: Sequence[str]) -> str:
        """A question with Approve and Deny; where an approver may not be in the conversation, a copy of it in theirs.
        Raises SlackRefused."""
        who = " or ".join(f"<@{person}>" for person in approvers)
        may = f"May I use `{_name(call.name)}`{f' of `{_name(call.server)}`' if call.server else ''}?"
        value = _value(run, call)
        buttons = {"type": "actions", "elements": [_button("Approve", APPROVE, value), _button("Deny", DENY, value)]}
        shown = [*_arguments(call), buttons]
        ts = await self._say(target.thread, may, [_mrkdwn(f"{may} {who} can decide."), *shown], question=value)
        elsewhere = [person for person in approvers if person != target.asker and target.surface in _CLOSED]
        for person in elsewhere:
            copy = f"<@{target.asker}> asks in a conversation that you may not see. {may}"
            try:
                await self._say(replace(target.thread, channel=person, ts=""), may, [_mrkdwn(copy), *shown])
            except SlackRefused as error:
                _log.warning("approver-not-asked", person=person, code=error.code)
        return ts

    async def found(self, run: str, thread: ThreadKey, call: ToolCall, since: float) -> str | None:
        arguments = {
            "channel": thread.channel,
            "ts": thread.ts,
            "oldest": f"{since - _CLOCKS:.6f}",
            "include_all_metadata": True,
            "limit": _LOOKED_AT,
        }
        try:
            page = await self._governor.call("conversations.replies", arguments, reads=True)
        except SlackRefused as error:
            _log.info("question-not-looked-for", channel=thread.channel, code=error.code)
            return None
        for message in page.get("messages") or []:
            metadata = message.get("metadata") or {}
            if (metadata.get("event_payload") or {}).get("question") == _value(run, call):
                return str(message["ts"])
        return None

    async def asked(self, thread: ThreadKey, ts: str, text: str, call: ToolCall) -> None:
        text = f"`{_name(call.name)}`: {text}"
        blocks = [_mrkdwn(text), *_arguments(call)]
        try:
            await self._replace(thread.channel, ts, text, blocks)
        except SlackRefused as error:
            _log.info("question-not-updated", code=error.code, channel=thread.channel)
            if error.code == "message_not_found":
                await self._said_anew(thread, text, blocks)

    async def _said_anew(self, thread: ThreadKey, text: str, blocks: list[dict[str, Any]]) -> None:
        """Somebody deleted a question; what came of it is told all the same."""
        try:
            await self._say(thread, text, blocks)
        except SlackRefused as error:
            _log.info("outcome-undeliverable", code=error.code, channel=thread.channel)

    async def mark(self, post: Post) -> None:
        """An hourglass on a post that waits for a run to end."""
        await self._react("reactions.add", post)

    async def unmark(self, post: Post) -> None:
        await self._react("reactions.remove", post)

    async def _react(self, method: str, post: Post) -> None:
        arguments = {"channel": post.thread.channel, "timestamp": post.ts, "name": _WAITING}
        try:
            await self._governor.call(method, arguments)
        except SlackRefused as error:
            # There is none, there is one already, or the post is gone: a mark is a kindness, nothing more.
            _log.debug("mark-refused", method=method, code=error.code)

    async def ending(self, run: str, target: ReplyTarget, ending: Ending) -> None:
        """The line under an answer that says how it ended, with a Retry button where that makes sense."""
        text = ending.notice or ""
        blocks = [_section(text)]
        if ending.retry:
            blocks.append({"type": "actions", "elements": [_button("Retry", RETRY, run)]})
        await self._post(target, text, blocks)

    async def retried(self, channel: str, ts: str, person: str) -> None:
        """An ending whose Retry was pressed says by whom, and offers it no more. Raises SlackRefused."""
        text = f"Tried again by <@{person}>."
        await self._replace(channel, ts, text, [_mrkdwn(text)])

    async def _replace(self, channel: str, ts: str, text: str, blocks: list[dict[str, Any]]) -> None:
        # Metadata again, because an answer that is taken up looks for what is not one of our own lines.
        metadata = {"event_type": NOTICE, "event_payload": {}}
        arguments = {"channel": channel, "ts": ts, "text": text, "blocks": blocks, "metadata": metadata}
        await self._governor.call("chat.update", arguments)

    async def _post(self, target: ReplyTarget, text: str, blocks: list[dict[str, Any]]) -> None:
        await self._say(target.thread, plain(text, TEXT), blocks)

    async def _say(
        self, thread: ThreadKey, text: str, blocks: list[dict[str, Any]], *, question: str | None = None
    ) -> str:
        """Post into a thread; without its ts into the conversation itself. A `question` is found again by its value."""
        arguments = {
            "channel": thread.channel,
            **({"thread_ts": thread.ts} if thread.ts else {}),
            "text": text,
            "blocks": blocks,
            "unfurl_links": False,
            "unfurl_media": False,
            "metadata": {"event_type": NOTICE, "event_payload": {"question": question} if question else {}},
        }
        # Twice is better than never.
        response = await self._governor.call("chat.postMessage", arguments)
        return str(response["ts"])


def _button(text: str, action: str, value: str) -> dict[str, Any]:
    return {"type": "button", "action_id": action, "text": {"type": "plain_text", "text": text}, "value": value}


def _value(run: str, call: ToolCall) -> str:
    """What the buttons under a question stand for."""
    return f"{run}:{call.id}"


def _arguments(call: ToolCall) -> list[dict[str, Any]]:
    """A call's arguments for people to read before they approve them: all of them, or plainly cut."""
    readable = "".join(map(_visible, _readable(call.arguments))).replace("```", r"\u0060" * 3)
    pieces = _pieces(readable or "{}", _ARGUMENTS)
    blocks = [_mrkdwn(f"```{escape(piece)}```") for piece in pieces[:_ARGUMENT_BLOCKS]]
    if len(pieces) > _ARGUMENT_BLOCKS:
        blocks.append(_mrkdwn(f"… cut here: these arguments have {len(readable):,} characters in all."))
    return blocks


def _readable(arguments: str) -> str:
    """JSON in lines; as it was written where another reading of it would show something else."""
    try:
        value = json.loads(arguments, object_pairs_hook=_unique)
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return arguments


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError where a key is given twice: which one counts is up to whoever reads it."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _visible(character: str) -> str:
    """What can be seen stays; anything else is written as JSON writes it."""
    category = unicodedata.category(character)
    hidden = category[0] == "C" or category in ("Zl", "Zp") or character in _UNSEEN or _varies(character)
    return json.dumps(character)[1:-1] if hidden and character != "\n" else character


def _varies(character: str) -> bool:
    """Variation selectors beyond those of emoji can carry hidden text."""
    return "\ufe00" <= character <= "\ufe0e" or "\U000e0100" <= character <= "\U000e01ef"


def _pieces(text: str, limit: int) -> list[str]:
    """Text cut so that each piece has at most `limit` characters once it is escaped."""
    pieces, begin, size = [], 0, 0
    for place, character in enumerate(text):
        width = len(escape(character))
        if size + width > limit:
            pieces.append(text[begin:place])
            begin, size = place, 0
        size += width
    return [*pieces, text[begin:]]


def _name(name: str) -> str:
    """A tool's or a server's name as it may stand in a line of ours: others choose it."""
    return re.sub(r"[^\w.\-]", "_", name, flags=re.ASCII)[:_NAME]


def _mrkdwn(text: str) -> dict[str, Any]:
    """A block of what is our own, or harmless already."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _section(text: str) -> dict[str, Any]:
    return _mrkdwn(plain(text, SECTION_TEXT))
