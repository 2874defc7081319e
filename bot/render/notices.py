"""Bobbin's own short lines, told apart from what a model writes by their form."""

import json
from collections.abc import Sequence
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
#: Characters of a call's arguments that are shown in a question.
_ARGUMENTS = 2_800
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
        """A question with Approve and Deny. Raises SlackRefused."""
        who = " or ".join(f"<@{person}>" for person in approvers)
        where = f" of {plain(call.server, 200)}" if call.server else ""
        text = f"May I use *{plain(call.name, 200)}*{where}? {who} can decide."
        value = f"{run}:{call.id}"
        blocks: list[dict[str, Any]] = [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "section", "text": {"type": "mrkdwn", "text": f"```{_shown(call.arguments)}```"}},
            {"type": "actions", "elements": [_button("Approve", APPROVE, value), _button("Deny", DENY, value)]},
        ]
        return await self._say(target, f"May I use {plain(call.name, 200)}?", blocks)

    async def asked(self, thread: ThreadKey, ts: str, text: str) -> None:
        section = {"type": "section", "text": {"type": "mrkdwn", "text": text}}
        metadata = {"event_type": NOTICE, "event_payload": {}}
        arguments = {"channel": thread.channel, "ts": ts, "text": text, "blocks": [section], "metadata": metadata}
        try:
            await self._governor.call("chat.update", arguments)
        except SlackRefused as error:
            _log.info("question-not-updated", code=error.code, channel=thread.channel)

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
        section = {"type": "section", "text": {"type": "mrkdwn", "text": text}}
        # Given again, because an answer that is taken up looks for what is not one of our own lines.
        metadata = {"event_type": NOTICE, "event_payload": {}}
        arguments = {"channel": channel, "ts": ts, "text": text, "blocks": [section], "metadata": metadata}
        await self._governor.call("chat.update", arguments)

    async def _post(self, target: ReplyTarget, text: str, blocks: list[dict[str, Any]]) -> None:
        await self._say(target, plain(text, TEXT), blocks)

    async def _say(self, target: ReplyTarget, text: str, blocks: list[dict[str, Any]]) -> str:
        arguments = {
            "channel": target.thread.channel,
            "thread_ts": target.thread.ts,
            "text": text,
            "blocks": blocks,
            "unfurl_links": False,
            "unfurl_media": False,
            "metadata": {"event_type": NOTICE, "event_payload": {}},
        }
        # Twice is better than never.
        response = await self._governor.call("chat.postMessage", arguments)
        return str(response["ts"])


def _button(text: str, action: str, value: str) -> dict[str, Any]:
    return {"type": "button", "action_id": action, "text": {"type": "plain_text", "text": text}, "value": value}


def _shown(arguments: str) -> str:
    """A call's arguments for people to read before they approve them: all of them, or plainly cut."""
    try:
        readable = json.dumps(json.loads(arguments), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        readable = arguments
    # Three of these would end the code block that they stand in.
    readable = readable.replace("```", "´´´") or "{}"
    shown = plain(readable, _ARGUMENTS)
    return shown if len(escape(readable)) <= _ARGUMENTS else f"{shown}\n… cut, {len(readable):,} characters in all"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": plain(text, SECTION_TEXT)}}
