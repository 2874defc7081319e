"""Drawing lots, which people are asked about first: a draw counts, and is not repeated until somebody likes it."""

import secrets
from typing import Annotated

from pydantic import Field

from bot.tools import tool

_Name = Annotated[str, Field(min_length=1, max_length=80)]


@tool(approval=True)
async def draw_lots(names: Annotated[list[_Name], Field(min_length=2, max_length=100)]) -> str:
    """Draw one of several names by lot.

    Args:
        names: Of whom or what one is drawn.
    """
    return f"The lot fell on {secrets.choice(names)}."
