"""What a local Slack holds: people, channels, messages. Messages are kept in Slack's own shape."""

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Person:
    """A user. `name` is the handle, `real_name` what others see."""

    id: str
    name: str
    real_name: str
    is_bot: bool = False


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
    people: dict[str, Person] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    #: channel id -> ts -> message
    messages: dict[str, dict[str, Json]] = field(default_factory=dict)
    ephemerals: list[Json] = field(default_factory=list)
    #: (channel, thread_ts) -> {"status", "at"}; and the same for agent sessions
    statuses: dict[tuple[str, str], Json] = field(default_factory=dict)
    sessions: dict[tuple[str, str], str] = field(default_factory=dict)
    prompts: dict[str, list[Json]] = field(default_factory=dict)
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

    def person(self, user_id: str) -> Person | None:
        return next((person for person in self.people.values() if person.id == user_id), None)

    def thread(self, channel_id: str, thread_ts: str) -> list[Json]:
        """A thread's messages, root first."""
        said = self.messages.get(channel_id, {}).values()
        return sorted(
            (m for m in said if m["ts"] == thread_ts or m.get("thread_ts") == thread_ts), key=lambda m: str(m["ts"])
        )

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
            "last": self._last,
        }

    def restore(self, state: Json) -> None:
        """Take over what `taken` gave. A stream that was open then is over."""
        for channel in state["channels"]:
            self.channels[channel["name"]] = Channel(**{**channel, "members": tuple(channel["members"])})
        self.messages |= state["messages"]
        self.ephemerals = state["ephemerals"]
        self.prompts = state["prompts"]
        self._last = state["last"]
        for said in self.messages.values():
            for message in said.values():
                message.pop("streaming", None)


def new_id(prefix: str) -> str:
    """An id as Slack makes them: a letter or two, then capitals and digits."""
    return prefix + secrets.token_hex(5).upper()
