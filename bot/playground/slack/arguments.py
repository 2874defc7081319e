"""What a Web API call may say: its arguments, by method, with their types."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bot.playground.slack.errors import SlackError, invalid

Json = dict[str, Any]

_S, _B, _L, _O, _N = "string", "boolean", "array", "object", "number"
_POST = {
    "channel": _S, "text": _S, "blocks": _L, "attachments": _L, "thread_ts": _S, "markdown_text": _S, "metadata": _O,
    "unfurl_links": _B, "unfurl_media": _B, "mrkdwn": _B, "parse": _S, "link_names": _B, "reply_broadcast": _B,
    "icon_emoji": _S, "icon_url": _S, "username": _S, "as_user": _B,
}  # fmt: skip
_STREAM = {"channel": _S, "ts": _S, "markdown_text": _S, "chunks": _L}
_WHO = {"icon_emoji": _S, "icon_url": _S, "username": _S}
_PAGE = {"cursor": _S, "limit": _N}

#: Arguments that a method knows (each method's page under https://docs.slack.dev/reference/methods).
KNOWN: Mapping[str, Mapping[str, str]] = {
    "agents.sessions.rename": {"channel_id": _S, "title": _S, "thread_ts": _S},
    "agents.sessions.setStatus": {
        "channel_id": _S, "status": _S, "thread_ts": _S, "title": _S, "initiator_user_id": _S, **_WHO,
    },
    "api.test": {"error": _S},
    "apps.connections.open": {},
    "assistant.threads.setStatus": {
        "channel_id": _S, "thread_ts": _S, "status": _S, "loading_messages": _L, **_WHO,
    },
    "assistant.threads.setSuggestedPrompts": {"channel_id": _S, "thread_ts": _S, "title": _S, "prompts": _L},
    "assistant.threads.setTitle": {"channel_id": _S, "thread_ts": _S, "title": _S},
    "auth.test": {},
    "chat.appendStream": _STREAM,
    "chat.delete": {"channel": _S, "ts": _S, "as_user": _B},
    "chat.postEphemeral": {**_POST, "user": _S},
    "chat.postMessage": _POST,
    "chat.startStream": {
        "channel": _S, "thread_ts": _S, "markdown_text": _S, "chunks": _L, "recipient_user_id": _S,
        "recipient_team_id": _S, "task_display_mode": _S, **_WHO,
    },
    "chat.stopStream": {**_STREAM, "blocks": _L, "metadata": _O, "session_status": _S},
    "chat.update": {
        "channel": _S, "ts": _S, "text": _S, "blocks": _L, "attachments": _L, "markdown_text": _S, "metadata": _O,
        "parse": _S, "link_names": _B, "reply_broadcast": _B, "as_user": _B, "file_ids": _L,
    },
    "conversations.info": {"channel": _S, "include_locale": _B, "include_num_members": _B},
    "conversations.replies": {
        "channel": _S, "ts": _S, "latest": _S, "oldest": _S, "inclusive": _B, "include_all_metadata": _B, **_PAGE,
    },
    "reactions.add": {"channel": _S, "timestamp": _S, "name": _S},
    "reactions.remove": {"channel": _S, "timestamp": _S, "name": _S},
    "users.info": {"user": _S, "include_locale": _B},
}  # fmt: skip

#: Reading methods take no JSON (the same pages, "Accepted content types").
FORM_ONLY = frozenset({"conversations.info", "conversations.replies", "users.info"})

_REQUIRED = {
    "agents.sessions.setStatus": ("channel_id", "status"),
    "assistant.threads.setStatus": ("channel_id", "thread_ts", "status"),
    "assistant.threads.setSuggestedPrompts": ("channel_id", "prompts"),
    "chat.appendStream": ("channel", "ts"),
    "chat.delete": ("channel", "ts"),
    "chat.postEphemeral": ("channel", "user"),
    "chat.postMessage": ("channel",),
    "chat.startStream": ("channel", "thread_ts"),
    "chat.stopStream": ("channel", "ts"),
    "chat.update": ("channel", "ts"),
    "conversations.info": ("channel",),
    "conversations.replies": ("channel", "ts"),
    "reactions.add": ("channel", "timestamp", "name"),
    "reactions.remove": ("channel", "timestamp", "name"),
    "users.info": ("user",),
}
_TYPES: Mapping[str, type | tuple[type, ...]] = {_S: str, _B: bool, _L: list, _O: dict, _N: (int, float)}


async def read(request: web.Request, method: str) -> Json:
    """A call's arguments, from JSON, a form or the query. Raises SlackError for what the method does not take."""
    if request.content_type == "application/json":
        if method in FORM_ONLY:
            raise SlackError("missing_argument", note="this method takes no JSON")
        arguments = _from_json(await request.text())
    else:
        arguments = {**request.query, **{k: v for k, v in (await request.post()).items() if isinstance(v, str)}}
        arguments.pop("token", None)
        arguments = {name: _from_form(value, KNOWN[method].get(name)) for name, value in arguments.items()}
    _check(method, arguments)
    return arguments


def _from_json(text: str) -> Json:
    try:
        arguments = json.loads(text or "{}")
    except ValueError as error:
        raise SlackError("invalid_json") from error
    if not isinstance(arguments, dict):
        raise SlackError("json_not_object")
    return {name: value for name, value in arguments.items() if value is not None}


def _from_form(value: str, kind: str | None) -> Any:
    if kind == _B:
        return value.lower() in ("1", "true")
    if kind in (_L, _O):
        return json.loads(value)
    if kind == _N:
        return float(value)
    return value


def _check(method: str, arguments: Json) -> None:
    known = KNOWN[method]
    unknown = [name for name in arguments if name not in known]
    if unknown:
        raise invalid(*(f"{method} has no argument {name}" for name in unknown))
    for name in _REQUIRED.get(method, ()):
        if name not in arguments:
            raise invalid(f"missing required field: {name}")
    for name, value in arguments.items():
        if not isinstance(value, _TYPES[known[name]]) or (known[name] == _N and isinstance(value, bool)):
            raise invalid(f"{name} must be a {known[name]}")
