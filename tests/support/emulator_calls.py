"""Calls to an emulator without a socket: one ASGI call per request."""

from __future__ import annotations

import json
from typing import Any

from modelmux.catalog import Catalog, builtin
from modelmux.emulator import Emulator, EmulatorSettings, create_emulator
from modelmux.wire.sse import SSEDecoder

MODEL = "claude-sonnet-4-5@20250929"
Json = dict[str, Any]


class EmulatorReply:
    """A reply: ``json`` of the body, or the ``events`` of a stream as (name, data)."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[tuple[str, Json]]:
        return [(e.name.decode(), json.loads(e.data)) for e in SSEDecoder().feed(self.body)]

    @property
    def message(self) -> str:
        """The message of an error, in either shape, bare or in an array."""
        message = self.json[0] if isinstance(self.json, list) else self.json
        return str(message["error"]["message"])

    @property
    def text(self) -> str:
        """All text of a unary reply."""
        return "".join(block["text"] for block in self.json["content"] if block["type"] == "text")

    @property
    def calls(self) -> list[tuple[str, Json]]:
        return [(block["name"], block["input"]) for block in self.json["content"] if block["type"] == "tool_use"]


def with_fable_5_2() -> Catalog:
    """The catalog, with the one model that has fast mode."""
    catalog = builtin()
    if catalog.find("claude-fable-5-2") is not None:
        return catalog
    fields = {"context": 1_000_000, "max_output": 128_000, "mid_system": True, "lineage": "anthropic-claude-fable"}
    return catalog.with_cards([{"id": "claude-fable-5-2", "regional": False, **fields}])


def emulator(**settings: Any) -> Emulator:
    """An emulator that replies at once."""
    return create_emulator(EmulatorSettings(**{"tokens_per_second": 0, **settings}))


async def send(
    app: Emulator, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> EmulatorReply:
    """One HTTP request to the application."""
    out: list[Json] = []

    async def receive() -> Json:
        return {"type": "http.request", "body": body, "more_body": False}

    async def collect(message: Json) -> None:
        out.append(message)

    path, _, query = path.partition("?")
    raw = [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": raw}
    await app(scope, receive, collect)
    start, *rest = out
    assert rest[-1].get("more_body") is not True, "the response was not ended"
    got = {k.decode(): v.decode() for k, v in start["headers"]}
    return EmulatorReply(start["status"], got, b"".join(part.get("body", b"") for part in rest))


def body_of(content: Any = "Hi", **fields: Any) -> Json:
    """A small valid body; ``content`` is the user's; a field that is None is left out."""
    body = {
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": content}],
        **fields,
    }
    return {k: v for k, v in body.items() if v is not None}


async def ask(
    app: Emulator,
    body: Json,
    *,
    model: str = MODEL,
    location: str = "global",
    project: str = "p",
    betas: str = "",
    token: str | None = "token",
    verb: str | None = None,
) -> EmulatorReply:
    """One Messages call; streams if the body has ``stream``."""
    verb = verb or ("streamRawPredict" if body.get("stream") else "rawPredict")
    path = f"/v1/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:{verb}"
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if betas:
        headers["anthropic-beta"] = betas
    return await send(app, "POST", path, json.dumps(body, ensure_ascii=False).encode(), headers)


async def error_message(app: Emulator, body: Json, **options: Any) -> str:
    """The message of a 400 in Anthropic's shape."""
    answer = await ask(app, body, **options)
    assert answer.status == 400, answer.body
    assert answer.json["type"] == "error"
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert answer.json["request_id"].startswith("req_vrtx_")
    return answer.message


def tool(name: str = "get_weather", properties: Json | None = None, **more: Any) -> Json:
    """A tool with string properties; the first is required."""
    props = properties if properties is not None else {"city": {"type": "string"}}
    schema = {"type": "object", "properties": props, "required": list(props)[:1]}
    return {"name": name, "description": f"{name} tool", "input_schema": schema, **more}


def user(*blocks: Any) -> Json:
    return {"role": "user", "content": _content(blocks)}


def assistant(*blocks: Any) -> Json:
    return {"role": "assistant", "content": _content(blocks)}


def _content(blocks: tuple[Any, ...]) -> Any:
    return blocks[0] if len(blocks) == 1 and isinstance(blocks[0], str) else list(blocks)


def text(words: str, **more: Any) -> Json:
    return {"type": "text", "text": words, **more}


def tool_use(id: str = "toolu_1", name: str = "get_weather", **input: Any) -> Json:
    return {"type": "tool_use", "id": id, "name": name, "input": input}


def tool_result(id: str = "toolu_1", content: Any = "sunny", **more: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": id, "content": content, **more}
