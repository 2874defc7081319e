"""What one person sees of the local Slack, as data for the page. All text that may hold markup is safe HTML."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from bot.playground.slack.emoji import sign_of
from bot.playground.slack.rendering import Rendering
from bot.playground.slack.workspace import SLACKBOT, Channel, Person, Workspace

Json = dict[str, Any]


#: What a browser may show in place: pictures that cannot hold anything that acts.
IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
#: A file's address on this server, for apps with a token.
_PRIVATE = re.compile(r"/files-pri/(\w+)/[^/]*")


class PageState:
    """Parts by name, each a mapping by id; so what changed can be told part by part."""

    def __init__(self, workspace: Workspace, manifest: Json | None, address: Callable[[], str]) -> None:
        """`address` gives the server's own URL, the only place that images may come from."""
        features = (manifest or {}).get("features", {})
        shortcuts = [each for each in features.get("shortcuts", []) if each["type"] == "message"]
        self._workspace = workspace
        self._address = address
        self._rendering = Rendering(workspace)
        self._features = {
            "commands": {each["command"]: each for each in features.get("slash_commands", [])},
            "shortcuts": {each["callback_id"]: each for each in shortcuts},
        }

    def of(self, person: str) -> Json:
        """All that a person sees. Raises KeyError where there is nobody of that name."""
        workspace = self._workspace
        own = workspace.people[person]
        channels = {each.id: each for each in workspace.channels.values() if own.id in each.members}
        messages = {
            f"{channel}/{ts}": self._message(channel, message)
            for channel in channels
            for ts, message in workspace.messages[channel].items()
        }
        return {
            "me": {"me": {"name": person, "id": own.id}},
            "people": {each.id: _person(each) for each in (*workspace.people.values(), SLACKBOT)},
            "channels": {each.id: self._channel(each) for each in channels.values()},
            "messages": messages,
            "ephemerals": {
                each["ts"]: self._message(each["channel"], {"user": workspace.bot_user_id, **each})
                for each in workspace.ephemerals
                if each["to"] == own.id and each["channel"] in channels
            },
            "statuses": _threads({at: each["status"] for at, each in workspace.statuses.items()}, channels),
            "sessions": _threads(workspace.sessions, channels),
            "prompts": {channel: each for channel, each in workspace.prompts.items() if channel in channels},
            **self._features,
        }

    def _channel(self, channel: Channel) -> Json:
        members = [self._workspace.person(member) for member in channel.members]
        return {
            "id": channel.id,
            "name": channel.name,
            "kind": channel.kind,
            "members": [member.real_name for member in members if member],
            "in": self._workspace.bot_user_id in channel.members,
        }

    def _message(self, channel: str, message: Json) -> Json:
        blocks = [self._block(block) for block in message.get("blocks", [])]
        return {
            "channel": channel,
            "ts": message["ts"],
            "thread_ts": message.get("thread_ts"),
            "user": message.get("user"),
            "text": message.get("text", ""),
            "html": "" if blocks and message.get("markdown_text") is None else self._rendering.message(message),
            "blocks": blocks,
            "tasks": [{**task, "details": str(task.get("details", ""))} for task in message.get("tasks", {}).values()],
            "files": [self._file(file) for file in _objects(message.get("files"))],
            "streaming": bool(message.get("streaming")),
            "edited": bool(message.get("edited")) and message.get("user") != self._workspace.bot_user_id,
            "reactions": {sign_of(name): len(users) for name, users in message.get("reactions", {}).items() if users},
        }

    def may_see(self, person: str, file_id: str) -> bool:
        """Whether a file is in a message of a channel that a person is in."""
        own = self._workspace.people[person]
        return any(
            file_id in self._files_of(message)
            for channel in self._workspace.channels.values()
            if own.id in channel.members
            for message in self._workspace.messages[channel.id].values()
        )

    def _files_of(self, message: Json) -> set[str | None]:
        images = {self._own_image(block) for block in message.get("blocks", []) if block["type"] == "image"}
        return images | {str(file.get("id")) for file in _objects(message.get("files"))}

    def _file(self, file: Json) -> Json:
        """What is shown of a file. One of Slack Connect, of which events say little, is known here all the same."""
        known = self._workspace.files.get(str(file.get("id")))
        file = known or file
        return {
            "id": str(file.get("id", "")),
            "name": str(file.get("title") or file.get("name") or "a file"),
            "alt": str(file.get("alt_txt") or file.get("name") or "a picture"),
            "size": file.get("size", 0),
            "image": known is not None and known.get("mimetype") in IMAGES,
            "there": known is not None,
        }

    def _block(self, block: Json) -> Json:
        """A block with its texts as HTML. Blocks that Slack's checks know little of may hold anything."""
        shown: Json = {"type": block["type"], **self._wording(block)}
        if block["type"] == "image":
            shown |= {"source": self._own_image(block), "alt": str(block.get("alt_text", ""))}
        elif block["type"] != "context":
            accessory = [block["accessory"]] if "accessory" in block else block.get("elements")
            shown["elements"] = _objects(accessory)
        return shown

    def _wording(self, block: Json) -> Json:
        text = block.get("text")
        if block["type"] == "markdown":
            return {"html": self._rendering.markdown(str(text))}
        if block["type"] == "context":
            said = [each for each in _objects(block.get("elements")) if each.get("type") != "image"]
            return {"html": " ".join(self._text(each) for each in said)}
        texts = [each for each in (text, *_objects(block.get("fields"))) if each]
        return {"html": "<br>".join(self._text(each) for each in texts)} if texts else {}

    def _text(self, text: Any) -> str:
        """A text object's text; only mrkdwn has entities."""
        if not isinstance(text, dict):
            return self._rendering.mrkdwn(str(text).replace("<", "&lt;"))
        said = str(text.get("text", ""))
        return self._rendering.mrkdwn(said if text.get("type") == "mrkdwn" else said.replace("<", "&lt;"))

    def _own_image(self, block: Json) -> str | None:
        """The id of an image that this server has; None for others, whose server would learn who looks."""
        if isinstance(slack_file := block.get("slack_file"), dict) and "id" in slack_file:
            return str(slack_file["id"])
        try:
            parts = urlsplit(str(block.get("image_url")))
        except ValueError:
            return None
        private = _PRIVATE.fullmatch(parts.path)
        return private[1] if private and f"{parts.scheme}://{parts.netloc}" == self._address() else None


def _person(person: Person) -> Json:
    return {"id": person.id, "name": person.name, "real_name": person.real_name, "is_bot": person.is_bot}


def _threads(parts: dict[tuple[str, str], Any], channels: dict[str, Channel]) -> Json:
    return {f"{channel}/{ts}": each for (channel, ts), each in parts.items() if channel in channels}


def _objects(value: Any) -> list[Json]:
    """The objects of a list; none where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
