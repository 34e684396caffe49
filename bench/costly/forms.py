"""The dialects, and the small requests that costly ones are made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

MODEL: Final = "claude-sonnet-4-6"
#: Dialect -> the path of its requests.
PATHS: Final = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "compact": "/v1/responses/compact",
    "input_tokens": "/v1/responses/input_tokens",
    "messages": "/v1/messages",
    "count_tokens": "/v1/messages/count_tokens",
    "vertex": f"/v1/projects/p/locations/global/publishers/anthropic/models/{MODEL}:rawPredict",
}
#: Those whose requests have the form of the named one.
FORMS: Final = {"compact": "responses", "input_tokens": "responses", "count_tokens": "messages", "vertex": "messages"}

Json = dict[str, Any]
#: Number of repetitions -> a value that costs more the higher it is.
Grower = Callable[[int], Any]


def object_schema(**fields: Any) -> Json:
    return {"type": "object", "properties": {}, **fields}


def with_tools(form: str, tools: list[tuple[str, Json, bool]]) -> Json:
    """A request with tools: name, schema, strict."""
    body = small(form)
    if form == "chat":
        body["tools"] = [
            {"type": "function", "function": {"name": n, "parameters": s, **({"strict": True} if strict else {})}}
            for n, s, strict in tools
        ]
    elif form == "responses":
        body["tools"] = [{"type": "function", "name": n, "parameters": s, "strict": strict} for n, s, strict in tools]
    else:
        body["tools"] = [{"name": n, "input_schema": s} for n, s, _ in tools]
    return body


def with_answer(form: str, schema: Json) -> Json:
    """A request for an answer of a schema."""
    body = small(form)
    if form == "chat":
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    elif form == "responses":
        body["text"] = {"format": {"type": "json_schema", "name": "a", "schema": schema}}
    else:
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return body


def small(form: str) -> Json:
    if form == "responses":
        return {"model": MODEL, "input": "hi", "store": False}
    return {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


def of_size(make: Grower, size: int) -> bytes:
    """The largest JSON of a grower within about ``size`` bytes."""
    one, two = len(encode(make(1))), len(encode(make(2)))
    count = max(1, (size - one) // max(1, two - one) + 1)
    encoded = encode(make(count))
    while len(encoded) > size and count > 1:
        count = min(count - 1, int(count * size / len(encoded)))
        encoded = encode(make(max(1, count)))
    return encoded


def encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()


def form_of(dialect: str) -> str:
    """The dialect whose form the requests of a path have."""
    return FORMS.get(dialect, dialect)
