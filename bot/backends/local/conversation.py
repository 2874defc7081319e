"""A thread as Bobbin keeps it."""

import json
from collections.abc import Mapping, Sequence
from typing import Protocol, Self

from bot.backends.local.exchanges import Exchange, Item
from bot.engine.ports import HistoryItem

_HISTORY = "history"


class Histories(Protocol):
    """Where conversations are kept (storage.base.Storage)."""

    async def add_items(self, items: Sequence[HistoryItem]) -> None: ...

    async def items(self, thread: str) -> Sequence[HistoryItem]: ...


class Conversation:
    """What was said in a thread, in exchanges by their ids, in the order in which they began. A thread has one run at
    a time, so it is read once for a run, and what comes to it is kept as soon as it is known."""

    def __init__(self, histories: Histories, thread: str, kept: Sequence[HistoryItem]) -> None:
        self._thread = thread
        self._histories = histories
        self._next = kept[-1].seq + 1 if kept else 0
        self._exchanges: dict[str, list[Item]] = {}
        for item in kept:
            self._exchanges.setdefault(item.exchange, []).append(json.loads(item.item))

    @classmethod
    async def read(cls, histories: Histories, thread: str) -> Self:
        """The conversation with this id; an empty one where nothing is kept of it."""
        return cls(histories, thread, await histories.items(thread))

    @staticmethod
    async def begin(histories: Histories, thread: str, history: Sequence[Item]) -> None:
        """Keep what was said before there was a conversation. Each is an exchange, or belongs to the one before, so
        that a long history is not left out as a whole."""
        await histories.add_items(
            [HistoryItem(thread, place, f"{_HISTORY}-{place}", json.dumps(item)) for place, item in enumerate(history)]
        )

    @property
    def exchanges(self) -> Mapping[str, Exchange]:
        return {key: Exchange(tuple(items)) for key, items in self._exchanges.items()}

    @property
    def items(self) -> list[Item]:
        return [item for items in self._exchanges.values() for item in items]

    def exchange(self, key: str) -> Exchange | None:
        return Exchange(tuple(self._exchanges[key])) if key in self._exchanges else None

    async def add(self, key: str, items: Sequence[Item]) -> None:
        """Keep more of an exchange."""
        rows = [HistoryItem(self._thread, place, key, json.dumps(item)) for place, item in enumerate(items, self._next)]
        if rows:
            await self._histories.add_items(rows)
            self._next += len(rows)
            self._exchanges.setdefault(key, []).extend(items)
