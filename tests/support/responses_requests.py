"""Requests of the Responses API as a client sends them, decoded and prepared as the gateway does it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from modelmux.catalog import ModelCard
from modelmux.claude.embed import embed
from modelmux.claude.options import Options
from modelmux.claude.prepare import PreparedRequest, prepare
from modelmux.claude.request import ClaudeRequest, ThinkingRun
from modelmux.dialects.base import Caller, Decoded, DialectOptions, Inbound
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.request import decode
from modelmux.dialects.openai_responses.sealed import seal_summary, seal_thinking
from modelmux.dialects.stored_responses import History
from modelmux.wire import anthropic
from modelmux.wire.anthropic import ThinkingBlock

Json = dict[str, Any]

OWNER: Final = "ann"
PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

_FILES: Final[dict[str, anthropic.ImageBlock | anthropic.DocumentBlock]] = {
    "image": anthropic.ImageBlock(anthropic.Base64Source("image/png", PNG)),
    "document": anthropic.DocumentBlock(anthropic.TextSource("text/plain", "a file")),
}


class HashSealer:
    """Authenticates only, so that tests need no cipher."""

    def seal(self, data: bytes, context: bytes) -> bytes:
        return hashlib.sha256(context + data).digest() + data

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        digest, data = sealed[:32], sealed[32:]
        return data if hashlib.sha256(context + data).digest() == digest else None


SEALER: Final = HashSealer()
OPTIONS: Final = DialectOptions(sealer=SEALER, stores_responses=True)


def inbound(options: DialectOptions = OPTIONS, *, owner: str = OWNER, **headers: str) -> Inbound:
    """A request of one caller."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Inbound("r", 0.0, headers=raw, caller=Caller(owner), options=options)


def decoded(
    fields: Mapping[str, Any],
    options: DialectOptions = OPTIONS,
    *,
    history: History | None = None,
    compact: bool = False,
    **headers: str,
) -> Decoded:
    """A client's JSON body, decoded; a model and an input are added where they are not given.

    :param history: what the store knows; None leaves a request that refers to stored items as it is.
    """
    body = json.dumps({"model": "m", "input": "hi", **fields}).encode()
    result = decode(inbound(options, **headers), body, compact=compact)
    if history is not None and result.unresolved is not None:
        return result.unresolved.complete(history)
    return result


def request_of(fields: Mapping[str, Any], options: DialectOptions = OPTIONS, **rest: Any) -> ClaudeRequest:
    """The model-independent request."""
    request = decoded(fields, options, **rest).request
    assert request is not None
    return request


def plan_of(fields: Mapping[str, Any], options: DialectOptions = OPTIONS, **rest: Any) -> ResponsesPlan:
    """How the reply will be shown."""
    plan = decoded(fields, options, **rest).plan
    assert isinstance(plan, ResponsesPlan)
    return plan


def turns(items: Sequence[Json], **fields: Any) -> list[Json]:
    """The turns that items become, as plain JSON."""
    messages: list[Json] = json.loads(msgspec.json.encode(request_of({"input": items, **fields}).body.messages))
    return messages


def notices(fields: Mapping[str, Any], options: DialectOptions = OPTIONS, **rest: Any) -> list[tuple[str, str]]:
    """The notices of a translation, as (action, field)."""
    return [(notice.action, notice.field) for notice in request_of(fields, options, **rest).notices]


def prepared(result: Decoded, card: ModelCard, options: Options | None = None) -> PreparedRequest:
    """A decoded request as it is sent to a model, with a file in the place of every URL."""
    assert result.request is not None
    request = embed(result.request, {file.url: _FILES[file.kind] for file in result.request.remote_files})
    return prepare(request, result.plan, card, options or Options(forced_tool_choice="downgrade", prefill="continue"))


def run(index: int = 0, response: str = "resp_1", model: str = "claude-sonnet-4-6", text: str = "hm") -> ThinkingRun:
    """A run of thinking with one block."""
    block = ThinkingBlock(f"{text} {response} {index}", f"sig-{response}-{index}")
    return ThinkingRun(model, response, index, (block,))


def reasoning(index: int = 0, response: str = "resp_1", *, owner: str = OWNER, **fields: Any) -> Json:
    """A reasoning item of this gateway."""
    content = seal_thinking(SEALER, owner, run(index, response, **fields))
    return {"type": "reasoning", "id": f"rs_{response}_{index}", "summary": [], "encrypted_content": content}


def compaction(summary: str, owner: str = OWNER) -> Json:
    """A compaction item of this gateway."""
    return {"type": "compaction", "id": "cmp_1", "encrypted_content": seal_summary(SEALER, owner, summary)}


def user(text: str) -> Json:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def assistant(text: str) -> Json:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def call(call_id: str = "c1", name: str = "f", arguments: str = "{}", **fields: Any) -> Json:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **fields}


def output(call_id: str = "c1", value: Any = "r", **fields: Any) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": value, **fields}


def function(name: str = "f", **fields: Any) -> Json:
    return {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}, **fields}
