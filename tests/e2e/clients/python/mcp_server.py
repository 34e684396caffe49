"""A server of the Model Context Protocol on stdin and stdout with one tool, for clients that have such servers."""

from __future__ import annotations

import json
import sys
from typing import Any

TOOL = {
    "name": "pick_fruit",
    "description": "Picks a fruit from the orchard.",
    "inputSchema": {
        "type": "object",
        "properties": {"fruit": {"type": "string"}},
        "required": ["fruit"],
        "additionalProperties": False,
    },
}


def result(method: str, parameters: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        return {
            "protocolVersion": parameters["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "orchard", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": f"picked a {parameters['arguments']['fruit']}"}]}
    return {}


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        reply = {"jsonrpc": "2.0", "id": message["id"], "result": result(message["method"], message.get("params", {}))}
        print(json.dumps(reply), flush=True)
