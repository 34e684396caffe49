"""The pure core, end to end without a gateway: a request as the upstream gets it, a stream as the client gets it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modelmux.catalog import ModelCard, builtin
from modelmux.claude.draft import RecallThinking
from modelmux.claude.embed import embed
from modelmux.claude.options import Options
from modelmux.claude.prepare import PreparedRequest, no_memory, prepare
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.openai_chat.request import to_claude_request
from modelmux.dialects.openai_chat.stream import ChatEncoder
from modelmux.errors import GatewayError
from modelmux.providers.vertex_claude.reader import ClaudeReplyReader
from modelmux.wire import anthropic
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun
from modelmux.wire.openai.chat_request import ChatRequest, decode_request
from modelmux.wire.openai.chat_response import DecodedChunk, decode_chunk

#: Takes sampling parameters, but no prefill.
SONNET = builtin().card("claude-sonnet-4-6")
#: Takes a prefill.
PREFILL = builtin().card("claude-sonnet-4-5")
#: Takes neither sampling parameters nor a forced tool choice.
OPUS = builtin().card("claude-opus-5-5")

ID, CREATED = "chatcmpl-1", 1_700_000_000


def translate_request(
    request: ChatRequest,
    card: ModelCard,
    options: Options | None = None,
    *,
    unknown: Sequence[str] = (),
    recall: RecallThinking = no_memory,
    assets: Mapping[str, anthropic.ImageBlock | anthropic.DocumentBlock] | None = None,
    other_model: bool = False,
) -> PreparedRequest:
    """A decoded request as it is sent to a model.

    :param assets: blocks by URL, as if they had been downloaded.
    """
    claude_request, plan = to_claude_request(request, unknown)
    embedded = embed(claude_request, assets or {})
    return prepare(embedded, plan, card, options or Options(), recall, other_model=other_model)


def translate(fields: dict[str, Any], card: ModelCard = SONNET, options: Options | None = None) -> PreparedRequest:
    """A client's JSON body, translated for a model; model and a first message are added where they are not given."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return translate_request(decode_request(json.dumps(body).encode()), card, options)


def body_of(translated: PreparedRequest) -> dict[str, Any]:
    """What the upstream reads, as plain JSON."""
    body: dict[str, Any] = json.loads(anthropic.encode_request(translated.body))
    return body


def sent(fields: dict[str, Any], card: ModelCard = SONNET, options: Options | None = None) -> dict[str, Any]:
    """The upstream's body for a client's body. No cache breakpoints but the client's own, unless ``options`` say so."""
    return body_of(translate(fields, card, options or Options(caching=False)))


def breakpoints(body: dict[str, Any]) -> int:
    """How many cache breakpoints a body for the upstream has, wherever they are."""
    holders = [*body.get("tools", ()), *body.get("system", ())]
    for message in body["messages"]:
        for block in message["content"]:
            holders += [block, *(block["content"] if isinstance(block.get("content"), list) else ())]
    return sum("cache_control" in holder for holder in holders)


def notices(fields: dict[str, Any], card: ModelCard = SONNET, options: Options | None = None) -> list[tuple[str, str]]:
    """The notices of the same, as (action, field)."""
    return [(notice.action, notice.field) for notice in translate(fields, card, options).notices]


def events(*items: dict[str, Any]) -> list[anthropic.StreamEvent]:
    """Events as the wire decodes them."""
    return [anthropic.decode_event(json.dumps(item).encode()) for item in items]


def stream(pieces: Iterable[bytes], shape: ReplyPlan) -> tuple[bytes, str]:
    """Upstream bytes as client bytes, with how it ended: "done" or the name of what was raised.

    Events that end in one piece are translated one after the other, so what came before a bad one is kept.
    """
    reader, encoder = ClaudeReplyReader(), ChatEncoder(shape, id=ID, created=CREATED)
    out: list[bytes] = []

    def take(events: list[Any]) -> None:
        for event in events:
            for single in event.events() if isinstance(event, TextDeltaRun) else [event]:
                out.append(encoder.feed(single) if single.type != "ping" else b"")

    try:
        for piece in pieces:
            take(reader.feed(piece))
        take(reader.close())
        reader.feed(b"")  # raises a failure that came last
        encoder.state.check_complete()
    except GatewayError as error:
        return b"".join(out), type(error).__name__
    return b"".join(out), "done"


def chunks_of(raw: bytes) -> list[DecodedChunk]:
    """A client's stream, decoded chunk by chunk."""
    return [decode_chunk(data) for data in datas(raw)]


def datas(raw: bytes) -> list[bytes]:
    """The data of each event of a client's stream. Every byte has to belong to one."""
    *blocks, rest = raw.split(b"\n\n")
    assert rest == b""
    assert all(block.startswith(b"data: ") and b"\n" not in block for block in blocks)
    return [block.removeprefix(b"data: ") for block in blocks]
