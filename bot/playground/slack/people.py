"""What people do in Slack, and the events that come of it (https://docs.slack.dev/reference/events)."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from bot.playground.slack import limits
from bot.playground.slack.delivery import Delivery
from bot.playground.slack.errors import SlackError
from bot.playground.slack.streams import Streams
from bot.playground.slack.workspace import Channel, Person, Workspace, new_id

Json = dict[str, Any]


class People:
    """Posts, clicks and commands. Every act changes the workspace, then tells the app."""

    def __init__(
        self,
        workspace: Workspace,
        delivery: Delivery,
        streams: Streams,
        manifest: Json | None,
        response_url: Callable[[str], str],
        changed: Callable[[], None],
    ) -> None:
        """`response_url` makes an address of a token."""
        self._workspace = workspace
        self._delivery = delivery
        self._streams = streams
        self._manifest = manifest
        self._response_url = response_url
        self._changed = changed
        #: token -> what it answers, and how often it may
        self.responses: dict[str, Json] = {}

    # Messages

    def post(self, name: str, channel_id: str, text: str, thread_ts: str | None = None, **extra: Any) -> str:
        """A person posts. A mention outside of a DM is also told as app_mention, with the same ts."""
        person, channel = self._workspace.people[name], self._channel(channel_id)
        if person.id not in channel.members:
            raise SlackError("not_in_channel")
        message: Json = {
            "client_msg_id": secrets.token_hex(16),
            "user": person.id,
            "text": text,
            "team": self._workspace.team_id,
            **({"thread_ts": thread_ts} if thread_ts else {}),
            **extra,
        }
        message = self._workspace.add(channel.id, message)
        self._changed()
        event = {**message, "channel": channel.id, "event_ts": message["ts"]}
        if self._hears(channel):
            self.deliver({**event, "channel_type": channel.kind}, limits.MESSAGE_EVENTS[channel.kind])
            if f"<@{self._workspace.bot_user_id}>" in text and channel.kind != "im":
                event.pop("subtype", None)
                self.deliver({**event, "type": "app_mention"}, "app_mention")
        return str(message["ts"])

    def edit(self, channel_id: str, ts: str, text: str) -> None:
        """A person edits their post."""
        channel = self._channel(channel_id)
        message = self._workspace.messages[channel.id][ts]
        previous = dict(message)
        message |= {"text": text, "edited": {"user": message["user"], "ts": self._workspace.next_ts()}}
        self._tell_change(
            channel, {"subtype": "message_changed", "message": dict(message), "previous_message": previous}
        )

    def delete(self, channel_id: str, ts: str) -> None:
        """A person deletes their post."""
        channel = self._channel(channel_id)
        previous = self._workspace.messages[channel.id].pop(ts)
        self._tell_change(channel, {"subtype": "message_deleted", "deleted_ts": ts, "previous_message": previous})

    def _tell_change(self, channel: Channel, change: Json) -> None:
        self._changed()
        ts = self._workspace.next_ts()
        event = {"type": "message", "hidden": True, "ts": ts, "event_ts": ts, "channel": channel.id}
        if self._hears(channel):
            self.deliver({**event, **change, "channel_type": channel.kind}, limits.MESSAGE_EVENTS[channel.kind])

    def stop_stream(self, name: str, channel_id: str, thread_ts: str) -> None:
        """The native Stop under a session that is processing."""
        event = {
            "type": "agent_session_stopped",
            "channel": channel_id,
            "thread_ts": thread_ts,
            "user": self._workspace.people[name].id,
            "streaming_message_ts": self._streams.stop_by_user(channel_id, thread_ts),
            "event_ts": self._workspace.next_ts(),
        }
        self._changed()
        self.deliver(event, "agent_session_stopped")

    def open_home(self, name: str, tab: str) -> None:
        """A person opens their DM with the app."""
        person = self._workspace.people[name]
        channel = self._workspace.channels[f"dm-{name}"]
        event = {"type": "app_home_opened", "user": person.id, "channel": channel.id, "tab": tab}
        self.deliver({**event, "event_ts": self._workspace.next_ts()}, "app_home_opened")

    # Commands and clicks

    async def command(self, name: str, channel_id: str, command: str, text: str) -> Any:
        """A slash command; Slack shows what the acknowledgement says. Returns that."""
        person, channel = self._workspace.people[name], self._channel(channel_id)
        payload = {
            "token": "local",
            "api_app_id": self._workspace.app_id,
            "team_id": self._workspace.team_id,
            "team_domain": "local",
            "channel_id": channel.id,
            "channel_name": "directmessage" if channel.kind == "im" else channel.name,
            "user_id": person.id,
            "user_name": person.name,
            "command": command,
            "text": text,
            "is_enterprise_install": "false",
            "trigger_id": new_id("trigger."),
            "response_url": self._answerable(person, channel, None, None),
        }
        answer = await self._delivery.send("slash_commands", payload)
        if answer:
            self._show_ephemeral(person, channel, None, answer)
        return answer

    async def click(self, name: str, channel_id: str, message_ts: str, action_id: str, **chosen: Any) -> None:
        """A button or a select of a message, ephemeral or not. `chosen` are the action's value or selected_option."""
        person, channel = self._workspace.people[name], self._channel(channel_id)
        message = self._clickable(channel, message_ts, person)
        block, element = _find_element(message, action_id, chosen.get("value"))
        action = {
            "type": element["type"],
            "action_id": action_id,
            "block_id": block.get("block_id", "local"),
            "action_ts": self._workspace.next_ts(),
            **({"value": element["value"]} if "value" in element else {}),
            **chosen,
        }
        ephemeral = "to" in message
        payload = {
            **self._interaction("block_actions", person, channel, message if ephemeral else None, message),
            "actions": [action],
            "container": {
                "type": "message",
                "message_ts": message_ts,
                "channel_id": channel.id,
                "is_ephemeral": ephemeral,
                **({"thread_ts": message["thread_ts"]} if message.get("thread_ts") else {}),
            },
        }
        if not ephemeral:
            payload["message"] = message
        await self._delivery.send("interactive", payload)

    async def shortcut(self, name: str, channel_id: str, message_ts: str, callback_id: str) -> None:
        """A message shortcut."""
        person, channel = self._workspace.people[name], self._channel(channel_id)
        message = self._workspace.messages[channel.id][message_ts]
        payload = self._interaction("message_action", person, channel, None, message)
        payload |= {"callback_id": callback_id, "message_ts": message_ts, "message": message}
        await self._delivery.send("interactive", payload)

    def respond(self, token: str, answer: Json) -> bool:
        """Somebody posts to a response_url. False where it is unknown, used up or too old."""
        entry = self.responses.get(token)
        age = self._workspace.clock() - entry["at"] if entry else 0
        if entry is None or entry["left"] <= 0 or age > limits.RESPONSE_URL_LIFETIME:
            return False
        entry["left"] -= 1
        channel = self._channel(entry["channel"])
        person = next(person for person in self._workspace.people.values() if person.id == entry["user"])
        message = entry["message"]
        if message is not None and (answer.get("replace_original") or answer.get("delete_original")):
            self._replace(message, answer)
        else:
            self._show_ephemeral(person, channel, answer.get("thread_ts") or entry["thread_ts"], answer)
        return True

    def deliver(self, event: Json, subscription: str, **overrides: Any) -> asyncio.Task[Any] | None:
        """Tell the app of an event, if its manifest subscribes to it."""
        if self._manifest is not None:
            bot_events = self._manifest["settings"]["event_subscriptions"]["bot_events"]
            if subscription not in bot_events:
                return None
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

    # Pieces

    def _channel(self, channel_id: str) -> Channel:
        channel = self._workspace.channel(channel_id)
        if channel is None:
            raise SlackError("channel_not_found")
        if channel.archived:
            raise SlackError("is_archived")
        return channel

    def _hears(self, channel: Channel) -> bool:
        return self._workspace.bot_user_id in channel.members

    def _answerable(self, person: Person, channel: Channel, thread_ts: str | None, message: Json | None) -> str:
        token = secrets.token_urlsafe(12)
        self.responses[token] = {
            "user": person.id,
            "channel": channel.id,
            "thread_ts": thread_ts,
            "message": message,
            "left": limits.RESPONSE_URL_USES,
            "at": self._workspace.clock(),
        }
        return self._response_url(token)

    def _interaction(self, kind: str, person: Person, channel: Channel, ephemeral: Json | None, message: Json) -> Json:
        thread_ts = message.get("thread_ts")
        # A shortcut's answer is new; a click's may replace what was clicked.
        replaceable = ephemeral or (message if kind == "block_actions" else None)
        return {
            "type": kind,
            "token": "local",
            "api_app_id": self._workspace.app_id,
            "team": {"id": self._workspace.team_id, "domain": "local"},
            "user": {"id": person.id, "username": person.name, "name": person.name, "team_id": self._workspace.team_id},
            "channel": {"id": channel.id, "name": channel.name},
            "is_enterprise_install": False,
            "enterprise": None,
            "trigger_id": new_id("trigger."),
            "response_url": self._answerable(person, channel, thread_ts, replaceable),
        }

    def _clickable(self, channel: Channel, ts: str, person: Person) -> Json:
        for shown in self._workspace.ephemerals:
            if shown["ts"] == ts and shown["to"] == person.id:
                return shown
        return self._workspace.messages[channel.id][ts]

    def _show_ephemeral(self, person: Person, channel: Channel, thread_ts: str | None, answer: Json) -> None:
        content = {name: answer[name] for name in ("text", "blocks") if answer.get(name)}
        shown = {"channel": channel.id, "to": person.id, "ts": self._workspace.next_ts(), "thread_ts": thread_ts}
        self._workspace.ephemerals.append({**shown, **content})
        self._changed()

    def _replace(self, message: Json, answer: Json) -> None:
        if answer.get("delete_original") and message in self._workspace.ephemerals:
            self._workspace.ephemerals.remove(message)
        for name in ("text", "blocks", "markdown_text"):
            message.pop(name, None)
        message |= {name: answer[name] for name in ("text", "blocks") if answer.get(name)}
        self._changed()


def _find_element(message: Json, action_id: str, value: str | None) -> tuple[Json, Json]:
    for block in message.get("blocks", []):
        for element in [*block.get("elements", []), *([block["accessory"]] if "accessory" in block else [])]:
            if element.get("action_id") == action_id and value in (None, element.get("value")):
                return block, element
    raise KeyError(f"the message has no {action_id}")
