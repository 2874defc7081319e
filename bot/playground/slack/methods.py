"""The Web API's methods for messages and reactions (https://docs.slack.dev/reference/methods)."""

from collections.abc import Callable
from typing import Any

from bot.playground.slack import limits
from bot.playground.slack.blocks import check_blocks
from bot.playground.slack.errors import SlackError, require_scopes
from bot.playground.slack.events import Events
from bot.playground.slack.workspace import Channel, Workspace

Json = dict[str, Any]


class Methods:
    """Carries calls out on a workspace; each method returns the answer's fields, or raises SlackError."""

    def __init__(self, workspace: Workspace, granted: frozenset[str], events: Events) -> None:
        """`granted` are the token's scopes; `events` hears what the bot writes, as an app hears itself."""
        self._workspace = workspace
        self._granted = granted
        self._events = events

    def table(self) -> dict[str, Callable[[Json], Json]]:
        return {
            "chat.delete": self.delete,
            "chat.getPermalink": self.permalink,
            "chat.postEphemeral": self.post_ephemeral,
            "chat.postMessage": self.post_message,
            "chat.update": self.update,
            "reactions.add": self.add_reaction,
            "reactions.get": self.reactions,
            "reactions.remove": self.remove_reaction,
        }

    # Where the bot may write

    def writable(self, channel_id: str) -> Channel:
        channel = self._workspace.channel(channel_id)
        if channel is None:
            raise SlackError("channel_not_found")
        if self._workspace.bot_user_id not in channel.members:
            raise SlackError("not_in_channel" if channel.kind == "channel" else "channel_not_found")
        if channel.archived:
            raise SlackError("is_archived")
        return channel

    def own(self, content: Json) -> Json:
        """A message of the bot's."""
        workspace = self._workspace
        return {
            "user": workspace.bot_user_id,
            "bot_id": workspace.bot_id,
            "app_id": workspace.app_id,
            "team": workspace.team_id,
            **content,
        }

    def own_message(self, channel_id: str, ts: str, otherwise: str) -> Json:
        """`otherwise` is Slack's word for a message that is somebody else's."""
        channel = self.writable(channel_id)
        message = self._workspace.messages[channel.id].get(ts)
        if message is None:
            raise SlackError("message_not_found")
        if message.get("bot_id") != self._workspace.bot_id:
            raise SlackError(otherwise)
        return message

    def customize(self, call: Json) -> Json:
        """The name and picture that a call wants to write under. Raises SlackError without the scope."""
        chosen: Json = {name: call[name] for name in ("username", "icon_emoji", "icon_url") if name in call}
        if chosen:
            require_scopes({limits.CUSTOMIZE_SCOPE}, self._granted)
        return chosen

    # Messages

    def post_message(self, call: Json) -> Json:
        channel = self.writable(self._addressed(call["channel"]))
        content = _content(call, limits.TEXT)
        if "thread_ts" in call and call["thread_ts"] not in self._workspace.messages[channel.id]:
            raise SlackError("thread_not_found")
        names = ("thread_ts", "metadata", "unfurl_links", "unfurl_media", "attachments")
        kept: Json = {name: call[name] for name in names if name in call} | self.customize(call)
        if call.get("reply_broadcast") and "thread_ts" in call:
            kept["subtype"] = "thread_broadcast"
        return self.say(channel, {**content, **kept})

    def say(self, channel: Channel, content: Json) -> Json:
        """Write as the bot."""
        message = self._workspace.add(channel.id, self.own(content))
        # A reply clears the legacy status (https://docs.slack.dev/reference/methods/assistant.threads.setStatus).
        self._workspace.statuses.pop((channel.id, message.get("thread_ts", "")), None)
        self._events.tell_message(channel, message)
        return {"channel": channel.id, "ts": message["ts"], "message": self._workspace.shown(channel.id, message)}

    def post_ephemeral(self, call: Json) -> Json:
        channel = self.writable(call["channel"])
        if call["user"] not in channel.members:
            raise SlackError("user_not_in_channel")
        content = _content(call, limits.TEXT) | self.customize(call)
        ts = self._workspace.next_ts()
        shown = {"channel": channel.id, "to": call["user"], "ts": ts, "thread_ts": call.get("thread_ts"), **content}
        self._workspace.ephemerals.append(shown)
        return {"message_ts": ts}

    def update(self, call: Json) -> Json:
        message = self.own_message(call["channel"], call["ts"], "cant_update_message")
        if message.get("streaming"):
            raise SlackError("streaming_state_conflict")
        content = _content(call, limits.UPDATE_TEXT, cut=False)
        previous = dict(message)
        # "If you don't include this field, the message's previous blocks will be retained."
        for name in ("text", "markdown_text", "tasks", "plan", *({"blocks", "attachments"} & set(call))):
            message.pop(name, None)
        message |= content | {name: call[name] for name in ("metadata", "attachments") if name in call}
        message["edited"] = {"user": self._workspace.bot_user_id, "ts": self._workspace.next_ts()}
        channel = self.writable(call["channel"])
        self._events.tell_edit(channel, message, previous)
        shown = self._workspace.shown(channel.id, message)
        return {"channel": channel.id, "ts": call["ts"], "text": message.get("text", ""), "message": shown}

    def delete(self, call: Json) -> Json:
        message = self.own_message(call["channel"], call["ts"], "cant_delete_message")
        del self._workspace.messages[call["channel"]][message["ts"]]
        self._events.tell_deletion(self.writable(call["channel"]), message)
        return {"channel": call["channel"], "ts": call["ts"]}

    def permalink(self, call: Json) -> Json:
        channel = self.writable(call["channel"])
        if call["message_ts"] not in self._workspace.messages[channel.id]:
            raise SlackError("message_not_found")
        path = f"archives/{channel.id}/p{call['message_ts'].replace('.', '')}"
        return {"channel": channel.id, "permalink": f"{self._workspace.url}{path}"}

    def _addressed(self, channel_or_user: str) -> str:
        """A person's id stands for their direct message."""
        found = self._workspace.dm(channel_or_user) if channel_or_user.startswith("U") else None
        return found.id if found else channel_or_user

    # Reactions

    def add_reaction(self, call: Json) -> Json:
        users = self._reacted(call).setdefault("reactions", {}).setdefault(call["name"], [])
        if self._workspace.bot_user_id in users:
            raise SlackError("already_reacted")
        users.append(self._workspace.bot_user_id)
        return {}

    def remove_reaction(self, call: Json) -> Json:
        users = self._reacted(call).get("reactions", {}).get(call["name"], [])
        if self._workspace.bot_user_id not in users:
            raise SlackError("no_reaction")
        users.remove(self._workspace.bot_user_id)
        return {}

    def reactions(self, call: Json) -> Json:
        message = self._workspace.shown(call["channel"], self._reacted(call))
        return {"type": "message", "channel": call["channel"], "message": message}

    def _reacted(self, call: Json) -> Json:
        channel = self.writable(call["channel"])
        message = self._workspace.messages[channel.id].get(call["timestamp"])
        if message is None:
            raise SlackError("message_not_found")
        return message


def _content(call: Json, text_limit: int, *, cut: bool = True) -> Json:
    """The part of a call that says something, checked."""
    text, markdown, blocks = call.get("text", ""), call.get("markdown_text"), call.get("blocks")
    if markdown is not None and (text or blocks):
        raise SlackError("markdown_text_conflict")
    if not (text or markdown or blocks or call.get("attachments")):
        raise SlackError("no_text")
    if not isinstance(call.get("metadata", {}).get("event_type", ""), str):
        raise SlackError("invalid_metadata_format")
    if markdown is not None:
        check_markdown(markdown)
        return {"markdown_text": markdown, "text": markdown}
    if blocks:
        check_blocks(blocks)
    if len(text) > text_limit:
        if not cut:
            raise SlackError("msg_too_long")
        text = text[:text_limit]
    return {"text": text, **({"blocks": blocks} if blocks else {})}


def check_markdown(text: Any) -> None:
    """Raises SlackError for markdown_text that Slack would refuse."""
    if not isinstance(text, str):
        raise SlackError("invalid_arguments")
    if not text.strip():
        raise SlackError("no_text")
    if len(text) > limits.MARKDOWN:
        raise SlackError("msg_too_long")
