"""The Web API's methods for messages, people and channels (https://docs.slack.dev/reference/methods)."""

from collections.abc import Callable
from typing import Any

from bot.playground.slack import limits
from bot.playground.slack.blocks import check_blocks
from bot.playground.slack.errors import SlackError
from bot.playground.slack.workspace import Channel, Workspace

Json = dict[str, Any]


class Methods:
    """Carries calls out on a workspace; each method returns the answer's fields, or raises SlackError."""

    def __init__(self, workspace: Workspace, granted: frozenset[str] | None) -> None:
        """`granted` are the token's scopes, None for all."""
        self._workspace = workspace
        self._granted = granted

    def table(self) -> dict[str, Callable[[Json], Json]]:
        return {
            "chat.delete": self.delete,
            "chat.postEphemeral": self.post_ephemeral,
            "chat.postMessage": self.post_message,
            "chat.update": self.update,
            "conversations.info": self.channel_info,
            "conversations.replies": self.replies,
            "reactions.add": self.add_reaction,
            "reactions.remove": self.remove_reaction,
            "users.info": self.user_info,
        }

    def auth_test(self) -> Json:
        workspace = self._workspace
        return {
            "url": "https://local.invalid/",
            "team": workspace.team_name,
            "user": "bobbin",
            "team_id": workspace.team_id,
            "user_id": workspace.bot_user_id,
            "bot_id": workspace.bot_id,
            "is_enterprise_install": False,
        }

    # Where the bot may write and read

    def writable(self, channel_id: str) -> Channel:
        channel = self._workspace.channel(channel_id)
        if channel is None:
            raise SlackError("channel_not_found")
        if self._workspace.bot_user_id not in channel.members:
            raise SlackError("not_in_channel" if channel.kind == "channel" else "channel_not_found")
        if channel.archived:
            raise SlackError("is_archived")
        return channel

    def _readable(self, channel_id: str, scopes: dict[str, str]) -> Channel:
        channel = self._workspace.channel(channel_id)
        if channel is None:
            raise SlackError("channel_not_found")
        scope = scopes[channel.kind]
        if self._granted is not None and scope not in self._granted:
            raise SlackError("missing_scope", needed=scope, provided=",".join(sorted(self._granted)))
        if channel.kind != "channel" and self._workspace.bot_user_id not in channel.members:
            raise SlackError("channel_not_found")
        return channel

    # Messages

    def post_message(self, call: Json) -> Json:
        channel = self.writable(call["channel"])
        content = _content(call, limits.TEXT)
        if "thread_ts" in call and call["thread_ts"] not in self._workspace.messages[channel.id]:
            raise SlackError("thread_not_found")
        kept: Json = {
            name: call[name] for name in ("thread_ts", "metadata", "unfurl_links", "unfurl_media") if name in call
        }
        message = self._workspace.add(channel.id, self.own({**content, **kept}))
        return {"channel": channel.id, "ts": message["ts"], "message": message}

    def post_ephemeral(self, call: Json) -> Json:
        channel = self.writable(call["channel"])
        if call["user"] not in channel.members:
            raise SlackError("user_not_in_channel")
        content = _content(call, limits.TEXT)
        ts = self._workspace.next_ts()
        shown = {"channel": channel.id, "to": call["user"], "ts": ts, "thread_ts": call.get("thread_ts"), **content}
        self._workspace.ephemerals.append(shown)
        return {"message_ts": ts}

    def update(self, call: Json) -> Json:
        message = self.own_message(call["channel"], call["ts"], "cant_update_message")
        if message.get("streaming"):
            raise SlackError("streaming_state_conflict")
        content = _content(call, limits.UPDATE_TEXT, cut=False)
        for name in ("text", "markdown_text", "blocks", "chunks"):
            message.pop(name, None)
        message.update(content)
        message["edited"] = {"user": self._workspace.bot_user_id, "ts": self._workspace.next_ts()}
        return {"channel": call["channel"], "ts": call["ts"], "text": message.get("text", ""), "message": message}

    def delete(self, call: Json) -> Json:
        message = self.own_message(call["channel"], call["ts"], "cant_delete_message")
        del self._workspace.messages[call["channel"]][message["ts"]]
        return {"channel": call["channel"], "ts": call["ts"]}

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
        channel = self.writable(channel_id)
        message = self._workspace.messages[channel.id].get(ts)
        if message is None:
            raise SlackError("message_not_found")
        if message.get("bot_id") != self._workspace.bot_id:
            raise SlackError(otherwise)
        return message

    # People, channels, reactions

    def user_info(self, call: Json) -> Json:
        person = self._workspace.person(call["user"])
        if person is None:
            raise SlackError("user_not_found")
        profile = {"real_name": person.real_name, "display_name": ""}
        user = {"id": person.id, "name": person.name, "real_name": person.real_name, "is_bot": person.is_bot}
        return {"user": {**user, "team_id": self._workspace.team_id, "deleted": False, "profile": profile}}

    def channel_info(self, call: Json) -> Json:
        channel = self._readable(call["channel"], limits.INFO_SCOPES)
        kinds = {
            "is_im": channel.kind == "im",
            "is_mpim": channel.kind == "mpim",
            "is_private": channel.kind != "channel",
        }
        found: Json = {"id": channel.id, "is_archived": channel.archived, **kinds}
        found |= {"user": channel.members[0]} if channel.kind == "im" else {"name": channel.name}
        return {"channel": found}

    def replies(self, call: Json) -> Json:
        channel = self._readable(call["channel"], limits.HISTORY_SCOPES)
        if self._workspace.bot_user_id not in channel.members:
            raise SlackError("not_in_channel")
        thread = self._workspace.thread(channel.id, call["ts"])
        if not thread:
            raise SlackError("thread_not_found")
        oldest, latest = call.get("oldest", "0"), call.get("latest", "9999999999.999999")
        # The root comes along with any range, as on the method's page.
        said = [m for m in thread if m["ts"] == call["ts"] or oldest < m["ts"] < latest]
        start, size = int(call.get("cursor") or 0), int(call.get("limit", 1000))
        end = start + size
        cursor = str(end) if end < len(said) else ""
        return {
            "messages": said[start:end],
            "has_more": bool(cursor),
            "response_metadata": {"next_cursor": cursor},
        }

    def add_reaction(self, call: Json) -> Json:
        reactions = self._reactions(call)
        if self._workspace.bot_user_id in reactions.setdefault(call["name"], []):
            raise SlackError("already_reacted")
        reactions[call["name"]].append(self._workspace.bot_user_id)
        return {}

    def remove_reaction(self, call: Json) -> Json:
        reactions = self._reactions(call)
        if self._workspace.bot_user_id not in reactions.get(call["name"], []):
            raise SlackError("no_reaction")
        reactions[call["name"]].remove(self._workspace.bot_user_id)
        return {}

    def _reactions(self, call: Json) -> dict[str, list[str]]:
        channel = self.writable(call["channel"])
        message = self._workspace.messages[channel.id].get(call["timestamp"])
        if message is None:
            raise SlackError("message_not_found")
        reactions: dict[str, list[str]] = message.setdefault("reactions", {})
        return reactions


def _content(call: Json, text_limit: int, *, cut: bool = True) -> Json:
    """The part of a call that says something, checked."""
    text, markdown, blocks = call.get("text", ""), call.get("markdown_text"), call.get("blocks")
    if markdown is not None and (text or blocks):
        raise SlackError("markdown_text_conflict")
    if not (text or markdown or blocks or call.get("attachments")):
        raise SlackError("no_text")
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


def check_markdown(text: str) -> None:
    """Raises SlackError for markdown_text that Slack would refuse."""
    if not text:
        raise SlackError("no_text")
    if len(text) > limits.MARKDOWN:
        raise SlackError("msg_too_long")
