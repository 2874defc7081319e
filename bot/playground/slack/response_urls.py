"""response_url: an address at which the app may answer something that a person did.

https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.playground.slack import limits
from bot.playground.slack.blocks import check_blocks
from bot.playground.slack.errors import SlackError
from bot.playground.slack.methods import Methods
from bot.playground.slack.workspace import Channel, Person, Workspace

Json = dict[str, Any]

_TYPES = frozenset({"ephemeral", "in_channel"})


@dataclass(slots=True)
class _Entry:
    """Who did something, where, to which message (None: to none), and how often it may still be answered."""

    person: Person
    channel: Channel
    thread_ts: str | None
    message: Json | None
    at: float
    left: int = limits.RESPONSE_URL_USES


class ResponseUrls:
    """Makes them, and takes what is posted there."""

    def __init__(self, workspace: Workspace, methods: Methods, address: Callable[[str], str]) -> None:
        """`address` makes an address of a token."""
        self._workspace = workspace
        self._methods = methods
        self._address = address
        self._entries: dict[str, _Entry] = {}

    def new(self, person: Person, channel: Channel, thread_ts: str | None = None, message: Json | None = None) -> str:
        """`message` is what an answer may replace."""
        token = secrets.token_urlsafe(12)
        self._entries[token] = _Entry(person, channel, thread_ts, message, self._workspace.clock())
        return self._address(token)

    def answer(self, token: str, answer: Any) -> None:
        """Take an answer. Raises SlackError where the address is unknown, too old or used up, or the answer bad."""
        entry = self._entries.get(token)
        if entry is None:
            raise SlackError("invalid_url")
        if self._workspace.clock() - entry.at > limits.RESPONSE_URL_LIFETIME:
            raise SlackError("expired_url")
        if entry.left <= 0:
            raise SlackError("used_url")
        _check(answer)
        entry.left -= 1
        if entry.message is not None and (answer.get("replace_original") or answer.get("delete_original")):
            self._replace(entry, entry.message, answer)
        else:
            self.show(entry.person, entry.channel, answer.get("thread_ts") or entry.thread_ts, answer)

    def show(self, person: Person, channel: Channel, thread_ts: str | None, answer: Json) -> None:
        """Show an answer: to one person, or to everybody where it says so. Raises SlackError for a bad one."""
        _check(answer)
        if answer.get("response_type") == "in_channel":
            thread = {"thread_ts": thread_ts} if thread_ts else {}
            self._methods.say(channel, {"text": "", **_said(answer), **thread})
            return
        shown = {"channel": channel.id, "to": person.id, "ts": self._workspace.next_ts(), "thread_ts": thread_ts}
        self._workspace.ephemerals.append({**shown, **_said(answer)})

    def _replace(self, entry: _Entry, message: Json, answer: Json) -> None:
        ephemeral = "to" in message
        if answer.get("delete_original"):
            if ephemeral:
                self._workspace.ephemerals.remove(message)
            else:
                self._workspace.messages[entry.channel.id].pop(message["ts"], None)
            return
        for name in ("text", "blocks", "markdown_text"):
            message.pop(name, None)
        message |= {"text": "", **_said(answer)}


def _said(answer: Json) -> Json:
    return {name: answer[name] for name in ("text", "blocks") if answer.get(name)}


def _check(answer: Any) -> None:
    if not isinstance(answer, dict):
        raise SlackError("json_not_object")
    if str(answer.get("response_type", "ephemeral")) not in _TYPES:
        raise SlackError("invalid_response_type")
    if answer.get("delete_original"):
        return
    if not (answer.get("text") or answer.get("blocks") or answer.get("attachments")):
        raise SlackError("no_text")
    check_blocks(answer.get("blocks") or [])
