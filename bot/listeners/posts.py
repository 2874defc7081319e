"""Slack's event payloads become arrivals. Every look at a payload's fields is here; nothing is decided here.

https://docs.slack.dev/reference/events/message, https://docs.slack.dev/reference/events/app_mention
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.engine.ports import Arrival, Post, PostFile, PostKind, ThreadKey
from bot.listeners.entities import LEADING_MENTION, mention_of, without_leading_mention

#: Subtypes of what a person wrote; all others (joins, topics, bots) are not for Bobbin.
_WRITTEN = frozenset({None, "file_share", "thread_broadcast", "me_message"})
#: Slack's own helper posts as a user.
_SLACKBOT = "USLACKBOT"
_SURFACE_OF_ID = {"D": "im", "G": "group"}
#: The mode of a file that Slack tells more of only when asked (files.info), as for Slack Connect
#: (https://docs.slack.dev/reference/events/message/file_share).
ASK_FOR_FILE = "file_access"
#: Characters of a file's name that are kept, and of an ending that survives a cut.
_NAME, _SUFFIX = 200, 20

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Edit:
    """A post was changed; `edited_ts` orders edits."""

    team: str
    channel: str
    ts: str
    text: str
    edited_ts: str


@dataclass(frozen=True, slots=True)
class Deletion:
    team: str
    channel: str
    ts: str


def arrival_from(body: Payload, bot_user: str) -> Arrival | None:
    """What a person wrote, from a `message` or `app_mention` event; None for everything else.

    `bot_user` is Bobbin's user id, for payloads that do not say for whom they are.
    """
    event = body.get("event") or {}
    author, channel, ts = event.get("user"), event.get("channel"), event.get("ts")
    bot_user = _bot_user(body, bot_user)
    if not (author and channel and ts) or author in (bot_user, _SLACKBOT):
        return None
    if event.get("bot_id") or event.get("hidden") or event.get("subtype") not in _WRITTEN:
        return None
    raw = str(event.get("text") or "")
    mentioned = event.get("type") == "app_mention" or bool(mention_of(bot_user).search(raw))
    surface = _surface(event)
    team = _team(body)
    post = Post(
        thread=ThreadKey(team, channel, event.get("thread_ts") or ts),
        ts=ts,
        author=author,
        author_team=event.get("user_team") or event.get("source_team") or event.get("team") or team,
        text=without_leading_mention(raw, bot_user),
        kind=PostKind.ASK,
        surface=surface,
        event_id=str(body.get("event_id") or ""),
        files=files_from(event),
    )
    leading = LEADING_MENTION.match(raw)
    return Arrival(
        post,
        addressed=mentioned or surface == "im",
        mentioned=mentioned,
        to_others=leading is not None and leading["user"] != bot_user,
    )


def edit_from(body: Payload, bot_user: str) -> Edit | None:
    """A `message_changed` that changes what a person wrote; None for unfurls and for what lacks its ids."""
    event = body.get("event") or {}
    message, previous = event.get("message") or {}, event.get("previous_message") or {}
    if not (message.get("ts") and event.get("channel") and message.get("edited")):
        return None
    if message.get("text") == previous.get("text"):
        return None
    edited_ts = str(message["edited"].get("ts") or event.get("event_ts") or "")
    text = without_leading_mention(str(message.get("text") or ""), _bot_user(body, bot_user))
    return Edit(_team(body), event["channel"], message["ts"], text, edited_ts)


def deletion_from(body: Payload) -> Deletion | None:
    """A `message_deleted`; None where it lacks its ids."""
    event = body.get("event") or {}
    ts = event.get("deleted_ts") or (event.get("previous_message") or {}).get("ts")
    if not (ts and event.get("channel")):
        return None
    return Deletion(_team(body), event["channel"], ts)


def stopped_thread(body: Payload) -> ThreadKey | None:
    """The thread under which Slack's Stop was pressed (`agent_session_stopped`)."""
    event = body.get("event") or {}
    if not (event.get("channel") and event.get("thread_ts")):
        return None
    return ThreadKey(_team(body), event["channel"], event["thread_ts"])


def _team(body: Payload) -> str:
    """The workspace that Bobbin is installed in; for a Slack Connect channel that is not always the author's."""
    authorizations = body.get("authorizations") or [{}]
    return str(authorizations[0].get("team_id") or body.get("team_id") or (body.get("event") or {}).get("team") or "")


def _bot_user(body: Payload, bot_user: str) -> str:
    for authorization in body.get("authorizations") or ():
        if authorization.get("is_bot") and authorization.get("user_id"):
            return str(authorization["user_id"])
    return bot_user


def _surface(event: Payload) -> str:
    """Slack's channel_type. app_mention lacks it, and the id tells; `app_home` is the DM's older name."""
    kind = event.get("channel_type") or _SURFACE_OF_ID.get(str(event["channel"])[:1], "channel")
    return "im" if kind == "app_home" else str(kind)


def files_from(event: Payload) -> tuple[PostFile, ...]:
    """The files of a message; whatever else stands there is left out."""
    files = event.get("files")
    return tuple(file_from(file) for file in files if isinstance(file, Mapping)) if isinstance(files, list) else ()


def file_from(file: Payload) -> PostFile:
    """A file as Slack describes it (https://docs.slack.dev/reference/objects/file-object), in an event or in the
    answer of files.info. What is missing or odd is empty, or 0."""
    access = file.get("file_access")
    mode = _text(file, "mode")
    return PostFile(
        id=_text(file, "id"),
        name=plain_name(_text(file, "name") or _text(file, "title")),
        media_type=_text(file, "mimetype").partition(";")[0].strip().lower(),
        size=_size(file.get("size")),
        url=_text(file, "url_private_download") or _text(file, "url_private"),
        mode=ASK_FOR_FILE if access not in (None, "visible") and mode != "tombstone" else mode,
    )


def plain_name(name: str) -> str:
    """A file's name that harms nobody who prints it or puts it on a disk: one line, at most 200 characters, no
    folders, nothing invisible. Its ending stays."""
    visible = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in name)
    plain = " ".join(visible.replace("/", "_").replace("\\", "_").split())
    if len(plain) > _NAME:
        stem, dot, suffix = plain.rpartition(".")
        suffix = dot + suffix if stem and len(suffix) <= _SUFFIX else ""
        plain = plain[: _NAME - len(suffix)].rstrip() + suffix
    return "a file" if plain in ("", ".", "..") else plain


def _text(file: Payload, field: str) -> str:
    value = file.get(field)
    return value if isinstance(value, str) else ""


def _size(size: Any) -> int:
    return max(size, 0) if isinstance(size, int) and not isinstance(size, bool) else 0
