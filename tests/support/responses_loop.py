"""A conversation over OpenAI Responses, from the client's items to the upstream's messages and back.

The client sends everything again in each turn, in whatever form it keeps its items.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from modelmux.catalog import ModelCard
from modelmux.claude.options import Options
from modelmux.claude.prepare import PreparedRequest, prepare
from modelmux.dialects.base import Caller, DialectOptions, Inbound
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.request import decode
from modelmux.dialects.openai_responses.stream import ResponsesEncoder
from support.responses import SEALER, decoded_message
from support.responses_frames import Json
from support.translation import SONNET, body_of

_STRING: Final = {"type": "object", "properties": {"input": {"type": "string"}}}
#: What a client declares, of every type. Upstream their names are those of ``responses.TOOLS`` and ``get_weather``.
DECLARED: Final[list[Json]] = [
    {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": None},
    {"type": "custom", "name": "run"},
    {"type": "namespace", "name": "ns", "description": "More.", "tools": [
        {"type": "function", "name": "tool", "parameters": _STRING}, {"type": "custom", "name": "run"}]},
    {"type": "namespace", "name": "mcp__server", "description": "Files.", "tools": [
        {"type": "function", "name": "x", "parameters": {"type": "object"}}]},
    {"type": "shell"}, {"type": "local_shell"}, {"type": "apply_patch"},
]  # fmt: skip
#: Changes what a client sends back of the items it got.
Keep = Callable[[Json], Json | None]


class Conversation:
    """
    :param keep: how the client keeps items; None for an item leaves it out.
    """

    def __init__(self, keep: Keep = lambda item: item, card: ModelCard = SONNET, owner: str = "anonymous") -> None:
        self.items: list[Json] = [{"role": "user", "content": "Go."}]
        self.fields: Json = {}
        self._keep = keep
        self._card = card
        self._inbound = Inbound("r", 0.0, caller=Caller(owner), options=DialectOptions(sealer=SEALER))
        self._replies = 0

    def prepared(self) -> PreparedRequest:
        """The next request as it is sent to the model."""
        body = {"model": "m", "store": False, "tools": DECLARED, "input": self.items, **self.fields}
        request = decode(self._inbound, json.dumps(body).encode())
        assert request.request is not None
        return prepare(request.request, request.plan, self._card, Options(caching=False))

    def sent(self) -> list[Json]:
        """Its messages."""
        messages: list[Json] = body_of(self.prepared())["messages"]
        return messages

    def reply(self, content: Sequence[Json], stop_reason: str = "end_turn") -> list[Json]:
        """The model replies, and the client answers its calls. Returns the items as the client got them."""
        plan = self.prepared().plan
        assert isinstance(plan, ResponsesPlan)
        self._replies += 1
        encoder = ResponsesEncoder(plan, id=f"{self._replies:032x}", created=1)
        message = {"content": list(content), "stop_reason": stop_reason, "usage": {}}
        output: list[Json] = json.loads(encoder.message(decoded_message(message), b""))["output"]
        results = [result for item in output if (result := _result(item)) is not None]
        self.items += [kept for item in output if (kept := self._keep(item)) is not None]
        self.items += results or [{"role": "user", "content": "Go on."}]
        return output


def _result(item: Json) -> Json | None:
    """What the client sends for a call."""
    kind = item["type"]
    if not kind.endswith("_call") or kind == "web_search_call":
        return None
    output: Any = "done"
    if kind == "shell_call":
        output = [{"stdout": "done", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
    fields = {"status": "completed"} if kind == "apply_patch_call" else {}
    return {"type": f"{kind}_output", "call_id": item["call_id"], "output": output, **fields}


def sent_back(content: Sequence[Json]) -> list[Json]:
    """The blocks of a reply that belong into the next request: adjacent texts are one, and blank ones nothing."""
    blocks: list[Json] = []
    for block in content:
        if block["type"] == "text" and blocks and blocks[-1]["type"] == "text":
            blocks[-1] = {"type": "text", "text": blocks[-1]["text"] + block["text"]}
        elif block["type"] in ("text", "thinking", "redacted_thinking", "tool_use"):
            blocks.append(block)
    return [block for block in blocks if block["type"] != "text" or block["text"].strip()]
