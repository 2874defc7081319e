"""What an MCP server offers, in words of our own: this much is here without the mcp package."""

from dataclasses import dataclass

from bot.engine.ports import ToolSpec


class ServerDown(Exception):
    """A server is not there; the message is a part of a sentence that says why."""


@dataclass(frozen=True, slots=True)
class McpTool:
    """A tool of a server: what the model is told, the server's own name, and whether calling it twice is harmless."""

    spec: ToolSpec
    name: str
    repeatable: bool
