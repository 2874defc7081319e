"""The workshop: the process that does the mathematics, kept ready, and stopped when it takes too long."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_START_SECONDS = 60.0
"""How long the process may take to load sympy, on a slow machine."""
_LONGEST_ANSWER = 2**22
"""Bytes."""


class TookTooLong(Exception):
    """The problem was given up at the deadline."""


class Workshop:
    """Hands problems to the worker process, one at a time."""

    def __init__(self, deadline: float) -> None:
        """`deadline` is how long a problem may take, in seconds."""
        self._deadline = deadline
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def solve(self, texts: Sequence[str]) -> dict[str, Any] | None:
        """What the worker says to these texts; `mathematics.worker` tells the fields.

        Raises `TookTooLong`, and `ConnectionError` when the process ended over it.
        """
        async with self._turn:
            try:
                process = await self._ready()
                return await _exchange(process, texts, self._deadline)
            except BaseException as error:
                # An answer that nobody waited for would be taken for the answer to the next problem.
                await self.close()
                if isinstance(error, TimeoutError):
                    raise TookTooLong from None
                raise

    async def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.communicate()

    async def _ready(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            worker = ("-m", "bot.playground.openai.mathematics.worker")
            # In a session of its own, a Ctrl-C in the terminal leaves it to us to end it.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *worker, stdin=PIPE, stdout=PIPE, limit=_LONGEST_ANSWER, start_new_session=True
            )
            await _exchange(self._process, [], _START_SECONDS)
        return self._process


async def _exchange(process: Process, texts: Sequence[str], seconds: float) -> dict[str, Any] | None:
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(seconds):
        process.stdin.write(json.dumps(list(texts)).encode() + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
    if not line:
        raise ConnectionError("the mathematics process ended")
    answer: dict[str, Any] | None = json.loads(line)
    return answer
