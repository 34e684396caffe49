"""Replies on their way to a client of OpenAI Responses, and the judges of what it gets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from modelmux.claude.fold import MessageFold
from modelmux.dialects.openai_responses.plan import ClientTool, ResponsesPlan
from modelmux.dialects.openai_responses.stream import ResponsesEncoder
from modelmux.wire import anthropic
from support.responses_frames import Json, Rules
from support.responses_grammar import Accepted, check
from support.responses_sdk import accumulate, check_stream
from support.sealers import TestSealer
from support.streams import client_bytes

ID, CREATED, ENDED = "0123456789abcdef", 1_700_000_000, 1_700_000_009
SEALER: Final = TestSealer()
MODEL_ID: Final = "claude-sonnet-4-6"
#: By upstream name; ``get_weather`` is not declared.
TOOLS: Final = {
    "run": ClientTool("custom", "run"),
    "ns_run": ClientTool("custom", "run", "ns"),
    "ns_tool": ClientTool("function", "tool", "ns"),
    "mcp__x": ClientTool("function", "x", "mcp"),
    "shell": ClientTool("shell", "shell"),
    "local_shell": ClientTool("local_shell", "local_shell"),
    "apply_patch": ClientTool("apply_patch", "apply_patch"),
}


def plan(**fields: Any) -> ResponsesPlan:
    """As a client that stores nothing gets its reply."""
    defaults = {"model_id": MODEL_ID, "tools": TOOLS, "sealer": SEALER, "shows_encrypted": True}
    return ResponsesPlan("m", **(defaults | fields))


def responses_encoder(plan: ResponsesPlan) -> ResponsesEncoder:
    encoder = ResponsesEncoder(plan, id=ID, created=CREATED)
    encoder.ended_at = ENDED
    return encoder


def streamed(pieces: Sequence[bytes], plan: ResponsesPlan) -> bytes:
    """What a client gets when the upstream's bytes arrive in these pieces."""
    return client_bytes(pieces, responses_encoder(plan))


def unary(message: anthropic.Message, plan: ResponsesPlan) -> Json:
    body: Json = json.loads(responses_encoder(plan).message(message, b""))
    return body


def judged(raw: bytes, plan: ResponsesPlan) -> Accepted:
    """A client's stream, read by everything that knows what is right."""
    accepted = check(raw, Rules(ends_with_done=plan.sends_done))
    check_stream(raw)
    completed = accumulate(raw)
    assert (completed is not None) == (accepted.response["status"] == "completed")
    return accepted


def folded(events: Sequence[Json]) -> anthropic.Message:
    """The message of an upstream's stream."""
    fold = MessageFold()
    for event in events:
        fold.feed(decoded(event))
    return fold.result()


def decoded(event: Json) -> anthropic.StreamEvent:
    return anthropic.decode_event(encoded(event))


def decoded_message(reply: Json) -> anthropic.Message:
    return anthropic.decode_message(encoded(reply))


def encoded(value: Json) -> bytes:
    """JSON as the upstream writes it: the same text everywhere, because arguments of calls are passed on as text."""
    return json.dumps(value, ensure_ascii=False).encode()


def sse_bytes(events: Sequence[Json]) -> bytes:
    """Events of an upstream as it frames them."""
    return b"".join(b"event: %b\ndata: %b\n\n" % (str(e.get("type", "")).encode(), encoded(e)) for e in events)
