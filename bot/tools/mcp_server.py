"""An MCP server through its ups and downs: connected before its first use, and again after it died."""

import asyncio
import contextvars
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from bot.errors import ToolError
from bot.tools.mcp_connection import TOOL_LIMIT, Connection
from bot.tools.mcp_errors import down
from bot.tools.mcp_file import HttpServer, StdioServer
from bot.tools.mcp_names import may_be_of
from bot.tools.mcp_tool import Listing, McpTool, ServerDown

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds: how long an answer waits for a server that is starting; for a list of tools that has changed; the
    first rest after a failure, and the longest. How long a start may take the server's entry says."""

    wait: float = 2.0
    listing: float = 10.0
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
        self._begun = 0.0
        self._problem: ServerDown | None = None
        self._closed = False
        self._listing = asyncio.Lock()
        self._tools: dict[str, McpTool] = {}
        #: What the server listed last.
        self.listed = Listing()

    def start(self) -> None:
        """Connect, in the background."""
        if self._problem is None:
            self._coming()

    async def offered(self) -> tuple[McpTool, ...]:
        """What the server offers to an answer, which waits a little for one that is starting, counted from when it
        began, and then goes without. Raises ServerDown."""
        if self._problem is None:
            coming = self._coming()
            left = self._begun + self._patience.wait - time.monotonic()
            if not coming.done() and not (await asyncio.wait({coming}, timeout=max(left, 0.0)))[0]:
                raise ServerDown("it is still starting")
        return await self.tools()

    async def tools(self) -> tuple[McpTool, ...]:
        """What the server offers, once it is there. Raises ServerDown."""
        connection = await self._connection()
        async with self._listing:
            if connection.stale:
                await self._refresh(connection)
        return tuple(self._tools.values())

    def known(self, name: str) -> McpTool | None:
        """The tool that models know by this name, as far as the server has told already."""
        return self._tools.get(name)

    def may_have(self, name: str) -> bool:
        return may_be_of(self.name, name)

    async def call(self, tool: McpTool, arguments: Mapping[str, Any]) -> str:
        """Call a tool. Returns its output; raises ToolError where it failed, and says what is known of it."""
        try:
            connection = await self._connection()
        except ServerDown as error:
            raise ToolError(f"The server {self.name} is not there ({error}). The call was not made.") from error
        return await connection.call(tool.name, arguments)

    async def close(self) -> None:
        """End the connection, and the server's process where there is one."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        self._refuse(ServerDown("Bobbin is stopping"))

    async def _connection(self) -> Connection:
        if self._problem is not None:
            raise ServerDown(str(self._problem), self._problem.said)
        # Shielded: one run that is stopped must not take the connection away from the others that wait for it.
        return await asyncio.shield(self._coming())

    def _coming(self) -> asyncio.Future[Connection]:
        """The connection there is, or will be."""
        if self._next is None or _is_over(self._next):
            self._next = asyncio.get_running_loop().create_future()
            self._begun = time.monotonic()
            self._wanted.set()
        if self._keeper is None or self._keeper.done():
            # In a context of its own: the log lines of a run must not follow it for ever.
            self._keeper = asyncio.create_task(self._keep(), context=contextvars.Context())
            self._keeper.add_done_callback(self._unkept)
        return self._next

    async def _keep(self) -> None:
        """Connect when wanted, hold the connection until it is over, rest, and again."""
        failures = 0
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            lived, problem = await self._hold(Connection(self._config))
            failures = 0 if (lived or 0) > self._patience.longest_rest else failures + 1
            # The first death in a row is made good at the next use; a server that does not come up is let alone.
            rest = self._patience.rest(failures if lived is None else failures - 1)
            _log.warning("mcp-server-down", server=self.name, problem=str(problem), said=problem.said, rest=rest)
            if rest:
                self._refuse(problem)
                await asyncio.sleep(rest)
                self._problem = None

    async def _hold(self, connection: Connection) -> tuple[float | None, ServerDown]:
        """Connect and wait until it is over. Returns the seconds it lived, None where it never did, and why it is no
        more."""
        connected_at: float | None = None
        problem = ServerDown("it ended")
        try:
            async with asyncio.timeout(self._config.start_timeout) as handshake, connection.connected():
                await self._list(connection)
                handshake.reschedule(None)
                connected_at = time.monotonic()
                _log.info("mcp-server-connected", server=self.name, tools=len(self._tools))
                assert self._next is not None
                self._next.set_result(connection)
                await connection.over.wait()
        except Exception as error:  # noqa: BLE001 - whatever it was, the server is not there
            problem = down(error, connection.last_words)
        return (None if connected_at is None else time.monotonic() - connected_at), problem

    def _unkept(self, keeper: asyncio.Task[None]) -> None:
        """Nobody may wait for what nobody keeps: the package's scopes cancel, and once in a while too much. The next
        use begins anew."""
        if self._closed:
            return
        _log.error("mcp-server-unkept", server=self.name, exc_info=None if keeper.cancelled() else keeper.exception())
        self._refuse(ServerDown("the connection broke off"))
        self._problem = None

    def _refuse(self, problem: ServerDown) -> None:
        """Tell who waits, and until further notice who comes, that the server is not there."""
        self._problem = problem
        if self._next is not None and not self._next.done():
            self._next.set_exception(problem)
            self._next.exception()  # looked at, should nobody be waiting any more
        self._next = None
        self._wanted.clear()

    async def _refresh(self, connection: Connection) -> None:
        """The list has changed. A server that does not tell how is kept as it was known, one that hangs is not."""
        try:
            async with asyncio.timeout(self._patience.listing):
                await self._list(connection)
        except TimeoutError:
            connection.over.set()
            raise ServerDown("it did not answer in time") from None
        except Exception as error:  # noqa: BLE001 - whatever it was, the tools known so far may still work
            problem = down(error, connection.last_words)
            _log.warning("mcp-tools-unlisted", server=self.name, problem=str(problem), said=problem.said)

    async def _list(self, connection: Connection) -> None:
        self.listed = await connection.tools()
        self._tools = {tool.spec.name: tool for tool in self.listed.tools}
        for name, reason in self.listed.unusable.items():
            _log.warning("mcp-tool-left-out", server=self.name, tool=name, reason=reason)
        if self.listed.overfull:
            _log.warning("mcp-server-overfull", server=self.name, offered=TOOL_LIMIT)


def _is_over(future: asyncio.Future[Connection]) -> bool:
    return future.done() and future.result().over.is_set()
