"""MCP servers for the tests, and the toolbox around them."""

import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.engine.ports import Assistant, ThreadKey, ToolCall, ToolOutput, ToolScene
from bot.tools.mcp_file import HttpServer, StdioServer
from bot.tools.mcp_server import McpServer, Patience
from bot.tools.toolbox import CombinedToolbox

SCENE = ToolScene(ThreadKey("T", "C", "1.0"), "U", "channel", "helper")
#: A machine that does many things at once starts a server slowly.
PATIENT = Patience(wait=40.0, listing=40.0, first_rest=0.01, longest_rest=0.02)
_RAW = str(Path(__file__).with_name("raw_server.py"))


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object", "properties": {}}} | more


def raw(folder: Path, name: str = "s", **said: Any) -> StdioServer:
    """A server that says this (raw_server.py)."""
    file = folder / f"{len(list(folder.iterdir()))}.json"
    file.write_text(json.dumps(said))
    return StdioServer(name, sys.executable, (_RAW, str(file)))


def helper(*servers: str, approval: tuple[str, ...] = ()) -> Assistant:
    return Assistant(
        "helper", "Helper", "Help.", "model", mcp_servers=servers or ("s",), approval=approval, source="helper.md"
    )


@contextlib.asynccontextmanager
async def opened(*servers: StdioServer | HttpServer, patience: Patience = PATIENT) -> AsyncIterator[CombinedToolbox]:
    toolbox = CombinedToolbox({}, [McpServer(server, patience) for server in servers])
    try:
        yield toolbox
    finally:
        await toolbox.close()


async def call(toolbox: CombinedToolbox, name: str, arguments: str = "{}") -> ToolOutput:
    return await toolbox.call(ToolCall("call_1", name, arguments), SCENE)


@contextlib.asynccontextmanager
async def http(answers: Mapping[str, web.Response], connecting: int = 200) -> AsyncIterator[HttpServer]:
    """A server over HTTP whose tools are answered for with these, as they are."""

    async def post(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        if "id" not in asked:
            return web.Response(status=202)
        if connecting != 200:
            return web.Response(status=connecting, text="secret words")
        if asked["method"] == "tools/call":
            return answers[asked["params"]["name"]]
        results: dict[str, Any] = {
            "initialize": {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "http", "version": "1"},
            },
            "tools/list": {"tools": [tool(name) for name in answers]},
        }
        unknown = {"error": {"code": -32601, "message": "Method not found"}}
        known = {"result": results.get(asked["method"])}
        return web.json_response(
            {"jsonrpc": "2.0", "id": asked["id"]} | (known if asked["method"] in results else unknown)
        )

    app = web.Application()
    app.router.add_post("/mcp", post)
    async with TestServer(app) as server:
        yield HttpServer("s", str(server.make_url("/mcp")), {"Authorization": "Bearer t0ken"})
