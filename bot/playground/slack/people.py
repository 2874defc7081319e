"""What people write in Slack, and the events that come of it (https://docs.slack.dev/reference/events)."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from bot.playground.slack.errors import SlackError
from bot.playground.slack.events import Events
from bot.playground.slack.files import Files
from bot.playground.slack.streams import Streams
from bot.playground.slack.views import Views
from bot.playground.slack.workspace import SLACKBOT, Channel, Person, Workspace

Json = dict[str, Any]


class People:
    """Every act changes the workspace, then tells the app."""

    def __init__(
        self,
        workspace: Workspace,
        events: Events,
        streams: Streams,
        files: Files,
        views: Views,
        changed: Callable[[], None],
    ) -> None:
        """`changed` is called after every change."""
        self._workspace = workspace
        self._events = events
        self._streams = streams
        self._files = files
        self._views = views
        self._changed = changed

    def post(self, name: str, channel_id: str, text: str, thread_ts: str | None = None, **extra: Any) -> str:
        """A person posts; returns the ts. `extra` are more fields of the message."""
        person, channel = self._workspace.people[name], self._workspace.open_channel(channel_id)
        if person.id not in channel.members:
            raise SlackError("not_in_channel")
        if thread_ts is not None and thread_ts not in self._workspace.messages[channel.id]:
            raise SlackError("thread_not_found")
        message: Json = {
            "client_msg_id": str(uuid.uuid4()),
            "user": person.id,
            "text": text,
            "team": self._workspace.team_id,
            **({"thread_ts": thread_ts} if thread_ts else {}),
            **extra,
        }
        message = self._workspace.add(channel.id, message)
        self._notice_absence(person, channel, message)
        self._changed()
        self._events.tell_message(channel, message)
        return str(message["ts"])

    def _notice_absence(self, person: Person, channel: Channel, message: Json) -> None:
        """Slack itself tells whoever mentions somebody that is not in the channel; the app hears nothing of it."""
        bot = self._workspace.bot_user_id
        if bot in channel.members or f"<@{bot}>" not in message["text"]:
            return
        text = f"You mentioned <@{bot}>, but they’re not in this channel."
        ts, thread_ts = self._workspace.next_ts(), message.get("thread_ts")
        notice = {"channel": channel.id, "to": person.id, "user": SLACKBOT.id, "ts": ts, "thread_ts": thread_ts}
        self._workspace.ephemerals.append({**notice, "text": text})

    async def post_files(
        self, name: str, channel_id: str, text: str, thread_ts: str | None, files: Sequence[tuple[str, bytes] | Json]
    ) -> str:
        """A person posts files, each a name and its content, or a file object."""
        user_id = self._workspace.people[name].id
        kept = [file if isinstance(file, dict) else await self._files.keep(*file, user_id) for file in files]
        return self.post(name, channel_id, text, thread_ts, subtype="file_share", files=kept, upload=False)

    def edit(self, channel_id: str, ts: str, text: str) -> None:
        """A person edits their post."""
        channel = self._workspace.open_channel(channel_id)
        message = self._workspace.messages[channel.id][ts]
        previous = dict(message)
        message |= {"text": text, "edited": {"user": message["user"], "ts": self._workspace.next_ts()}}
        self._changed()
        self._events.tell_edit(channel, message, previous)

    def delete(self, channel_id: str, ts: str) -> None:
        """A person deletes their post. Where it has replies a tombstone stays, and no `message_deleted` is told
        (https://docs.slack.dev/reference/events/message/message_changed)."""
        channel = self._workspace.open_channel(channel_id)
        messages = self._workspace.messages[channel.id]
        previous = messages.pop(ts)
        replied = any(message.get("thread_ts") == ts for message in messages.values())
        if replied:
            tombstone = {"subtype": "tombstone", "user": SLACKBOT.id, "text": "This message was deleted."}
            messages[ts] = {"type": "message", **tombstone, "hidden": True, "ts": ts, "thread_ts": ts}
            self._workspace.messages[channel.id] = dict(sorted(messages.items()))
        self._changed()
        if replied:
            self._events.tell_edit(channel, messages[ts], previous)
        else:
            self._events.tell_deletion(channel, previous)

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
        self._events.tell(event, "agent_session_stopped")

    def open_home(self, name: str, tab: str) -> None:
        """A person opens their DM with the app; `tab` is home or messages."""
        person = self._workspace.people[name]
        channel = self._workspace.channels[f"dm-{name}"]
        event: Json = {"type": "app_home_opened", "user": person.id, "channel": channel.id, "tab": tab}
        if tab == "home" and person.id in self._views.homes:
            event["view"] = self._views.homes[person.id]
        self._events.tell({**event, "event_ts": self._workspace.next_ts()}, "app_home_opened")
