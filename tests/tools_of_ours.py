"""Function tools for the tests: BOBBIN_TOOLS=tests.tools_of_ours."""

import asyncio

from bot.tools import ToolScene, tool

#: What the tools were called with, in order; a test empties it.
called: list[str] = []


@tool(repeatable=True)
async def weather(town: str) -> str:
    """The weather of a town.

    Args:
        town: Its name.
    """
    called.append(f"weather {town}")
    return f"sunny in {town}"


@tool(approval=True)
async def delete_all(what: str, scene: ToolScene) -> str:
    """Delete everything.

    Args:
        what: What to delete.
    """
    called.append(f"delete_all {what} for {scene.asker}")
    return f"{what} deleted"


@tool(timeout=0.2)
async def hang() -> str:
    """Never come back."""
    await asyncio.Event().wait()
    return "unreachable"


@tool
async def explode() -> str:
    """Fail."""
    raise RuntimeError("secret path /etc/passwd")


@tool
async def flood() -> str:
    """Say far too much."""
    return "x" * 10_000_000
