"""A server's list of tools, put right before the mcp package reads it: that refuses a whole list for one bad tool."""

from typing import Any

from bot.tools.schemas import UnusableSchema, brief, offerable

#: What a server may hint at of a tool, and Bobbin uses.
_HINTS = ("readOnlyHint", "idempotentHint")


def put_right(result: dict[str, Any]) -> dict[str, str]:
    """Leave in a result of `tools/list` only the tools that a model can be offered, and of each only what is used.
    Returns why others cannot be offered, by their names."""
    tools, unusable = [], {}
    for number, each in enumerate(result["tools"], 1):
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(name, str) or not name:
            unusable[f"number {number}"] = "it has no name"
            continue
        try:
            tools.append(_tool(name, each))
        except UnusableSchema as error:
            unusable[name] = str(error)
    result["tools"] = tools
    return unusable


def _tool(name: str, tool: dict[str, Any]) -> dict[str, Any]:
    description, hints = tool.get("description"), tool.get("annotations")
    hints = hints if isinstance(hints, dict) else {}
    return {
        "name": name,
        "description": brief(description) if isinstance(description, str) else "",
        "inputSchema": offerable(tool.get("inputSchema", {})),
        "annotations": {hint: True for hint in _HINTS if hints.get(hint) is True},
    }
