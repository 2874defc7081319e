"""Function tools for the tests: BOBBIN_TOOLS=tests.tools_of_ours."""

import asyncio

from bot.tools import ToolScene, tool

#: What the tools were called with, in order; a test empties it.
called: list[str] = []


class Gate:
    """While a test holds it, `order` has begun and does not end. Events belong to one test's loop."""

    def __init__(self) -> None:
        self.begun, self.open = asyncio.Event(), asyncio.Event()


#: None: whoever comes may pass.
gate: Gate | None = None


def hold() -> Gate:
    global gate  # noqa: PLW0603 - a module of tools is imported by its name
    gate = Gate()
    return gate


def forget() -> None:
    global gate  # noqa: PLW0603
    called.clear()
    gate = None


@tool
async def order(item: str) -> str:
    """Order something.

    Args:
        item: What to order.
    """
    called.append(f"order {item}")
    if gate is not None:
        gate.begun.set()
        await gate.open.wait()
    return f"{item} ordered"


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
