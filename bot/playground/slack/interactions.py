"""Commands, clicks, shortcuts and forms (https://docs.slack.dev/interactivity, https://docs.slack.dev/reference/interaction-payloads)."""

from collections.abc import Callable, Mapping
from typing import Any

from bot.playground.slack.app_manifest import AppManifest
from bot.playground.slack.blocks import check_options, elements_of
from bot.playground.slack.delivery import Ack, Delivery
from bot.playground.slack.errors import SlackError
from bot.playground.slack.response_urls import ResponseUrls
from bot.playground.slack.views import Views
from bot.playground.slack.workspace import Channel, Person, Workspace

Json = dict[str, Any]


class Interactions:
    """What people do to the app's own things. Each waits until the app said "received", or did not in time."""

    def __init__(
        self,
        workspace: Workspace,
        manifest: AppManifest,
        delivery: Delivery,
        views: Views,
        response_urls: ResponseUrls,
        changed: Callable[[], None],
    ) -> None:
        """`changed` is called after every change."""
        self._workspace = workspace
        self._manifest = manifest
        self._delivery = delivery
        self._views = views
        self._response_urls = response_urls
        self._changed = changed

    async def command(self, name: str, channel_id: str, command: str, text: str) -> Any:
        """A slash command; returns what the acknowledgement says, which Slack shows."""
        person, channel = self._workspace.people[name], self._workspace.open_channel(channel_id)
        if not self._manifest.has_command(command):
            self._show(person, channel, f"{command} is not a valid command.")
            return None
        payload = {
            "token": "local",
            "api_app_id": self._workspace.app_id,
            "team_id": self._workspace.team_id,
            "team_domain": "local",
            "channel_id": channel.id,
            "channel_name": _channel_name(channel),
            "user_id": person.id,
            "user_name": person.name,
            "command": command,
            "text": text,
            "is_enterprise_install": "false",
            "trigger_id": self._views.trigger(person.id),
            "response_url": self._response_urls.new(person, channel),
        }
        ack = await self._delivery.send("slash_commands", payload)
        if ack.seconds is None:
            self._show(person, channel, f"{command} failed because the app did not respond.")
        elif ack.payload:
            answer = ack.payload if isinstance(ack.payload, dict) else {"text": str(ack.payload)}
            self._response_urls.show(person, channel, None, answer)
            self._changed()
        return ack.payload

    async def click(self, name: str, channel_id: str, message_ts: str, action_id: str, **chosen: Any) -> None:
        """A button or a select of a message, ephemeral or not. `chosen` are the action's value or selected_option."""
        person, channel = self._workspace.people[name], self._workspace.open_channel(channel_id)
        message = self._clickable(channel, message_ts, person)
        thread = {"thread_ts": message["thread_ts"]} if message.get("thread_ts") else {}
        ephemeral = "to" in message
        container = {
            "type": "message",
            "message_ts": message_ts,
            "channel_id": channel.id,
            "is_ephemeral": ephemeral,
            **thread,
        }
        payload = {
            **self._interaction("block_actions", person),
            **self._in_channel(person, channel, message.get("thread_ts"), message),
            "container": container,
            "actions": [self._action(message.get("blocks", []), action_id, chosen)],
            "state": {"values": {}},
        }
        if not ephemeral:
            payload["message"] = self._workspace.shown(channel.id, message)
        await self._send(payload)

    async def shortcut(self, name: str, channel_id: str, message_ts: str, callback_id: str) -> None:
        """A message shortcut."""
        if not self._manifest.has_shortcut(callback_id):
            raise SlackError("no_such_shortcut")
        person, channel = self._workspace.people[name], self._workspace.open_channel(channel_id)
        message = self._workspace.messages[channel.id][message_ts]
        payload = {
            **self._interaction("message_action", person),
            **self._in_channel(person, channel, message.get("thread_ts"), None),
            "callback_id": callback_id,
            "action_ts": self._workspace.next_ts(),
            "message_ts": message_ts,
            "message": self._workspace.shown(channel.id, message),
        }
        await self._send(payload)

    # Views

    async def click_view(self, name: str, view_id: str, action_id: str, **chosen: Any) -> None:
        """A button or a select of a modal or a Home tab."""
        person = self._workspace.people[name]
        view = self._views.shown_to(person.id, view_id)
        payload = {
            **self._interaction("block_actions", person),
            "view": view,
            "container": {"type": "view", "view_id": view_id},
            "actions": [self._action(view["blocks"], action_id, chosen)],
        }
        await self._send(payload)

    async def submit_view(self, name: str, view_id: str, values: Mapping[str, Any]) -> dict[str, str]:
        """Submit a form with `values`, by block and action, in Slack's shape; returns errors by block.

        An empty answer means that the form was taken.
        """
        person = self._workspace.people[name]
        view = self._views.shown_to(person.id, view_id)
        if errors := self._views.fill(view, values):
            return errors
        payload = {**self._interaction("view_submission", person), "view": view, "response_urls": []}
        ack = await self._send(payload)
        errors = self._views.settle(person.id, view, ack.payload)
        self._changed()
        return errors

    async def close_view(self, name: str, view_id: str) -> None:
        """Close a form without submitting it; the app hears of it if it asked to."""
        person = self._workspace.people[name]
        view = self._views.shown_to(person.id, view_id)
        self._views.close(person.id)
        self._changed()
        if view["notify_on_close"]:
            interaction = self._interaction("view_closed", person)
            del interaction["trigger_id"]  # nothing may be opened by closing
            await self._send({**interaction, "view": view, "is_cleared": False})

    async def suggest(self, name: str, view_id: str, action_id: str, query: str) -> list[Json]:
        """The options that the app offers for what was typed into an external_select."""
        person = self._workspace.people[name]
        view = self._views.shown_to(person.id, view_id)
        block, _ = _find(view["blocks"], action_id, None)
        payload = {
            **self._interaction("block_suggestion", person),
            "view": view,
            "container": {"type": "view", "view_id": view_id},
            "action_id": action_id,
            "block_id": block["block_id"],
            "value": query,
        }
        ack = await self._send(payload)
        options: list[Json] = (ack.payload or {}).get("options", [])
        check_options(options, "/options")
        return options

    # Pieces

    async def _send(self, payload: Json) -> Ack:
        if not self._manifest.interactive:
            raise SlackError("interactivity_is_off")
        ack = await self._delivery.send("interactive", payload)
        if ack.seconds is None:
            raise SlackError("app_did_not_respond")
        return ack

    def _interaction(self, kind: str, person: Person) -> Json:
        team_id = self._workspace.team_id
        return {
            "type": kind,
            "token": "local",
            "api_app_id": self._workspace.app_id,
            "team": {"id": team_id, "domain": "local"},
            "user": {"id": person.id, "username": person.name, "name": person.name, "team_id": team_id},
            "is_enterprise_install": False,
            "enterprise": None,
            "trigger_id": self._views.trigger(person.id),
        }

    def _in_channel(self, person: Person, channel: Channel, thread_ts: str | None, replaceable: Json | None) -> Json:
        url = self._response_urls.new(person, channel, thread_ts, replaceable)
        return {"channel": {"id": channel.id, "name": _channel_name(channel)}, "response_url": url}

    def _action(self, blocks: list[Json], action_id: str, chosen: Json) -> Json:
        block, element = _find(blocks, action_id, chosen.get("value"))
        option = chosen.get("selected_option")
        if option is not None and "options" in element and option not in element["options"]:
            raise SlackError("no_such_option")
        kept: Json = {name: element[name] for name in ("text", "value", "placeholder") if name in element}
        return {
            "type": element["type"],
            "action_id": action_id,
            "block_id": block.get("block_id", "local"),
            "action_ts": self._workspace.next_ts(),
            **kept,
            **chosen,
        }

    def _clickable(self, channel: Channel, ts: str, person: Person) -> Json:
        for shown in self._workspace.ephemerals:
            if shown["ts"] == ts and shown["to"] == person.id:
                return shown
        message = self._workspace.messages[channel.id].get(ts)
        if message is None:
            raise SlackError("message_not_found")
        return message

    def _show(self, person: Person, channel: Channel, text: str) -> None:
        self._response_urls.show(person, channel, None, {"text": text})
        self._changed()


def _channel_name(channel: Channel) -> str:
    return {"im": "directmessage", "group": "privategroup"}.get(channel.kind, channel.name)


def _find(blocks: list[Json], action_id: str, value: str | None) -> tuple[Json, Json]:
    """An element by its action_id; among several of one id, that with this value."""
    for block, element in elements_of(blocks):
        if element.get("action_id") == action_id and value in (None, *_values(element)):
            return block, element
    raise SlackError("no_such_action", note=action_id)


def _values(element: Json) -> list[Any]:
    buttons = [element.get(name, {}) for name in ("positive_button", "negative_button")]
    return [element.get("value"), *(button.get("value") for button in buttons)]
