"""An MCP server that says word for word what its file (the argument) has, however wrong that is. Started by the tests.

`tools` is its list, `calls` what calls of a tool are answered with (a `result` or an `error`). `gate` is a FIFO which
it waits to be opened before it answers anything, and `last_words` what it says on standard error before it ends.
"""

import json
import sys
from pathlib import Path
from typing import Any

said = json.loads(Path(sys.argv[1]).read_text())


def answer(request: dict[str, Any]) -> dict[str, Any]:
    match request["method"]:
        case "initialize":
            server = {"name": "raw", "version": "1"}
            return {"result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": server}}
        case "tools/list":
            return {"result": {"tools": said.get("tools", [])}}
        case "tools/call":
            usual = {"result": {"content": [{"type": "text", "text": request["params"]["name"]}]}}
            return dict(said.get("calls", {}).get(request["params"]["name"], usual))
    return {"error": {"code": -32601, "message": "Method not found"}}


if "last_words" in said:
    sys.exit(said["last_words"])
if "gate" in said:
    Path(said["gate"]).read_text()
for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"]} | answer(asked)), flush=True)
