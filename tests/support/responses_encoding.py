"""Replies as OpenAI responses: events written short, and what a client may rely on in every stream.

A delta is written ``(index, kind, text)``, the start of a block ``(index, block)``, its end as its index.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from modelmux.claude.fold import MessageFold
from modelmux.dialects.openai_responses.fold import fold_events
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.stream import ResponsesEncoder
from modelmux.wire import anthropic
from support.translation import events

Json = dict[str, Any]
START: Final = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}
STOP: Final = {"type": "message_stop"}
_DELTAS: Final = {
    "text": ("text_delta", "text"), "json": ("input_json_delta", "partial_json"),
    "think": ("thinking_delta", "thinking"), "sign": ("signature_delta", "signature"),
    "cite": ("citations_delta", "citation"), "news": ("news_delta", "text"),
}  # fmt: skip
_EVENT: Final[TypeAdapter[ResponseStreamEvent]] = TypeAdapter(ResponseStreamEvent)


class PlainSealer:
    """Seals nothing, so that tests can read what was sealed."""

    def seal(self, data: bytes, context: bytes) -> bytes:
        return context + b"\0" + data

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        found, _, data = sealed.partition(b"\0")
        return data if found == context else None


PLAN: Final = ResponsesPlan("m", model_id="claude-x", owner="o", sealer=PlainSealer())


def long_form(short: Any) -> Json:
    """An event as the upstream sends it."""
    if isinstance(short, dict):
        return short
    if isinstance(short, int):
        return {"type": "content_block_stop", "index": short}
    if len(short) == 2:
        block = {"type": short[1]} if isinstance(short[1], str) else short[1]
        return {"type": "content_block_start", "index": short[0], "content_block": block}
    kind, field = _DELTAS[short[1]]
    return {"type": "content_block_delta", "index": short[0], "delta": {"type": kind, field: short[2]}}


def decoded(*shorts: Any) -> list[anthropic.StreamEvent]:
    return events(*map(long_form, shorts))


def ended(reason: str | None = "end_turn", **fields: Any) -> Json:
    return {"type": "message_delta", "delta": {"stop_reason": reason, **fields}, "usage": {"output_tokens": 9}}


def tool(id: str = "t1", name: str = "f", **fields: Any) -> Json:
    return {"type": "tool_use", "id": id, "name": name, "input": {}, **fields}


def encoder(plan: ResponsesPlan = PLAN) -> ResponsesEncoder:
    return ResponsesEncoder(plan, id="ab", created=1)


def datas(raw: bytes) -> list[Json]:
    """The data of each event; comments are left out. Every byte has to belong to one."""
    *blocks, rest = raw.split(b"\n\n")
    assert rest == b""
    found = []
    for block in blocks:
        if block == b": ping":
            continue
        name, data = block.split(b"\n")
        event = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        found.append(event)
    return found


def checked(raw: bytes) -> list[Json]:
    """The events of a complete stream, which every client can read: strictly valid, numbered without gaps, accepted by
    the SDK's own state, with one end that repeats what the events before it said."""
    found = datas(raw)
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in found:
        state.handle_event(_EVENT.validate_python(event, strict=True))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert [event["type"] for event in found[:2]] == ["response.created", "response.in_progress"]
    ends = [e for e in found if e["type"] in ("response.completed", "response.incomplete", "response.failed")]
    assert ends == found[-1:]
    last = found[-1]["response"]
    assert found[-1]["type"] == f"response.{last['status']}"
    assert last["output"] == [e["item"] for e in found if e["type"] == "response.output_item.done"]
    if last["status"] != "failed":
        assert fold_events(found) == last
    return found


def streamed(*shorts: Any, plan: ResponsesPlan = PLAN, at: int = 9) -> list[Json]:
    """All events of a stream; its last response is that of the same message in one piece."""
    stream, fold = encoder(plan), MessageFold()
    raw = b""
    for event in decoded(*shorts):
        raw += stream.feed(event)
        fold.feed(event)
    stream.ended_at = at
    found = checked(raw + stream.finish())
    assert unary(fold.result(), plan, at) == found[-1]["response"], "R1"
    return found


def unary(message: anthropic.Message, plan: ResponsesPlan = PLAN, at: int = 9) -> Json:
    """The response in one piece."""
    single = encoder(plan)
    single.ended_at = at
    body: Json = json.loads(single.message(message, b""))
    if plan.compaction != "object":
        Response.model_validate(body, strict=True)
    return body


def short_form(found: Iterable[Json]) -> list[Any]:
    """Events as a reader writes them: the type's tail, then what is new in it."""
    return [_short(event) for event in found]


def _short(event: Json) -> Any:
    kind = event["type"].removeprefix("response.")
    if "response" in event:
        return kind
    if "item" in event:
        return kind, event["output_index"], event["item"]
    place = [event[name] for name in ("output_index", "content_index", "summary_index") if name in event]
    new = [event[name] for name in ("delta", "text", "refusal", "arguments", "input", "part", "annotation")
           if name in event]  # fmt: skip
    return (kind, *place, *new)
