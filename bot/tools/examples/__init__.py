"""Three tools that ship with Bobbin, and an example of how tools are written: BOBBIN_TOOLS=bot.tools.examples."""

from bot.tools.examples.channel import search_channel
from bot.tools.examples.clock import clock
from bot.tools.examples.lots import draw_lots

__all__ = ["clock", "draw_lots", "search_channel"]
