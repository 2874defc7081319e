"""One connection to an MCP server: the mcp package's types stay in this file.

Its transports hold anyio scopes, which must be left by the task that entered them: `connected` is entered and left by
one task (mcp_server.py), while calls may be made by others.
"""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import structlog
from mcp import Client, MCPError, StdioServerParameters, stdio_client, types
from mcp.client.stdio import DEFAULT_INHERITED_ENV_VARS
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost

from bot.engine.ports import ToolSpec
from bot.errors import ToolError
from bot.tools.mcp_errors import TAIL, Kind, kind_of, told, why
from bot.tools.mcp_file import HttpServer, StdioServer
from bot.tools.mcp_http import HttpClient, status_of
from bot.tools.mcp_listing import put_right
from bot.tools.mcp_names import offered_name
from bot.tools.mcp_tool import Listing, McpTool
from bot.tools.output import as_text

_log = structlog.get_logger()

#: Tools of one server that models are offered; each costs them attention, and OpenAI allows 128 in all
#: (https://platform.openai.com/docs/api-reference/assistants).
TOOL_LIMIT = 100
#: What the mcp package lets a server inherit, and what of it Bobbin's servers get.
_INHERITED = frozenset({"PATH", "HOME"})


class Connection:
    """Lists and calls. `over` is set once the server is gone, or was found to be of no more use."""

    def __init__(self, server: StdioServer | HttpServer) -> None:
        self._server = server
        self._client: Client | None = None
        self._stale = True
        self._changes: asyncio.Task[None] | None = None
        self._unusable: dict[str, str] = {}
        self.over = asyncio.Event()
        #: The end of what the server wrote on its standard error.
        self.last_words = ""

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """The connection, from its handshake to its end; leaves no process."""
        try:
            async with Client(
                self._transport(),
                cache=None,  # a change is told, and then everything is read anew
                message_handler=self._hear,
                client_info=types.Implementation(name="bobbin", version="1"),
            ) as self._client:
                yield
        finally:
            self.over.set()
            if self._changes is not None:
                self._changes.cancel()

    @property
    def stale(self) -> bool:
        """Whether the tools were never listed, or have changed since."""
        return self._stale

    async def tools(self) -> Listing:
        """What the server lists, up to the limit. Raises what the package raises."""
        assert self._client is not None
        self._stale = False
        self._unusable = {}
        await self._listen()
        tools: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(TOOL_LIMIT + 1):  # a page has a tool, or its server never ends
            try:
                page = await self._client.list_tools(cursor=cursor)
            except MCPError as error:
                if error.code == types.METHOD_NOT_FOUND:
                    return Listing()  # it has prompts or resources, which are nothing to us
                raise
            tools += page.tools
            cursor = page.next_cursor
            if not cursor or len(tools) > TOOL_LIMIT:
                break
        offered = tuple(self._tool(each) for each in tools[:TOOL_LIMIT])
        return Listing(offered, self._unusable, len(tools) > TOOL_LIMIT)

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool, by the server's name for it. Returns its output; raises ToolError where it failed."""
        assert self._client is not None
        name, unknown = self._server.name, "nobody knows whether the call was carried out"
        try:
            async with asyncio.timeout(self._server.timeout):
                result = await self._client.call_tool(tool, dict(arguments))
        except TimeoutError:
            raise ToolError(
                f"The server {name} did not answer within {self._server.timeout:g} seconds; {unknown}."
            ) from None
        except MCPError as error:
            self._learn(tool, error)
            raise ToolError(told(name, error)) from error
        except Exception as error:
            _log.warning("mcp-call-failed", server=name, tool=tool, error=type(error).__name__)
            raise ToolError(f"The server {name} gave no usable answer; {unknown}.") from error
        text = _text(result)
        if result.is_error:
            raise ToolError(text or "The tool failed and did not say why.")
        return text

    def _learn(self, tool: str, error: MCPError) -> None:
        """What an error says besides: that the connection is of no more use, or something for whoever runs Bobbin."""
        if kind_of(error) in (Kind.FORGOTTEN, Kind.CLOSED):
            self.over.set()
        elif kind_of(error) is not None or status_of(error) is not None:
            _log.warning("mcp-call-failed", server=self._server.name, tool=tool, error=why(error))

    def _tool(self, tool: types.Tool) -> McpTool:
        hints = tool.annotations
        return McpTool(
            ToolSpec(offered_name(self._server.name, tool.name), tool.description or "", tool.input_schema),
            tool.name,
            bool(hints and (hints.read_only_hint or hints.idempotent_hint)),
        )

    def _read(self, message: Any) -> None:
        """Look at what comes in before the package does."""
        answer = getattr(message, "message", None)
        if isinstance(answer, types.JSONRPCResponse) and isinstance(answer.result.get("tools"), list):
            self._unusable |= put_right(answer.result)

    async def _hear(self, message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._stale = True

    async def _listen(self) -> None:
        """Be told of changes: since 2026-07-28 servers tell only those who ask, and on a stream of its own."""
        assert self._client is not None
        capability = self._client.server_capabilities.tools
        if self._client.session.discover_result is None or not (capability and capability.list_changed):
            return
        if self._changes is None or self._changes.done():
            listening = asyncio.Event()
            self._changes = asyncio.create_task(self._follow_changes(self._client, listening))
            await listening.wait()

    async def _follow_changes(self, client: Client, listening: asyncio.Event) -> None:
        try:
            async with client.listen(tools_list_changed=True) as changes:
                listening.set()
                async for _ in changes:
                    self._stale = True
        except (MCPError, SubscriptionLost, RuntimeError) as error:
            _log.debug("mcp-changes-unheard", server=self._server.name, error=repr(error))
        finally:
            # What happens from now on is not heard, so the next run reads the list again.
            self._stale = True
            listening.set()

    @contextlib.asynccontextmanager
    async def _transport(self) -> AsyncIterator[tuple[Any, Any]]:
        """The package's transport, with an eye on its end: the package itself tells nobody who is not calling."""
        opened = self._stdio() if isinstance(self._server, StdioServer) else self._http(self._server)
        async with opened as (incoming, outgoing):
            yield _Watched(incoming, self._read, self.over), outgoing

    @contextlib.asynccontextmanager
    async def _http(self, server: HttpServer) -> AsyncIterator[tuple[Any, Any]]:
        async with (
            HttpClient(dict(server.headers)) as http,
            streamable_http_client(server.url, http_client=http) as streams,
        ):
            yield streams

    @contextlib.asynccontextmanager
    async def _stdio(self) -> AsyncIterator[tuple[Any, Any]]:
        assert isinstance(self._server, StdioServer)
        async with _standard_error(self._overhear) as errors, stdio_client(_process(self._server), errors) as streams:
            # The server has its own copy: when it ends, so does the pipe.
            errors.close()
            yield streams

    def _overhear(self, words: str) -> None:
        self.last_words += words
        if len(self.last_words) > TAIL:
            # From a whole word on: the end of a secret would not be known for one.
            self.last_words = re.sub(r"^\S*\s*", "", self.last_words[-TAIL:])
        _log.debug("mcp-server-said", server=self._server.name, words=words)


def _process(server: StdioServer) -> StdioServerParameters:
    """How the server is started. The package gives each some of our environment; env(1) takes off what is too much."""
    unwanted = sorted(set(DEFAULT_INHERITED_ENV_VARS) - _INHERITED - set(server.env))
    command = [server.command, *server.args]
    if sys.platform != "win32":
        command = ["/usr/bin/env", *(part for name in unwanted for part in ("-u", name)), *command]
    return StdioServerParameters(command=command[0], args=command[1:], env=dict(server.env), cwd=server.cwd)


@contextlib.asynccontextmanager
async def _standard_error(heard: Any) -> AsyncIterator[Any]:
    """A pipe to be a process's standard error; what comes out of it is told to `heard`."""
    incoming, outgoing = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(incoming, "rb", buffering=0)
    )

    async def listen() -> None:
        while words := await reader.read(4096):
            heard(words.decode("utf-8", "replace"))

    task = asyncio.create_task(listen())
    try:
        with os.fdopen(outgoing, "w") as errors:
            yield errors
    finally:
        task.cancel()
        transport.close()


class _Watched:
    """The package's stream of incoming messages; each is shown to `read` first, and `over` is set when it ends."""

    def __init__(self, stream: Any, read: Callable[[Any], None], over: asyncio.Event) -> None:
        self._stream = stream
        self._read = read
        self._over = over

    @property
    def last_context(self) -> Any:
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        return await self._watch(self._stream.receive())

    def __aiter__(self) -> "_Watched":
        return self

    async def __anext__(self) -> Any:
        return await self._watch(self._stream.__anext__())

    async def _watch(self, next_message: Any) -> Any:
        try:
            message = await next_message
        except BaseException:
            self._over.set()
            raise
        self._read(message)
        return message

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> "_Watched":
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exception: Any) -> Any:
        return await self._stream.__aexit__(*exception)


def _text(result: types.CallToolResult) -> str:
    """A result as text: what is no text is named and left out."""
    parts = [_part(block) for block in result.content]
    if not parts and result.structured_content is not None:
        return as_text(result.structured_content)
    return as_text("\n".join(parts))


def _part(block: types.ContentBlock) -> str:
    match block:
        case types.TextContent():
            return block.text
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return resource.text
        case types.EmbeddedResource():
            return f"[a file that cannot be shown: {block.resource.uri}]"
        case types.ResourceLink():
            return f"[{block.name}: {block.uri}]"
        case types.ImageContent() | types.AudioContent():
            return f"[{block.mime_type}, which cannot be shown]"
