"""One request through the whole gateway, the upstream scripted; every body that goes up is judged by the emulator's
rules, which know none of the translator's code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from modelmux.app import Gateway
from modelmux.catalog import builtin
from modelmux.emulator.call import EmulatedCall as Judged
from modelmux.emulator.validation.validate import validate_request
from modelmux.wire.http import Call
from support.asgi import Response, request
from support.fakes import FakeReply, FakeUpstream, event, message_reply, stream_reply
from support.gateway import MODEL, PATH, gateway

Json = dict[str, Any]
USER: Json = {"role": "user", "content": "Hi"}
#: Newest rules; adaptive and budget; by budget, forced tools not with thinking; neither structured output.
NEW, SONNET, BUDGET, BARE = "claude-opus-5-5", MODEL, "claude-sonnet-4-5", "claude-opus-4-1"
WEATHER: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
#: A picture of one point.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)  # fmt: skip


def tool(name: str = "get_weather", parameters: Any = None, **fields: Any) -> Json:
    """A function; ``fields`` stand beside its name."""
    return {
        "type": "function",
        "function": {"name": name, "parameters": parameters if parameters is not None else WEATHER, **fields},
    }


def call(id: str = "toolu_1", name: str = "get_weather", arguments: str | None = '{"city":"Paris"}') -> Json:
    """A tool call of the history."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(id: str = "toolu_1", content: Any = "20 degrees") -> Json:
    return {"role": "tool", "tool_call_id": id, "content": content}


def text(value: str, **fields: Any) -> Json:
    return {"type": "text", "text": value, **fields}


def tool_use(id: str = "toolu_1", name: str = "get_weather", value: Any = None) -> Json:
    return {"type": "tool_use", "id": id, "name": name, "input": {"city": "Paris"} if value is None else value}


def thought(value: str = "Let me see.", signature: str = "c2lnbmF0dXJl") -> Json:
    return {"type": "thinking", "thinking": value, "signature": signature}


def opening(usage: Json | None = None) -> bytes:
    """``message_start``."""
    counts = {"input_tokens": 7, "output_tokens": 1} if usage is None else usage
    return event("message_start", message={"id": "msg_1", "type": "message", "content": [], "usage": counts})


def begin(index: int, block: Json) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def end(index: int) -> bytes:
    return event("content_block_stop", index=index)


def closing(stop_reason: str | None = "end_turn", usage: Json | None = None, **fields: Any) -> list[bytes]:
    """``message_delta`` and ``message_stop``."""
    counts = {"output_tokens": 3} if usage is None else usage
    return [event("message_delta", delta={"stop_reason": stop_reason, **fields}, usage=counts), event("message_stop")]


def told(index: int, block: Json) -> list[bytes]:
    """The events of one block, the way the service tells it: in two halves, a tool's input after an empty piece."""
    kind = block["type"]
    if kind == "text":
        value = block["text"]
        pieces = [delta(index, "text_delta", text=half) for half in halves(value)]
        pieces += [delta(index, "citations_delta", citation=c) for c in block.get("citations") or ()]
        return [begin(index, text("")), *pieces, end(index)]
    if kind == "thinking":
        pieces = [delta(index, "thinking_delta", thinking=half) for half in halves(block["thinking"])]
        signed = delta(index, "signature_delta", signature=block["signature"])
        return [begin(index, {**block, "thinking": "", "signature": ""}), *pieces, signed, end(index)]
    if kind in ("tool_use", "server_tool_use"):
        pieces = ["", *halves(json.dumps(block["input"]))]
        inputs = [delta(index, "input_json_delta", partial_json=piece) for piece in pieces]
        return [begin(index, {**block, "input": {}}), *inputs, end(index)]
    return [begin(index, block), end(index)]


def halves(value: str) -> list[str]:
    middle = len(value) // 2
    return [half for half in (value[:middle], value[middle:]) if half]


def answer(*blocks: Json, stop_reason: str | None = "end_turn", stream: bool = False, **fields: Any) -> FakeReply:
    """A reply of these blocks, whole or as a stream."""
    if not stream:
        return message_reply(content=list(blocks), stop_reason=stop_reason, **fields)
    usage = fields.pop("usage", None)
    pieces = [piece for index, block in enumerate(blocks) for piece in told(index, block)]
    return stream_reply(opening(usage), *pieces, *closing(stop_reason, usage, **fields))


class Outcome:
    """What the client got, and what the upstream was asked."""

    def __init__(self, response: Response, upstream: FakeUpstream, app: Gateway) -> None:
        self.response = response
        self.upstream = upstream
        self.app = app

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def sent(self) -> Json:
        """The body of the last call."""
        return self.upstream.body()

    @property
    def turns(self) -> list[Json]:
        messages: list[Json] = self.sent["messages"]
        return messages

    @property
    def betas(self) -> bytes | None:
        return dict(self.upstream.calls[-1].headers).get(b"anthropic-beta")

    @property
    def notices(self) -> list[str]:
        """Entries of the notices header, such as ``dropped=temperature``."""
        return [entry for entry in self.response.headers.get("x-modelmux-notices", "").split(", ") if entry]

    @property
    def error(self) -> Json:
        found: Json = self.response.json()["error"]
        return found

    @property
    def chunks(self) -> list[Json]:
        """The chunks of a stream that ended well."""
        *chunks, last = self.response.events()
        assert last == "[DONE]", last
        return chunks

    @property
    def deltas(self) -> list[Json]:
        return [choice["delta"] for chunk in self.chunks for choice in chunk["choices"]]

    @property
    def finish(self) -> str:
        if not self._streamed:
            return str(self.response.json()["choices"][0]["finish_reason"])
        given = [c["finish_reason"] for chunk in self.chunks for c in chunk["choices"] if c["finish_reason"]]
        assert len(given) == 1
        return str(given[0])

    @property
    def message(self) -> Json:
        """The message, with streams put together the way a client does it."""
        if not self._streamed:
            whole: Json = self.response.json()["choices"][0]["message"]
            return whole
        return together(self.deltas)

    @property
    def usage(self) -> Json:
        if not self._streamed:
            whole: Json = self.response.json()["usage"]
            return whole
        found: list[Json] = [chunk["usage"] for chunk in self.chunks if chunk.get("usage")]
        assert len(found) == 1
        return found[0]

    @property
    def _streamed(self) -> bool:
        return self.response.headers["content-type"].startswith("text/event-stream")


def together(deltas: list[Json]) -> Json:
    """Deltas -> message. A tool call is begun by the delta that brings its id, at the next index in order."""
    message: Json = {"role": "assistant", "content": None, "refusal": None}
    calls: list[Json] = []
    for given in deltas:
        for name in ("content", "reasoning_content", "refusal"):
            if given.get(name):
                message[name] = (message.get(name) or "") + given[name]
        for name in ("annotations", "thinking_blocks"):
            if given.get(name):
                message[name] = message.get(name, []) + given[name]
        for part in given.get("tool_calls", ()):
            if "id" in part:
                assert part["index"] == len(calls)
                function = {"name": part["function"]["name"], "arguments": part["function"].get("arguments", "")}
                calls.append({"id": part["id"], "type": "function", "function": function})
            else:
                calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
    return message | ({"tool_calls": calls} if calls else {})


async def ask(
    *replies: Any,
    settings: Json | None = None,
    headers: dict[str, str] | None = None,
    app: Gateway | None = None,
    **fields: Any,
) -> Outcome:
    """Send one request; ``fields`` add to a small body or change it (None leaves one out).

    :param replies: the upstream's script; a plain text answer if there is none.
    :param settings: the configuration, where it differs from the smallest one without automatic cache markers.
    :param app: a gateway that has answered before; its upstream gets the script.
    """
    if app is None:
        chosen = dict(settings or {})
        vertex = {"prompt_caching": False} | chosen.pop("vertex", {})
        app = gateway(FakeUpstream([]), vertex=vertex, **chosen)
    upstream = app._upstream
    assert isinstance(upstream, FakeUpstream)
    before = len(upstream.calls)
    upstream.script = list(replies) or [answer(text("Hello"), stream=bool(fields.get("stream")))]
    body = {"model": SONNET, "max_tokens": 2000, "messages": [USER], **fields}
    given = {name: value for name, value in body.items() if value is not None}
    response = await request(app, "POST", PATH, given, headers)
    for made in upstream.calls[before:]:
        assert_legal(made)
    return Outcome(response, upstream, app)


_MODEL = re.compile(r"/models/(?P<model>[^/]+):(?:rawPredict|streamRawPredict)$")


def assert_legal(made: Call) -> None:
    """The emulator's rules take this call."""
    found = _MODEL.search(made.target)
    assert found, made.target
    model = unquote(found["model"])
    headers: Mapping[bytes, bytes] = dict(made.headers)
    betas = frozenset(b for b in headers.get(b"anthropic-beta", b"").decode().split(",") if b)
    body = json.loads(made.body)
    validate_request(
        Judged(project="p", location="global", model=model, card=builtin().card(model), body=body, betas=betas)
    )
