"""What an MCP server offers, in words of our own: this much is here without the mcp package."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.engine.ports import ToolSpec


class ServerDown(Exception):
    """A server is not there. The message is a part of a sentence that says why, and may be told to anybody.

    `said` are the server's own words, in which there may be addresses and secrets: for the log and for whoever runs
    Bobbin.
    """

    def __init__(self, kind: str, said: str = "") -> None:
        super().__init__(kind)
        self.said = said

    @property
    def whole(self) -> str:
        """With the server's own words."""
        return f"{self}; it said: {self.said}" if self.said else str(self)


@dataclass(frozen=True, slots=True)
class McpTool:
    """A tool of a server: what the model is told, the server's own name, and whether calling it twice is harmless."""

    spec: ToolSpec
    name: str
    repeatable: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """What a server lists: the tools that models are offered, and why others are not, by the server's names for them;
    `overfull` where there are more than models are offered."""

    tools: tuple[McpTool, ...] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    overfull: bool = False

    @property
    def names(self) -> frozenset[str]:
        """The server's names for all that it lists."""
        return frozenset({*(tool.name for tool in self.tools), *self.unusable})
