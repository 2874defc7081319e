"""All tools of Bobbin's own in one box: functions, and the tools of MCP servers."""

import asyncio
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from pydantic_core import PydanticSerializationError, to_json

from bot.engine.ports import Assistant, ChannelReader, Check, ToolCall, ToolOutput, ToolScene, ToolSpec
from bot.errors import SettingsError, ToolError
from bot.tools.approvals import asks, asks_of, names_one_of
from bot.tools.discovery import find_tools
from bot.tools.functions import FunctionTool
from bot.tools.mcp_file import load_servers
from bot.tools.mcp_tool import McpTool, ServerDown
from bot.tools.output import cut

# The extra is optional: this needs it, and is imported where there are servers.
if TYPE_CHECKING:
    from bot.tools.mcp_server import McpServer

_log = structlog.get_logger()

#: Tools that an assistant is offered, so that there is room for the provider's own among the 128 that OpenAI allows
#: (https://platform.openai.com/docs/api-reference/assistants).
_MOST = 120


def open_toolbox(
    modules: Sequence[str], mcp_file: Path | None, environment: Mapping[str, str], channels: ChannelReader | None
) -> "CombinedToolbox":
    """The toolbox that the settings describe; nothing is connected yet.

    `modules` are BOBBIN_TOOLS, `mcp_file` is BOBBIN_MCP, `environment` is what `${VAR}` in that file may name, and
    `channels` is given to the functions that ask for a ChannelReader. Raises SettingsError.
    """
    servers = _servers(mcp_file, environment) if mcp_file is not None else ()
    return CombinedToolbox(find_tools(modules), servers, channels)


def _servers(mcp_file: Path, environment: Mapping[str, str]) -> tuple["McpServer", ...]:
    configured = load_servers(mcp_file, environment)
    if not configured:
        return ()
    try:
        import mcp  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "BOBBIN_MCP: the package for MCP servers is missing; install it with pip install 'bobbin[mcp]'."
        ) from error
    from bot.tools.mcp_server import McpServer

    return tuple(McpServer(each) for each in configured)


class CombinedToolbox:
    """The engine's Toolbox, over function tools and MCP servers."""

    def __init__(
        self,
        functions: Mapping[str, FunctionTool],
        servers: Sequence["McpServer"] = (),
        channels: ChannelReader | None = None,
    ) -> None:
        """`functions` by their names. Raises SettingsError where a function has the name of a server's tool."""
        self._functions = functions
        self._servers = {server.name: server for server in servers}
        self._channels = channels
        #: What was logged of patterns that mean nothing: once is enough.
        self._told: set[tuple[str, str]] = set()
        for name in functions:
            for server in self._servers:
                if name.startswith(f"{server}__"):
                    raise SettingsError(
                        f"BOBBIN_TOOLS: {name} is what a tool of the MCP server {server} is called; rename one of them."
                    )

    def known(self) -> frozenset[str]:
        """The names of all function tools: what an assistant's file may list under `tools`."""
        return frozenset(self._functions)

    def servers(self) -> frozenset[str]:
        """The names of all MCP servers: what an assistant's file may list under `mcp_servers`."""
        return frozenset(self._servers)

    def start(self, assistants: Sequence[Assistant]) -> None:
        """Connect to the servers of these assistants, in the background: some take long, and no answer should."""
        for name in {name for assistant in assistants for name in assistant.mcp_servers}:
            if name in self._servers:
                self._servers[name].start()

    async def functions(self, assistant: Assistant) -> tuple[ToolSpec, ...]:
        """What this assistant may call. A server that is down, or still starting, is left out, and logged. Raises
        nothing."""
        specs = {name: self._functions[name].spec for name in assistant.tools if name in self._functions}
        listed = await asyncio.gather(*(_offered(server) for server in self._servers_of(assistant)))
        self._tell_astray(assistant)
        for tools in listed:
            for each in tools:
                specs.setdefault(each.spec.name, each.spec)
        if len(specs) > _MOST:
            _log.warning("tools-left-out", assistant=assistant.key, offered=_MOST, left_out=list(specs)[_MOST:][:10])
        return tuple(specs.values())[:_MOST]

    def needs_approval(self, assistant: Assistant, call: ToolCall) -> bool:
        """Whether people are asked before this call is made: the tool or the assistant's file says so, or it is the
        provider's own, which comes here for nothing else."""
        tool = self._functions.get(call.name)
        if call.server is not None or (tool is not None and tool.approval):
            return True
        if any(asks(pattern, call.name) for pattern in assistant.approval):
            return True
        return tool is None and any(self._asks_of(server, call.name, assistant) for server in self._servers.values())

    def astray(self, assistant: Assistant) -> Iterator[str]:
        """A line for each pattern under `approval` that names a tool which its server has not; as far as servers have
        told what they have."""
        for server, pattern in self._astray(assistant):
            yield (
                f"{assistant.source or assistant.key}: approval: the MCP server {server} has no tool {pattern}, so "
                "people are asked about every tool of it. Write the name as the server has it; * stands for anything."
            )

    def problem(self, call: ToolCall) -> str | None:
        """Why a call cannot be made: its arguments are not what the tool takes. A server checks its own by itself, as
        soon as they are JSON."""
        tool = self._functions.get(call.name)
        try:
            if tool is not None:
                tool.parse(call.arguments)
            elif call.server is None:
                _object(call.arguments)
        except ToolError as error:
            return error.sentence
        return None

    def repeatable(self, call: ToolCall) -> bool:
        """Whether a call of which nobody knows whether it was carried out may be made again. An MCP server says so
        of its tools; what it said before a restart is not known."""
        tool = self._functions.get(call.name)
        if tool is not None:
            return tool.repeatable
        found = next((each for server in self._servers.values() if (each := server.known(call.name))), None)
        return found is not None and found.repeatable

    async def call(self, call: ToolCall, scene: ToolScene) -> ToolOutput:
        """Call a tool. Raises nothing: a tool that fails, takes too long or says too much is told to the model."""
        began = time.monotonic()
        try:
            text, failed = await self._call(call, scene), False
        except ToolError as error:
            text, failed = cut(error.sentence), True
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or _is_cancelled(error):
                raise
            # A mistake of ours must not end the run either.
            _log.exception("tool-call-broke", tool=call.name)
            text, failed = f"The tool {call.name} failed.", True
        _log.info("tool-called", tool=call.name, failed=failed, seconds=round(time.monotonic() - began, 3))
        return ToolOutput(call.id, text, failed=failed)

    async def check(self, names: Collection[str] | None = None) -> tuple[Check, ...]:
        """Connect to every server, or to those with these names, and say what is wrong with it, if anything."""
        wanted = [server for name, server in self._servers.items() if names is None or name in names]
        return tuple(await asyncio.gather(*(_check(server) for server in wanted)))

    async def close(self) -> None:
        """End every connection and every server's process."""
        await asyncio.gather(*(server.close() for server in self._servers.values()))

    def _servers_of(self, assistant: Assistant) -> list["McpServer"]:
        return [self._servers[name] for name in dict.fromkeys(assistant.mcp_servers) if name in self._servers]

    def _asks_of(self, server: "McpServer", name: str, assistant: Assistant) -> bool:
        """Whether people are asked about the tool of a server that models know by this name."""
        tool = server.known(name)
        if tool is None:
            # It may be any of the server's.
            return server.may_have(name) and server.name in assistant.mcp_servers and bool(assistant.approval)
        if any(asks_of(pattern, server.name, tool.name) for pattern in assistant.approval):
            return True
        # Who misspelt a name wanted to be asked about something here.
        return any(each == server.name for each, _ in self._astray(assistant))

    def _astray(self, assistant: Assistant) -> Iterator[tuple[str, str]]:
        """Server and pattern, where a pattern names a tool that its server has not."""
        told = [server for server in self._servers_of(assistant) if server.listed.names]
        for pattern in assistant.approval:
            meant = any(asks_of(pattern, server.name, tool) for server in told for tool in server.listed.names)
            if not meant:
                yield from ((server.name, pattern) for server in told if names_one_of(pattern, server.name))

    def _tell_astray(self, assistant: Assistant) -> None:
        for server, pattern in self._astray(assistant):
            if (assistant.key, pattern) not in self._told:
                self._told.add((assistant.key, pattern))
                file = assistant.source or assistant.key
                _log.warning("approval-means-no-tool", file=file, pattern=pattern, server=server, asked="every tool")

    async def _call(self, call: ToolCall, scene: ToolScene) -> str:
        tool = self._functions.get(call.name)
        if tool is not None:
            return await tool.call(call.arguments, {ToolScene: scene, ChannelReader: self._channels})
        server, found = await self._find(call.name)
        return await server.call(found, _object(call.arguments))

    async def _find(self, name: str) -> tuple["McpServer", McpTool]:
        """The server's tool that models know by this name; a server that was not asked yet is asked."""
        candidates = [server for server in self._servers.values() if server.may_have(name)]
        down = ""
        for server in candidates:
            found = server.known(name)
            if found is None:
                try:
                    found = next((each for each in await server.tools() if each.spec.name == name), None)
                except ServerDown as error:
                    down = f" The server {server.name} is not there ({error})."
            if found is not None:
                return server, found
        raise ToolError(f"There is no tool {name}.{down} Nothing was done.")


async def _offered(server: "McpServer") -> tuple[McpTool, ...]:
    try:
        return await server.offered()
    except ServerDown as error:
        _log.warning("mcp-server-left-out", server=server.name, problem=str(error))
        return ()


async def _check(server: "McpServer") -> Check:
    name = f"MCP server {server.name}"
    try:
        tools = await server.tools()
    except ServerDown as error:
        return Check(name, f"{error.whole}; see its entry in the file that BOBBIN_MCP names.")
    if unusable := server.listed.unusable:
        reasons = "; ".join(f"{tool}, because {reason}" for tool, reason in unusable.items())
        return Check(name, f"models are not offered all its tools. Left out: {reasons}.")
    if server.listed.overfull:
        return Check(name, f"it has more tools than models are offered; the first {len(tools)} are.")
    return Check(name, None)


def _is_cancelled(error: BaseException) -> bool:
    """Whether somebody ends the task, rather than something in it."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _object(arguments: str) -> dict[str, Any]:
    """The model's JSON for a server, which checks it against its own schema. Raises ToolError."""
    try:
        values = json.loads(arguments if arguments.strip() else "{}")
    except (ValueError, RecursionError):
        raise ToolError("The arguments are not JSON. Nothing was done.") from None
    if not isinstance(values, dict):
        raise ToolError("The arguments are not a JSON object. Nothing was done.")
    try:
        # As the mcp package will write them: what it cannot write would end the connection, and every call on it.
        to_json(values)
    except PydanticSerializationError:
        raise ToolError(
            "The arguments cannot be sent: they hold half a surrogate pair, or are nested too deeply. Nothing was done."
        ) from None
    return values
