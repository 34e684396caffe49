"""Every recorded reply as a response: the laws R1, R2, R4 and R5, and all that it says.

What is right is read from the recording by a few naive lines, which share nothing with the translation.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modelmux.app import Gateway
from modelmux.claude.fold import to_events
from modelmux.dialects.openai_responses.sealed import open_thinking
from modelmux.dialects.openai_responses.stream import ResponsesEncoder
from support.asgi import Response, request
from support.fakes import FakeUpstream, message_reply
from support.gateway import MODEL, gateway
from support.recorded_messages import arguments, recorded_message, replay
from support.recordings import recordings
from support.responses import SEALER, decoded_message, folded_lines, judged, plan, responses_encoder, streamed, unary
from support.responses_frames import Json
from support.responses_grammar import Accepted, check
from support.responses_loop import Conversation, sent_back
from support.responses_sdk import check_response
from support.streams import client_bytes

SHOWN = plan(tools={}, web_search_items=True)
INCOMPLETE = ("max_tokens", "model_context_window_exceeded", "pause_turn", "compaction")


def replayed(recording: dict[str, Any], encoder: ResponsesEncoder) -> bytes:
    """A client's stream of a recorded reply, streamed or not."""
    if recording["kind"] == "stream":
        return client_bytes([recording["sse"].encode()], encoder)
    return b"".join(map(encoder.feed, to_events(decoded_message(recording["body"])))) + encoder.finish()


@pytest.mark.parametrize("recording", recordings("message", "stream"))
def test_a_stream_folds_to_the_response_in_one_piece(recording: dict[str, Any]) -> None:
    """R1 and R5."""
    if recording["kind"] == "stream":
        lines = recording["sse"].splitlines()
        message = folded_lines(line[5:].encode() for line in lines if line.startswith("data:"))
    else:
        message = decoded_message(recording["body"])
    body = unary(message, SHOWN)
    check_response(body)
    assert judged(replayed(recording, responses_encoder(SHOWN)), SHOWN).response == body


@pytest.mark.parametrize("recording", recordings("stream"))
def test_any_split_gives_the_same_bytes(recording: dict[str, Any]) -> None:
    raw = recording["sse"].encode()
    expected = streamed([raw], SHOWN)
    for size in (1, 2, 3, 5, 17, 1000):
        assert streamed([raw[i : i + size] for i in range(0, len(raw), size)], SHOWN) == expected


@pytest.mark.parametrize("recording", recordings("message", "stream"))
def test_all_of_a_reply_is_in_the_response(recording: dict[str, Any]) -> None:
    message = recorded_message(recording)
    accepted = check(replayed(recording, responses_encoder(SHOWN)))
    blocks = message.get("content") or []
    parts = [part for item in accepted.items if item["type"] == "message" for part in item["content"]]
    assert "".join(part.get("text", "") for part in parts).strip() == texts_of(blocks, "text").strip()
    summaries = [part["text"] for item in accepted.items if item["type"] == "reasoning" for part in item["summary"]]
    assert "".join(summaries) == texts_of(blocks, "thinking")
    assert sealed(accepted) == [block for block in sent_back(blocks) if is_signed(block)]
    calls = [item for item in accepted.items if item["type"] == "function_call"]
    assert [(call["call_id"], call["name"], arguments(call["arguments"])) for call in calls] == [
        (block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"
    ]
    assert accepted.response["status"] == ("incomplete" if message["stop_reason"] in INCOMPLETE else "completed")
    assert sum("refusal" in part for part in parts) == (message["stop_reason"] == "refusal")
    check_usage(accepted.response["usage"], message.get("usage") or {})


def texts_of(blocks: list[Json], kind: str) -> str:
    return "".join(block[kind] for block in blocks if block["type"] == kind)


def is_signed(block: Json) -> bool:
    return block["type"] == "redacted_thinking" or bool(block.get("signature"))


def sealed(accepted: Accepted) -> list[Json]:
    """The thinking inside the reasoning items."""
    runs = [open_thinking(SEALER, "anonymous", item.get("encrypted_content")) for item in accepted.items]
    return [msgspec.to_builtins(block) for run in runs if run is not None for block in run.blocks]


def check_usage(usage: Json, counts: Json) -> None:
    read, written = (counts.get(f"cache_{kind}_input_tokens") or 0 for kind in ("read", "creation"))
    assert usage["input_tokens"] == (counts.get("input_tokens") or 0) + read + written
    assert usage["input_tokens_details"] == {"cached_tokens": read, "cache_write_tokens": written}
    assert usage["output_tokens"] == (counts.get("output_tokens") or 0)


@pytest.mark.parametrize("recording", recordings("message", "stream"))
def test_the_model_gets_its_own_blocks_back(recording: dict[str, Any]) -> None:
    message = recorded_message(recording)
    content = list(map(complete, message.get("content") or []))
    if message["stop_reason"] == "refusal":
        content.append({"type": "text", "text": message["stop_details"]["explanation"]})
    conversation = Conversation()
    conversation.receive(check(replayed(recording, conversation.encoder())).items)
    turns = [turn["content"] for turn in conversation.sent() if turn["role"] == "assistant"]
    assert list(map(sent_back, turns)) == ([sent_back(content)] if content else [])


def complete(block: Json) -> Json:
    """A block as it is sent again: input that was cut off is not JSON, and sent as a text."""
    return block if isinstance(block.get("input", {}), dict) else {**block, "input": {"arguments": block["input"]}}


# -- through the gateway


async def ask(app: Gateway, **fields: Any) -> Response:
    response = await request(app, "POST", "/v1/responses", {"model": MODEL, **fields})
    assert response.status == 200, response.body
    return response


@pytest.mark.parametrize("recording", recordings("message", "stream"))
async def test_the_gateway_gives_the_same_response_streamed_or_not(recording: dict[str, Any]) -> None:
    """R1 and R5; and the next turn reaches the model alike whether the client names the response or sends its items."""
    upstream = FakeUpstream([replay(recording, 1), replay(recording, 2), message_reply(), message_reply()])
    app = gateway(upstream)
    accepted = check((await ask(app, input="Go.", stream=True)).body)
    whole = (await ask(app, input="Go.")).json()
    check_response(whole)
    assert without_ids(accepted.response) == without_ids(whole)
    output = accepted.items
    results = [output_of(item) for item in output if item["type"] == "function_call"]
    following = [*results, {"role": "user", "content": "Go on."}]
    await ask(app, input=following, previous_response_id=accepted.response["id"])
    assert accepted.response["store"] is True
    await ask(app, input=[{"role": "user", "content": "Go."}, *output, *following])
    by_id, inline = upstream.body(2), upstream.body(3)
    assert by_id["messages"] == inline["messages"]
    await app.aclose()


def output_of(call: Json) -> Json:
    return {"type": "function_call_output", "call_id": call["call_id"], "output": "done"}


def without_ids(response: Json) -> Json:
    """Without what is new in each response: ids, times, and what is sealed for one response."""
    new = ("id", "created_at", "completed_at", "encrypted_content")
    output = [{name: value for name, value in item.items() if name not in new} for item in response["output"]]
    return {name: value for name, value in response.items() if name not in new} | {"output": output}
