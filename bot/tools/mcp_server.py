"""An MCP server through its ups and downs: connected at its first use, and again after it died."""

import asyncio
import contextvars
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from bot.errors import ToolError
from bot.tools.mcp_connection import TOOL_LIMIT, Connection, why
from bot.tools.mcp_file import HttpServer, StdioServer
from bot.tools.mcp_names import may_be_of
from bot.tools.mcp_tool import McpTool, ServerDown

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds: for a handshake or a list of tools; the first rest after a failure, and the longest."""

    connect: float = 10.0
    first_rest: float = 1.0
    longest_rest: float = 60.0

    def rest(self, failures: int) -> float:
        """How long a server is let alone after so many failures in a row."""
        return min(self.first_rest * 2.0 ** min(failures - 1, 30), self.longest_rest) if failures > 0 else 0.0


class McpServer:
    """One server of the file. A task of its own holds the connection; uses wait for it, but not while it rests."""

    def __init__(self, config: StdioServer | HttpServer, patience: Patience | None = None) -> None:
        self.name = config.name
        self._config = config
        self._patience = patience or Patience()
        self._keeper: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._next: asyncio.Future[Connection] | None = None
        self._problem: str | None = None
        self._listing = asyncio.Lock()
        self._tools: dict[str, McpTool] = {}
        #: Whether the server has more tools than are offered.
        self.overfull = False

    async def tools(self) -> tuple[McpTool, ...]:
        """What the server offers. Raises ServerDown."""
        connection = await self._connection()
        async with self._listing:
            if connection.stale:
                await self._refresh(connection)
        return tuple(self._tools.values())

    def known(self, name: str) -> McpTool | None:
        """The tool that models know by this name, as far as the server was asked already."""
        return self._tools.get(name)

    def may_have(self, name: str) -> bool:
        return may_be_of(self.name, name)

    async def call(self, tool: McpTool, arguments: Mapping[str, Any]) -> str:
        """Call a tool. Returns its output; raises ToolError where it failed, and says what is known of it."""
        try:
            connection = await self._connection()
        except ServerDown as down:
            raise ToolError(f"The server {self.name} is not there ({down}). The call was not made.") from down
        return await connection.call(tool.name, arguments)

    async def close(self) -> None:
        """End the connection, and the server's process where there is one."""
        self._problem = "Bobbin is stopping"
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        self._gone(self._problem)

    async def _connection(self) -> Connection:
        if self._problem is not None:
            raise ServerDown(self._problem)
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            self._wanted.set()
        if self._keeper is None or self._keeper.done():
            # In a context of its own: the log lines of a run must not follow it for ever.
            self._keeper = asyncio.create_task(self._keep(), context=contextvars.Context())
        # Shielded: one run that is stopped must not take the connection away from the others that wait for it.
        return await asyncio.shield(self._next)

    async def _keep(self) -> None:
        """Connect when wanted, hold the connection until it is over, rest, and again."""
        failures = 0
        while True:
            await self._wanted.wait()
            connection = Connection(self._config)
            connected_at: float | None = None
            problem = "it ended"
            try:
                async with asyncio.timeout(None) as handshake:
                    handshake.reschedule(_now() + self._patience.connect)
                    async with connection.connected():
                        await self._list(connection)
                        handshake.reschedule(None)
                        connected_at = time.monotonic()
                        self._ready(connection)
                        await connection.over.wait()
            except Exception as error:  # noqa: BLE001 - whatever it was, the server is not there
                problem = why(error, connection.last_words)
            finally:
                self._gone(problem)
            steady = connected_at is not None and time.monotonic() - connected_at > self._patience.longest_rest
            failures = 0 if steady else failures + 1
            # The first death in a row is made good at once, a server that does not come up is let alone.
            rest = self._patience.rest(failures - 1 if connected_at is not None else failures)
            _log.warning("mcp-server-down", server=self.name, problem=problem, rest=rest)
            if rest:
                await asyncio.sleep(rest)
            self._problem = None

    def _ready(self, connection: Connection) -> None:
        assert self._next is not None
        if not self._next.done():
            self._next.set_result(connection)
        _log.info("mcp-server-connected", server=self.name, tools=len(self._tools))

    def _gone(self, problem: str) -> None:
        """The connection is no more: who waits for it is told, and who comes is told until the rest is over."""
        self._wanted.clear()
        if self._problem is None:
            self._problem = problem
        if self._next is not None and not self._next.done():
            self._next.set_exception(ServerDown(self._problem))
            self._next.exception()  # looked at, should nobody be waiting any more
        self._next = None

    async def _refresh(self, connection: Connection) -> None:
        """The list has changed. A server that does not tell how is kept as it was known, one that hangs is not."""
        try:
            async with asyncio.timeout(self._patience.connect):
                await self._list(connection)
        except TimeoutError:
            connection.over.set()
            raise ServerDown("it did not answer in time") from None
        except Exception as error:  # noqa: BLE001 - whatever it was, the tools known so far may still work
            _log.warning("mcp-tools-unlisted", server=self.name, problem=why(error, connection.last_words))

    async def _list(self, connection: Connection) -> None:
        tools, self.overfull = await connection.tools()
        self._tools = {tool.spec.name: tool for tool in tools}
        if self.overfull:
            _log.warning("mcp-server-overfull", server=self.name, offered=TOOL_LIMIT)


def _now() -> float:
    return asyncio.get_running_loop().time()
