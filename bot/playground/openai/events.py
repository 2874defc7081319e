"""Server-sent events: a log that a run writes and any number of streams follow."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


_RUNS = frozenset({"thread.run", "response", "agent.session.turn", "agent.session"})
"""Whose states events tell."""


class Signal:
    """Wakes everybody who waits, each time."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def notify(self) -> None:
        """Wakes those who wait now."""
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        """Returns at the next `notify`."""
        await self._next.wait()


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event. `data` is a JSON object, or a bare word such as `[DONE]`."""

    name: str
    data: dict[str, Any] | str

    @property
    def terminal(self) -> bool:
        """Whether it tells how the run ended, or closes the stream."""
        ends = ("completed", "failed", "incomplete", "cancelled", "expired", "requires_action")
        run, _, state = self.name.rpartition(".")
        return self.name == "done" or (run in _RUNS and state in ends)

    def encode(self) -> bytes:
        """The event on the wire: https://html.spec.whatwg.org/multipage/server-sent-events.html."""
        data = self.data if isinstance(self.data, str) else json.dumps(self.data, ensure_ascii=False)
        return f"event: {self.name}\ndata: {data}\n\n".encode()


class EventLog:
    """The events of one stream: kept, so that a follower may come late or come back."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._signal = Signal()
        self.closed = False

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: Event) -> None:
        """Adds an event for all followers; nothing may follow `close`."""
        assert not self.closed, f"{event.name} after the end of its stream"
        self._events.append(event)
        self._signal.notify()

    def close(self) -> None:
        """Lets the followers end."""
        self.closed = True
        self._signal.notify()

    async def follow(self, start: int = 0) -> AsyncIterator[Event]:
        """All events from position `start` on, those to come included, until the log is closed."""
        position = start
        while True:
            for event in self._events[position:]:
                position += 1
                yield event
            if position == len(self._events):
                if self.closed:
                    return
                await self._signal.wait()

    async def ended(self) -> None:
        """Returns when the log is closed."""
        while not self.closed:
            await self._signal.wait()
