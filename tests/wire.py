"""A proxy before a server, for what no server can do wrong by itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any


class Wire:
    """A proxy before a server, whose connections can fall silent without being closed: half-open sockets."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[Any]] = set()
        self._opened: list[asyncio.StreamWriter] = []
        self._dead: set[int] = set()
        self.connections = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]
            for writer in self._opened:
                writer.close()
            await asyncio.gather(*self._tasks)

    def fall_silent(self) -> None:
        """The connections that there are now carry nothing any more, in neither direction; new ones do."""
        self._dead = set(range(self.connections))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        number = self.connections
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._opened += [writer, far_writer]
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(number, reader, far_writer))
                both.create_task(self._pump(number, far_reader, writer))
        finally:
            for each in (writer, far_writer):
                each.close()
                with contextlib.suppress(ConnectionError):
                    await each.wait_closed()

    async def _pump(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if number not in self._dead:
                    writer.write(data)
                    await writer.drain()
            if number not in self._dead:
                writer.close()


def through(wire_port: int, url: str) -> str:
    """The same address by way of the proxy."""
    scheme, _, rest = url.partition("://")
    _, _, path = rest.partition("/")
    return f"{scheme}://127.0.0.1:{wire_port}/{path}"


def port_of(url: str) -> int:
    return int(url.split("/")[2].rpartition(":")[2])
