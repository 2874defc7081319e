"""State files: what a playground server holds, kept in one JSON file across restarts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Snapshot:
    """Writes a state to one file: soon after it changed, whole or not at all, never on the event loop."""

    def __init__(self, path: Path, take: Callable[[], dict[str, Any]], delay: float = 0.2) -> None:
        """`take` returns the state as JSON-able data; `delay` is how long changes are gathered, in seconds."""
        self._path = path
        self._take = take
        self._delay = delay
        self._dirty = False
        self._writer: asyncio.Task[None] | None = None

    def load(self) -> dict[str, Any] | None:
        """The state last written, or None when there is none yet.

        Raises `ValueError` naming the file when it does not hold a JSON object.
        """
        if not self._path.exists():
            return None
        try:
            state = json.loads(self._path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{self._path} is not a state file: {error}") from error
        if not isinstance(state, dict):
            raise ValueError(f"{self._path} is not a state file: it holds no JSON object")  # noqa: TRY004 -- the file is wrong, no argument
        return state

    def changed(self) -> None:
        """Notes that the state changed; needs a running event loop."""
        self._dirty = True
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_later())

    async def close(self) -> None:
        """Writes what is not written yet, at once."""
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        if self._dirty:
            await self._write()

    async def _write_later(self) -> None:
        while self._dirty:
            await asyncio.sleep(self._delay)
            await self._write()

    async def _write(self) -> None:
        # The state is taken on the loop, where nothing can change it meanwhile; only the file is left to a thread.
        self._dirty = False
        text = json.dumps(self._take())
        writing = asyncio.ensure_future(asyncio.to_thread(self._replace, text))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            raise

    def _replace(self, text: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(self._path.name + ".new")
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
