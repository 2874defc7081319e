"""Slack's event payloads become arrivals. Every look at a payload's fields is here; nothing is decided here.

https://docs.slack.dev/reference/events/message, https://docs.slack.dev/reference/events/app_mention
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.engine.ports import Arrival, Post, PostFile, PostKind, ThreadKey
from bot.listeners.entities import LEADING_MENTION, mention_of
from bot.listeners.quotes import shared_in, written_in

#: Subtypes of what a person wrote; all others (joins, topics, bots) are not for Bobbin.
_WRITTEN = frozenset({None, "file_share", "thread_broadcast", "me_message"})
#: What Slack leaves of a deleted message that has replies; no `message_deleted` tells of it.
TOMBSTONE = "tombstone"
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
    team = team_of(body)
    post = Post(
        thread=ThreadKey(team, channel, event.get("thread_ts") or ts),
        ts=ts,
        author=author,
        author_team=_author_team(event) or team,
        text=written_in(event, bot_user),
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
    """A `message_changed` that changes what a person wrote; None for unfurls and for what lacks its ids. Only the
    author's words can be edited: what is shared or attached stays."""
    event = body.get("event") or {}
    message, previous = event.get("message") or {}, event.get("previous_message") or {}
    if not (message.get("ts") and event.get("channel") and message.get("edited")):
        return None
    if message.get("text") == previous.get("text"):
        return None
    edited_ts = str(message["edited"].get("ts") or event.get("event_ts") or "")
    text = written_in(message, _bot_user(body, bot_user))
    return Edit(team_of(body), event["channel"], message["ts"], text, edited_ts)


def deletion_from(body: Payload) -> Deletion | None:
    """A `message_deleted`, or the `message_changed` that leaves a tombstone; None for others, and where it lacks its
    ids."""
    event = body.get("event") or {}
    message, previous = event.get("message") or {}, event.get("previous_message") or {}
    if event.get("subtype") == "message_changed" and message.get("subtype") != TOMBSTONE:
        return None
    ts = event.get("deleted_ts") or previous.get("ts") or message.get("ts")
    if not (ts and event.get("channel")):
        return None
    return Deletion(team_of(body), event["channel"], ts)


def stopped_thread(body: Payload) -> ThreadKey | None:
    """The thread under which Slack's Stop was pressed (`agent_session_stopped`)."""
    event = body.get("event") or {}
    if not (event.get("channel") and event.get("thread_ts")):
        return None
    return ThreadKey(team_of(body), event["channel"], event["thread_ts"])


def team_of(body: Payload) -> str:
    """The workspace of any payload, the same for a post, a command and a click: the one that Bobbin is installed in,
    which in a Slack Connect channel is not always the author's. An installation for a whole organisation may name
    none; its payloads name the organisation."""
    installed: Payload = next(iter(body.get("authorizations") or ()), {})
    team, event, user = body.get("team") or {}, body.get("event") or {}, body.get("user") or {}
    return str(
        installed.get("team_id")
        or body.get("team_id")
        or body.get("context_team_id")
        or team.get("id")
        or event.get("team")
        or installed.get("enterprise_id")
        or body.get("enterprise_id")
        or (body.get("enterprise") or {}).get("id")
        or user.get("team_id")
        or ""
    )


def channel_of(body: Payload) -> str:
    """Where somebody clicked. A click under an ephemeral message may name its channel in `container` alone
    (https://docs.slack.dev/reference/interaction-payloads/block_actions-payload)."""
    return str((body.get("channel") or {}).get("id") or (body.get("container") or {}).get("channel_id") or "")


def _author_team(event: Payload) -> str | None:
    """The author's workspace. In an organisation `user_team` may be its id, which is no workspace's."""
    teams = (event.get(name) for name in ("user_team", "source_team", "team"))
    return next((str(team) for team in teams if team and not str(team).startswith("E")), None)


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
    """The files of a message and of those that it shares; whatever else stands there is left out."""
    lists = [message.get("files") for message in (event, *shared_in(event))]
    files = [file for each in lists if isinstance(each, list) for file in each if isinstance(file, Mapping)]
    return tuple(map(file_from, files))


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
        transcript=_transcript(file),
    )


def _transcript(file: Payload) -> str:
    """What Slack has written down of a recording, once it is done with it; of a long one it tells the beginning."""
    told = file.get("transcription")
    preview = told.get("preview") if isinstance(told, Mapping) and told.get("status") == "complete" else None
    if not isinstance(preview, Mapping):
        return ""
    text = _text(preview, "content").replace("\0", "").strip()
    return f"{text} […] (only its beginning)" if text and preview.get("has_more") else text


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
