"""An MCP server as they were before 2026-07-28, by hand: it knows `initialize` and nothing newer, and tells of changes
without being asked. Started by the tests."""

import json
import sys
from typing import Any

_TOOLS = [{"name": "grow", "inputSchema": {"type": "object", "properties": {}}}]


def say(message: dict[str, Any]) -> None:
    print(json.dumps({"jsonrpc": "2.0"} | message), flush=True)


def result(request: dict[str, Any]) -> dict[str, Any] | None:
    match request["method"]:
        case "initialize":
            return {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "old", "version": "1"},
            }
        case "tools/list":
            # A page for each tool.
            place = int(request.get("params", {}).get("cursor", 0))
            more = {"nextCursor": str(place + 1)} if place + 1 < len(_TOOLS) else {}
            return {"tools": [_TOOLS[place]]} | more
        case "tools/call":
            _TOOLS.append({"name": f"tool_{len(_TOOLS)}", "inputSchema": {"type": "object"}})
            say({"method": "notifications/tools/list_changed"})
            image = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
            return {"content": [{"type": "text", "text": "grown"}, image]}
    return None


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        answer = result(request)
        unknown = {"error": {"code": -32601, "message": "Method not found"}}
        say({"id": request["id"]} | (unknown if answer is None else {"result": answer}))
