"""What a client of OpenAI Responses got, it can send back, and the model gets the very blocks that it gave.

Through all that lies between: the encoder, the client, the decoder and the preparation for a model.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.claude.fold import to_events
from modelmux.dialects.base import DialectOptions, Inbound
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.request import decode
from modelmux.dialects.openai_responses.sealed import open_thinking
from support.responses import SEALER, decoded_message, judged, unary
from support.responses_frames import Json
from support.responses_loop import Conversation, Keep, sent_back
from support.responses_sdk import check_compacted, check_response
from support.strategies import OBJECTS, TEXT, WORDS
from support.translation import OPUS

SIGNATURES = st.sampled_from(["c2ln", "eA=="])
THINKING = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("thinking"), "thinking": TEXT, "signature": st.sampled_from(["c2ln", "eA=="])}
    ),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": st.sampled_from(["ZGF0YQ==", "eA=="])}),
)
TEXTS = st.fixed_dictionaries({"type": st.just("text"), "text": TEXT})
_LIMIT = st.integers(1, 10**6)
_SHELL = st.fixed_dictionaries(
    {"commands": st.lists(TEXT, max_size=2)}, optional={"timeout_ms": _LIMIT, "max_output_length": _LIMIT}
)
_LOCAL_SHELL = st.fixed_dictionaries(
    {"command": st.lists(TEXT, max_size=3)},
    optional={
        "timeout_ms": _LIMIT, "working_directory": WORDS, "env": st.dictionaries(TEXT, TEXT, min_size=1, max_size=2),
    },
)  # fmt: skip
_PATCH = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["create_file", "update_file"]), "path": TEXT, "diff": TEXT}),
    st.fixed_dictionaries({"type": st.just("delete_file"), "path": TEXT}),
)
#: A search that the gateway runs: none of it is sent back, and it ends nothing but a text.
SEARCH: list[Json] = [
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "?"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
]
FREE_TEXT = st.fixed_dictionaries({"input": TEXT})
#: Calls by upstream name.
CALLS = st.one_of(
    st.tuples(st.sampled_from(["get_weather", "ns__tool", "mcp__server__x", "undeclared"]), OBJECTS),
    st.tuples(st.sampled_from(["run", "ns__run"]), FREE_TEXT),
    st.tuples(st.just("shell"), _SHELL),
    st.tuples(st.just("local_shell"), _LOCAL_SHELL),
    st.tuples(st.just("apply_patch"), _PATCH),
)


@st.composite
def contents(draw: st.DrawFn, turn: int) -> list[Json]:
    """The content of a reply that a client goes on from: it does not end with thinking."""
    blocks = draw(st.lists(st.one_of(THINKING, THINKING, TEXTS, CALLS), max_size=6))
    blocks.append(draw(st.one_of(CALLS, WORDS.map(lambda text: {"type": "text", "text": text}))))
    content: list[Json] = []
    for number, block in enumerate(blocks):
        if isinstance(block, tuple):
            name, input = block
            block = {"type": "tool_use", "id": f"toolu_vrtx_{turn}_{number}", "name": name, "input": input}
        content.append(block)
    return content


# -- how clients keep items


def as_received(item: Json) -> Json:
    return item


def without_ids(item: Json) -> Json:
    return {name: value for name, value in item.items() if name not in ("id", "status")}


def without_summaries(item: Json) -> Json:
    """The AI SDK sends no summary that it did not see."""
    return item | {"summary": []} if item["type"] == "reasoning" else item


def rewritten(item: Json) -> Json:
    """Arguments in another spelling, and texts without their parts, as several SDKs send them."""
    if item["type"] == "function_call":
        return item | {"arguments": json.dumps(json.loads(item["arguments"]), indent=1)}
    if item["type"] == "message":
        return {"role": "assistant", "content": "".join(part["text"] for part in item["content"])}
    if item["type"] == "reasoning":
        return item | {"content": None, "status": None}
    return item


def with_nulls(item: Json) -> Json:
    """Every field that may be absent, as null."""
    return {"status": None, "namespace": None, "caller": None, "phase": None} | item


CLIENTS = [as_received, without_ids, without_summaries, rewritten, with_nulls]
clients = st.sampled_from(CLIENTS)


@given(contents(1), contents(2), clients)
def test_the_model_gets_its_own_blocks_back(first: list[Json], second: list[Json], keep: Keep) -> None:
    conversation = Conversation(keep)
    conversation.reply(first)
    messages = conversation.sent()
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"] == sent_back(first)
    conversation.reply(second)
    longer = conversation.sent()
    assert longer[:3] == messages, "the beginning stays as it is"
    assert longer[3]["content"] == sent_back(second)


@given(contents(1), contents(2))
def test_results_belong_to_their_calls(first: list[Json], second: list[Json]) -> None:
    conversation = Conversation()
    for content in (first, second):
        conversation.reply(content)
    for reply, results in zip((first, second), conversation.sent()[2::2], strict=True):
        calls = [block["id"] for block in reply if block["type"] == "tool_use"]
        answered = [block for block in results["content"] if block["type"] == "tool_result"]
        assert [block["tool_use_id"] for block in answered] == calls
        assert not any(block.get("is_error") for block in answered)


@given(contents(1), contents(2), st.data(), st.booleans())
def test_a_gap_drops_the_thinking_before_it_and_nothing_else(
    first: list[Json], second: list[Json], data: st.DataObject, damaged: bool
) -> None:
    """A client damages a reasoning item, or loses one. That the last one of a response is lost, nobody can see."""
    conversation = Conversation()
    conversation.reply(first)
    conversation.reply(second)
    complete, items = conversation.sent(), conversation.items
    places = [index for index, item in enumerate(items) if item.get("type") == "reasoning"]
    if not places:
        return
    runs = [open_thinking(SEALER, "anonymous", items[place]["encrypted_content"]) for place in places]
    at = data.draw(st.integers(0, len(places) - 1))
    if damaged:
        items[places[at]] |= {"encrypted_content": items[places[at]]["encrypted_content"].swapcase()}
    else:
        del items[places[at]]
    kept = conversation.sent()
    assert _without_thinking(kept) == _without_thinking(complete)
    before, lost, after = runs[:at], runs[at], runs[at + 1 :]
    seen = damaged or any(run.response_id == lost.response_id for run in after if run and lost)
    left = after if seen else before + after
    assert _thinking(kept) == [msgspec.to_builtins(block) for run in left if run for block in run.blocks]


@given(contents(1), clients)
def test_another_owner_or_model_gets_no_thinking(content: list[Json], keep: Keep) -> None:
    conversation = Conversation(keep)
    conversation.reply(content)
    for other in (Conversation(owner="other"), Conversation(card=OPUS)):
        other.items = conversation.items
        messages = other.sent()
        assert _thinking(messages) == []
        assert _without_thinking(messages) == _without_thinking(conversation.sent())


def _thinking(messages: list[Json]) -> list[Json]:
    return [block for message in messages for block in message["content"] if "thinking" in block["type"]]


def _without_thinking(messages: list[Json]) -> list[Json]:
    stripped = copy.deepcopy(messages)
    for message in stripped:
        message["content"] = [block for block in message["content"] if "thinking" not in block["type"]]
    return stripped


@pytest.mark.parametrize("keep", CLIENTS)
def test_a_refusal_comes_back_as_text(keep: Keep) -> None:
    conversation = Conversation(keep if keep is not rewritten else as_received)
    content: list[dict[str, Any]] = [{"type": "text", "text": "Sure, first"}]
    conversation.reply(content, "refusal")
    texts = [block["text"] for block in conversation.sent()[1]["content"]]
    assert texts == ["Sure, first", "The model declined to answer."]


@given(contents(1), contents(2))
def test_a_reply_that_paused_comes_back_as_one(first: list[Json], second: list[Json]) -> None:
    """The gateway continues it, and the client sees one response."""
    conversation = Conversation(web_search=True)
    encoder = conversation.encoder()
    paused = {"content": [*first, *SEARCH], "stop_reason": "pause_turn", "usage": {}}
    raw = b"".join(map(encoder.feed, to_events(decoded_message(paused))))
    assert encoder.state.paused
    continued = encoder.restart(encoder.plan)
    continued.ended_at = 2
    rest = {"content": second, "stop_reason": "end_turn", "usage": {}}
    raw += b"".join(map(continued.feed, to_events(decoded_message(rest)))) + continued.finish()
    conversation.receive(judged(raw, continued.plan).items)
    assert sent_back(conversation.sent()[1]["content"]) == sent_back(first + second)


@given(WORDS, st.booleans())
def test_a_summary_comes_back_as_it_was_written(summary: str, compact: bool) -> None:
    inbound = Inbound("r", 0.0, options=DialectOptions(sealer=SEALER))
    trigger = [] if compact else [{"type": "compaction_trigger"}]
    body = {"model": "m", "input": [{"role": "user", "content": "Go."}, *trigger]}
    plan = decode(inbound, json.dumps(body).encode(), compact=compact).plan
    assert isinstance(plan, ResponsesPlan)
    message = {"content": [{"type": "text", "text": summary}], "stop_reason": "end_turn", "usage": {}}
    response = unary(decoded_message(message), plan)
    (check_compacted if compact else check_response)(response)
    conversation = Conversation()
    conversation.items = [*response["output"], {"role": "user", "content": "Go on."}]
    texts = [block["text"] for block in conversation.sent()[0]["content"]]
    assert texts == [f"<conversation_summary>\n{summary}\n</conversation_summary>", "Go on."]
