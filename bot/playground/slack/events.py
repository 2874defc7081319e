"""Events in their envelopes, as the Events API sends them (https://docs.slack.dev/apis/events-api)."""

import asyncio
import re
from typing import Any

from bot.playground.slack import limits
from bot.playground.slack.app_manifest import AppManifest
from bot.playground.slack.delivery import Ack, Delivery
from bot.playground.slack.workspace import Channel, Workspace, new_id

Json = dict[str, Any]

_ENTITY = re.compile(r"<([@#!]?)([^<>|]+)(?:\|([^<>]*))?>")


class Events:
    """Tells the app what happened, if its manifest subscribes to it."""

    def __init__(self, workspace: Workspace, manifest: AppManifest, delivery: Delivery) -> None:
        self._workspace = workspace
        self._manifest = manifest
        self._delivery = delivery

    def tell(self, event: Json, subscription: str) -> None:
        """`subscription` is the event's name in a manifest."""
        if self._manifest.hears(subscription):
            self.send(event)

    def tell_message(self, channel: Channel, message: Json) -> None:
        """A message was written. A mention outside of a DM is also told as app_mention, with the same ts."""
        bot = self._workspace.bot_user_id
        if bot not in channel.members:
            return
        event: Json = {"blocks": [_rich_text(message["text"])]} if message.get("client_msg_id") else {}
        event |= {**self._workspace.shown(channel.id, message), "channel": channel.id, "event_ts": message["ts"]}
        self.tell({**event, "channel_type": channel.kind}, limits.MESSAGE_EVENTS[channel.kind])
        if f"<@{bot}>" in message.get("text", "") and channel.kind != "im" and message["user"] != bot:
            event.pop("subtype", None)
            self.tell({**event, "type": "app_mention"}, "app_mention")

    def tell_edit(self, channel: Channel, message: Json, previous: Json) -> None:
        """A message was changed; `previous` is what it was."""
        shown = self._workspace.shown
        change = {"message": shown(channel.id, message), "previous_message": shown(channel.id, previous)}
        self._tell_change(channel, {"subtype": "message_changed", **change})

    def tell_deletion(self, channel: Channel, previous: Json) -> None:
        change = {"deleted_ts": previous["ts"], "previous_message": self._workspace.shown(channel.id, previous)}
        self._tell_change(channel, {"subtype": "message_deleted", **change})

    def send(self, event: Json, **overrides: Any) -> asyncio.Task[Ack]:
        """Any event, subscribed to or not; `overrides` are fields of the body around it."""
        workspace = self._workspace
        authorization = {
            "enterprise_id": None,
            "team_id": workspace.team_id,
            "user_id": workspace.bot_user_id,
            "is_bot": True,
            "is_enterprise_install": False,
        }
        body = {
            "token": "local",
            "team_id": workspace.team_id,
            "context_team_id": workspace.team_id,
            "context_enterprise_id": None,
            "api_app_id": workspace.app_id,
            "event": event,
            "type": "event_callback",
            "event_id": new_id("Ev"),
            "event_time": int(workspace.clock()),
            "authorizations": [authorization],
            "is_ext_shared_channel": False,
            "event_context": new_id("4-"),
            **overrides,
        }
        return self._delivery.send("events_api", body)

    def _tell_change(self, channel: Channel, change: Json) -> None:
        ts = self._workspace.next_ts()
        event = {"type": "message", "hidden": True, "ts": ts, "event_ts": ts, "channel": channel.id}
        if self._workspace.bot_user_id in channel.members:
            self.tell({**event, **change, "channel_type": channel.kind}, limits.MESSAGE_EVENTS[channel.kind])


def _rich_text(text: str) -> Json:
    """What Slack's composer makes of a post (https://docs.slack.dev/reference/block-kit/blocks/rich-text-block)."""
    elements: list[Json] = []
    end = 0
    for match in _ENTITY.finditer(text):
        elements += [_plain(text[end : match.start()]), _entity(match)]
        end = match.end()
    elements.append(_plain(text[end:]))
    section = {"type": "rich_text_section", "elements": [each for each in elements if each.get("text") != ""]}
    return {"type": "rich_text", "block_id": new_id(""), "elements": [section]}


def _plain(text: str) -> Json:
    plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return {"type": "text", "text": plain}


def _entity(match: re.Match[str]) -> Json:
    sigil, body, label = match.groups()
    match sigil:
        case "@":
            return {"type": "user", "user_id": body}
        case "#":
            return {"type": "channel", "channel_id": body}
        case "!":
            return {"type": "broadcast", "range": body}
        case _:
            return {"type": "link", "url": body, **({"text": label} if label else {})}
