"""Tools of Bobbin's own: async Python functions, and MCP servers. Tool writers need what is imported here."""

from bot.engine.ports import ChannelMessage, ChannelReader, PartlyRead, ToolScene
from bot.errors import ToolError
from bot.tools.functions import tool

__all__ = ["ChannelMessage", "ChannelReader", "PartlyRead", "ToolError", "ToolScene", "tool"]
