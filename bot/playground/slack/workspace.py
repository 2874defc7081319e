"""What a local Slack holds: people, channels, messages. Messages are kept in Slack's own shape."""

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bot.playground.slack.errors import SlackError

Json = dict[str, Any]

#: What we note in a message, and Slack's API does not show.
_NOTES = frozenset(
    {
        "expired", "markdown_text", "plan", "reactions", "started_at", "stopped_by_user", "streaming", "streaming_mode",
        "tasks",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """A user. `name` is the handle, `real_name` what others see."""

    id: str
    name: str
    real_name: str
    is_bot: bool = False


#: Who speaks for Slack itself.
SLACKBOT = Person("USLACKBOT", "slackbot", "Slackbot", is_bot=True)


@dataclass(frozen=True, slots=True)
class Channel:
    """`kind` is Slack's channel_type: channel, group (private), mpim or im."""

    id: str
    name: str
    kind: str
    members: tuple[str, ...]
    archived: bool = False


@dataclass(slots=True)
class Workspace:
    """One workspace with one app in it."""

    clock: Callable[[], float]
    team_id: str = "T0LOCAL"
    team_name: str = "Local Slack"
    app_id: str = "A0BOBBIN"
    bot_id: str = "B0BOBBIN"
    bot_user_id: str = "U0BOBBIN"
    #: Where permalinks point; no such host exists.
    url: str = "https://local.invalid/"
    people: dict[str, Person] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    #: channel id -> ts -> message
    messages: dict[str, dict[str, Json]] = field(default_factory=dict)
    ephemerals: list[Json] = field(default_factory=list)
    #: (channel, thread_ts) -> {"status", "at"}; and the same for agent sessions
    statuses: dict[tuple[str, str], Json] = field(default_factory=dict)
    sessions: dict[tuple[str, str], str] = field(default_factory=dict)
    titles: dict[tuple[str, str], str] = field(default_factory=dict)
    prompts: dict[str, list[Json]] = field(default_factory=dict)
    #: file id -> Slack's file object; the bytes are kept apart
    files: dict[str, Json] = field(default_factory=dict)
    _last: int = 0

    @classmethod
    def new(cls, clock: Callable[[], float]) -> "Workspace":
        """The workspace that everybody starts with."""
        workspace = cls(clock)
        bot = workspace.bot_user_id
        named = [
            Person("U0ADA", "ada", "Ada Lovelace"),
            Person("U0GRACE", "grace", "Grace Hopper"),
            Person("U0LINUS", "linus", "Linus Pauling"),
            Person(bot, "bobbin", "Bobbin", is_bot=True),
        ]
        people = [person.id for person in named if not person.is_bot]
        workspace.people = {person.name: person for person in named}
        workspace.channels = {
            channel.name: channel
            for channel in [
                Channel("C0GENERAL", "general", "channel", (*people, bot)),
                Channel("C0RANDOM", "random", "channel", tuple(people)),
                Channel("G0LAB", "lab", "group", (*people[:2], bot)),
                Channel("G0TRIO", "mpdm-ada--grace--bobbin-1", "mpim", (*people[:2], bot)),
                *(Channel(f"D0{p.name.upper()}", f"dm-{p.name}", "im", (p.id, bot)) for p in named if not p.is_bot),
            ]
        }
        workspace.messages = {channel.id: {} for channel in workspace.channels.values()}
        return workspace

    def next_ts(self) -> str:
        """A timestamp later than all before; the clock is in seconds."""
        self._last = max(self._last + 1, int(self.clock() * 1_000_000))
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"

    def channel(self, channel_id: str) -> Channel | None:
        return next((channel for channel in self.channels.values() if channel.id == channel_id), None)

    def open_channel(self, channel_id: str) -> Channel:
        """A channel that people can write in. Raises SlackError."""
        channel = self.channel(channel_id)
        if channel is None:
            raise SlackError("channel_not_found")
        if channel.archived:
            raise SlackError("is_archived")
        return channel

    def person(self, user_id: str) -> Person | None:
        return next((person for person in self.people.values() if person.id == user_id), None)

    def thread(self, channel_id: str, thread_ts: str) -> list[Json]:
        """A thread's messages, root first."""
        said = self.messages.get(channel_id, {}).values()
        return sorted(
            (m for m in said if m["ts"] == thread_ts or m.get("thread_ts") == thread_ts), key=lambda m: str(m["ts"])
        )

    def add_channel(self, channel: Channel) -> Channel:
        self.channels[channel.name] = channel
        self.messages.setdefault(channel.id, {})
        return channel

    def join(self, channel: Channel, user_id: str) -> Channel:
        """Make somebody a member, unless they are."""
        members = tuple(dict.fromkeys((*channel.members, user_id)))
        return self.add_channel(replace(channel, members=members))

    def dm(self, user_id: str) -> Channel | None:
        """The direct message of a person and the bot."""
        return next((c for c in self.channels.values() if c.kind == "im" and c.members[0] == user_id), None)

    def shown(self, channel_id: str, message: Json) -> Json:
        """A message as the API shows it: without our own notes, with what Slack says of its thread and reactions."""
        public = {name: value for name, value in message.items() if name not in _NOTES}
        if reactions := message.get("reactions"):
            public["reactions"] = [
                {"name": name, "users": users, "count": len(users)} for name, users in reactions.items() if users
            ]
        root, *replies = self.thread(channel_id, message.get("thread_ts") or message["ts"]) or [message]
        if message["ts"] == root["ts"] and replies:
            authors = list(dict.fromkeys(reply["user"] for reply in replies))
            public |= {"thread_ts": root["ts"], "reply_count": len(replies), "reply_users": authors}
            public |= {"reply_users_count": len(authors), "latest_reply": replies[-1]["ts"]}
        elif message["ts"] != root["ts"]:
            public["parent_user_id"] = root["user"]
        return public

    def add(self, channel_id: str, message: Json) -> Json:
        """Store a message under a new ts, unless it has one."""
        message = {"type": "message", "ts": message.get("ts") or self.next_ts(), **message}
        self.messages[channel_id][message["ts"]] = message
        return message

    # The state file

    def taken(self) -> Json:
        """All of it, as JSON-able data."""
        return {
            "channels": [asdict(channel) for channel in self.channels.values()],
            "messages": self.messages,
            "ephemerals": self.ephemerals,
            "prompts": self.prompts,
            "files": self.files,
            "last": self._last,
        }

    def restore(self, state: Json) -> None:
        """Take over what `taken` gave. A stream that was open then is over."""
        for channel in state["channels"]:
            self.channels[channel["name"]] = Channel(**{**channel, "members": tuple(channel["members"])})
        self.messages |= state["messages"]
        self.ephemerals = state["ephemerals"]
        self.prompts = state["prompts"]
        self.files = state.get("files", {})
        self._last = state["last"]
        for said in self.messages.values():
            for message in said.values():
                message.pop("streaming", None)


def new_id(prefix: str) -> str:
    """An id as Slack makes them: a letter or two, then capitals and digits."""
    return prefix + secrets.token_hex(5).upper()
