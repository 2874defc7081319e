"""What a Web API call may say: its arguments, by method, with their types."""

import json
import math
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bot.playground.slack.errors import SlackError, invalid

Json = dict[str, Any]

_S, _B, _L, _O, _N = "string", "boolean", "array", "object", "number"
_WHO = {"icon_emoji": _S, "icon_url": _S, "username": _S}
_POST = {
    "channel": _S, "text": _S, "blocks": _L, "attachments": _L, "thread_ts": _S, "markdown_text": _S, "metadata": _O,
    "unfurl_links": _B, "unfurl_media": _B, "mrkdwn": _B, "parse": _S, "link_names": _B, "reply_broadcast": _B,
    "as_user": _B, **_WHO,
}  # fmt: skip
_STREAM = {"channel": _S, "ts": _S, "markdown_text": _S, "chunks": _L}
_PAGE = {"cursor": _S, "limit": _N}
_RANGE = {"latest": _S, "oldest": _S, "inclusive": _B, "include_all_metadata": _B, **_PAGE}
_VIEW = {"trigger_id": _S, "view": _O}

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
    "chat.getPermalink": {"channel": _S, "message_ts": _S},
    "chat.postEphemeral": {**{name: kind for name, kind in _POST.items() if name[:6] != "unfurl"}, "user": _S},
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
    "conversations.history": {"channel": _S, **_RANGE},
    "conversations.info": {"channel": _S, "include_locale": _B, "include_num_members": _B},
    "conversations.join": {"channel": _S},
    "conversations.list": {"exclude_archived": _B, "types": _S, **_PAGE},
    "conversations.members": {"channel": _S, **_PAGE},
    "conversations.open": {"channel": _S, "users": _S, "return_im": _B, "prevent_creation": _B},
    "conversations.replies": {"channel": _S, "ts": _S, **_RANGE},
    "files.completeUploadExternal": {
        "files": _L, "channel_id": _S, "channels": _S, "thread_ts": _S, "initial_comment": _S, "blocks": _L,
    },
    "files.getUploadURLExternal": {"filename": _S, "length": _N, "alt_txt": _S, "snippet_type": _S},
    "files.info": {"file": _S, "count": _N, "page": _N, **_PAGE},
    "reactions.add": {"channel": _S, "timestamp": _S, "name": _S},
    "reactions.get": {"channel": _S, "timestamp": _S, "file": _S, "full": _B},
    "reactions.remove": {"channel": _S, "timestamp": _S, "name": _S},
    "users.info": {"user": _S, "include_locale": _B},
    "users.list": {"include_locale": _B, **_PAGE},
    "views.open": _VIEW,
    "views.publish": {"user_id": _S, "view": _O, "hash": _S},
    "views.push": _VIEW,
    "views.update": {"view": _O, "view_id": _S, "external_id": _S, "hash": _S},
}  # fmt: skip

#: Taken by every method: the SDKs of apps that span an organisation add it by themselves.
_ALWAYS = {"team_id": _S}

#: Reading methods take no JSON (the same pages, "Accepted content types").
FORM_ONLY = frozenset(
    {
        "chat.getPermalink", "conversations.history", "conversations.info", "conversations.list",
        "conversations.members", "conversations.replies", "files.getUploadURLExternal", "files.info", "reactions.get",
        "users.info", "users.list",
    }
)  # fmt: skip

_REQUIRED = {
    "agents.sessions.rename": ("channel_id", "title"),
    "agents.sessions.setStatus": ("channel_id", "status"),
    "assistant.threads.setStatus": ("channel_id", "thread_ts", "status"),
    "assistant.threads.setSuggestedPrompts": ("channel_id", "prompts"),
    "assistant.threads.setTitle": ("channel_id", "thread_ts", "title"),
    "chat.appendStream": ("channel", "ts"),
    "chat.delete": ("channel", "ts"),
    "chat.getPermalink": ("channel", "message_ts"),
    "chat.postEphemeral": ("channel", "user"),
    "chat.postMessage": ("channel",),
    "chat.startStream": ("channel", "thread_ts"),
    "chat.stopStream": ("channel", "ts"),
    "chat.update": ("channel", "ts"),
    "conversations.history": ("channel",),
    "conversations.info": ("channel",),
    "conversations.join": ("channel",),
    "conversations.members": ("channel",),
    "conversations.replies": ("channel", "ts"),
    "files.completeUploadExternal": ("files",),
    "files.getUploadURLExternal": ("filename", "length"),
    "files.info": ("file",),
    "reactions.add": ("channel", "timestamp", "name"),
    "reactions.get": ("channel", "timestamp"),
    "reactions.remove": ("channel", "timestamp", "name"),
    "users.info": ("user",),
    "views.open": ("trigger_id", "view"),
    "views.publish": ("user_id", "view"),
    "views.push": ("trigger_id", "view"),
    "views.update": ("view",),
}
#: Methods with a code of their own for an argument that is not there at all.
_REFUSALS = {("chat.startStream", "thread_ts"): "invalid_thread_ts"}
_TYPES: Mapping[str, type | tuple[type, ...]] = {_S: str, _B: bool, _L: list, _O: dict, _N: (int, float)}


async def read(request: web.Request, method: str) -> Json:
    """A call's arguments, from JSON, a form or the query. Raises SlackError for what the method does not take."""
    if request.content_type == "application/json":
        if method in FORM_ONLY:
            raise invalid(f"{method} takes a form, no JSON")
        given = _from_json(await request.read())
    else:
        given = {**request.query, **{k: v for k, v in (await request.post()).items() if isinstance(v, str)}}
        given.pop("token", None)
    if method == "api.test":
        return given
    known = {**_ALWAYS, **KNOWN[method]}
    arguments = {name: _decoded(name, value, known.get(name)) for name, value in given.items()}
    _check(method, known, arguments)
    return arguments


def _from_json(body: bytes) -> Json:
    try:
        arguments = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise SlackError("invalid_json") from error
    if not isinstance(arguments, dict):
        raise SlackError("json_not_object")
    return {name: value for name, value in arguments.items() if value is not None}


def _decoded(name: str, value: Any, kind: str | None) -> Any:
    """A form's value as what it stands for. Lists and objects may be strings of JSON in a JSON body too."""
    if not isinstance(value, str) or kind in (_S, None):
        return value
    if kind == _B:
        return {"1": True, "true": True, "0": False, "false": False}.get(value.lower(), value)
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise invalid(f"{name} is no {kind}", code=_UNREADABLE.get(name, "invalid_arguments")) from error


_UNREADABLE = {"blocks": "invalid_blocks_format", "chunks": "invalid_chunks"}


def _check(method: str, known: Mapping[str, str], arguments: Json) -> None:
    unknown = [name for name in arguments if name not in known]
    if unknown:
        raise invalid(*(f"{method} has no argument {name}" for name in unknown))
    for name in _REQUIRED.get(method, ()):
        if name not in arguments:
            raise invalid(f"missing required field: {name}", code=_REFUSALS.get((method, name), "invalid_arguments"))
    for name, value in arguments.items():
        if not isinstance(value, _TYPES[known[name]]) or (known[name] == _N and not _is_number(value)):
            raise invalid(f"{name} must be a {known[name]}")


def _is_number(value: Any) -> bool:
    """Python's JSON knows more numbers than JSON does."""
    return not isinstance(value, bool) and math.isfinite(value)
