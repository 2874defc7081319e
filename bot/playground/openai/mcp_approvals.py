"""Approvals of calls that the API makes to MCP servers: https://developers.openai.com/api/docs/guides/tools-connectors-mcp.

A request that nobody answers holds nothing up: the conversation goes on, and the call is simply never made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.playground.openai.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bot.playground.openai.brain import McpCall
    from bot.playground.openai.records import Json


def server_of(tools: Iterable[Json], label: str) -> Json:
    """The MCP server that a response was given under this label; raises `LookupError` when there is none."""
    for tool in tools:
        if tool["type"] == "mcp" and tool["server_label"] == label:
            return tool
    raise LookupError(f"no MCP server of this response is called {label!r}")


def is_allowed(server: Json, name: str) -> bool:
    """Whether the model may call the server's tool."""
    allowed = server.get("allowed_tools")
    names = allowed if isinstance(allowed, list) else (allowed or {}).get("tool_names")
    return names is None or name in names


def needs_approval(server: Json, name: str) -> bool:
    """Whether a call of the server's tool waits for an approval; it does unless the request says otherwise."""
    rule = server.get("require_approval") or "always"
    if isinstance(rule, str):
        return rule == "always"
    if name in _names(rule, "never"):
        return False
    return not rule.get("always") or name in _names(rule, "always")


def _names(rule: Json, when: str) -> Sequence[str]:
    return (rule.get(when) or {}).get("tool_names") or ()


def approved_by(call: McpCall, heard: Sequence[Json]) -> str | None:
    """The id of the request by which this call was approved and not yet made."""
    made = {item.get("approval_request_id") for item in heard if item["type"] == "mcp_call"}
    answers = {item["approval_request_id"]: item for item in heard if item["type"] == "mcp_approval_response"}
    wanted = (call.server_label, call.name, call.arguments)
    for item in heard:
        if item["type"] != "mcp_approval_request" or item["id"] in made:
            continue
        approved = answers.get(item["id"], {}).get("approve", False)
        if approved and (item["server_label"], item["name"], item["arguments"]) == wanted:
            return str(item["id"])
    return None


def check_approvals(items: Iterable[Json]) -> None:
    """Refuses the answer to a request for approval that nobody made."""
    items = list(items)
    asked = {item["id"] for item in items if item["type"] == "mcp_approval_request"}
    for item in items:
        if item["type"] == "mcp_approval_response" and item["approval_request_id"] not in asked:
            raise bad_request(
                f"No approval request found for MCP approval response with approval_request_id "
                f"{item['approval_request_id']}.",
                param="input",
            )
