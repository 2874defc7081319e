"""A real MCP server with the ways in which one can go wrong, on standard input and output, or over HTTP (`--http`:
the port is the first line it prints). Started by the tests.

Other arguments: tools to list besides (`--many 500`), a file in which each start leaves a line (`--starts`), never to
answer (`--mute`), to end at once (`--refuse`).
"""

import argparse
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("wild", log_level="CRITICAL")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


@server.tool()
def environment() -> str:
    """All of this process's environment."""
    return json.dumps(dict(os.environ))


@server.tool()
def where() -> str:
    """The working directory and the process id."""
    return json.dumps([str(Path.cwd()), os.getpid()])


@server.tool()
def fail(words: str) -> str:
    """Fail with these words."""
    raise ToolError(words)


@server.tool()
def shout(characters: int) -> str:
    """Say a lot."""
    return "x" * characters


@server.tool()
def die() -> str:
    """End the process in the middle of the call."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


@server.tool()
def hang() -> str:
    """Never answer."""
    time.sleep(3_600)  # the point of this server is to misbehave
    return ""


@server.tool()
def headers(context: Context) -> str:
    """The headers of this call."""
    return json.dumps(dict(context.headers or {}))


@server.tool()
async def grow(context: Context) -> str:
    """Offer one tool more, and say so."""
    server.add_tool(add, name="newcomer", description="It was not there before.")
    # The 2026-07-28 way and the one before it: whichever this connection speaks.
    await context.notify_tools_changed()
    await context.session.send_tool_list_changed()
    return "grown"


def serve_http() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        print(listening.getsockname()[1], flush=True)
        app = server.streamable_http_app()
        uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listening])


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--many", type=int, default=0)
    options.add_argument("--starts", type=Path)
    options.add_argument("--http", action="store_true")
    options.add_argument("--mute", action="store_true")
    options.add_argument("--refuse", action="store_true")
    chosen = options.parse_args()
    if chosen.starts:
        with chosen.starts.open("a") as starts:
            starts.write(f"{os.getpid()}\n")
    if chosen.refuse:
        sys.exit("no licence")
    if chosen.mute:
        sys.stdin.read()  # takes everything, answers nothing
    else:
        for number in range(chosen.many):
            server.add_tool(add, name=f"tool_{number:03}", description="One of many.")
        serve_http() if chosen.http else server.run("stdio")
