"""Stream events come in the real order for any request, and folding them gives the unary reply."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmux.catalog import builtin
from modelmux.emulator.model.reply_events import json_pieces, text_pieces
from support.emulator_calls import ask, assistant, body_of, emulator, text, tool, tool_result, tool_use, user

APP = emulator()
MODELS = [card.id for card in builtin().cards]
WORDS = [
    "Hello",
    "Weather in Paris and London",
    "Search the web for elephants",
    "count to 40",
    "Write 60 words",
    "say exactly: grüße 🐘\n\n\tend ",
    "",
]
DIRECTIVES = ["", "", " [[emulator: redacted]]", " [[emulator: unknown_block]]", " [[emulator: stop_reason=refusal]]"]
DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "redacted_thinking": set(),
    "tool_use": {"input_json_delta"},
    "server_tool_use": {"input_json_delta"},
    "web_search_tool_result": set(),
    "hologram": set(),
}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def check_grammar(events: list[tuple[str, dict[str, Any]]]) -> None:
    """Fail unless the events are in the order of anthropic-vertex.md 8."""
    for name, data in events:
        assert data["type"] == name
    assert events[0][0] == "message_start"
    assert events[1] == ("ping", {"type": "ping"})
    kinds = [(name, data) for name, data in events if name != "ping"]
    assert [name for name, _ in kinds[-2:]] == ["message_delta", "message_stop"]
    index, open_kind, seen = -1, None, []
    for name, data in kinds[1:-2]:
        if name == "content_block_start":
            assert open_kind is None
            index += 1
            open_kind, seen = data["content_block"]["type"], []
        elif name == "content_block_delta":
            assert data["delta"]["type"] in DELTAS[str(open_kind)]
            seen.append(data["delta"]["type"])
        else:
            assert name == "content_block_stop"
            if open_kind in ("tool_use", "server_tool_use"):
                assert seen, "a tool call has at least the empty piece"
            assert "signature_delta" not in seen[:-1], "the signature comes last"
            open_kind = None
        assert data["index"] == index
    assert open_kind is None


def fold(events: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The unary reply of a stream."""
    message: dict[str, Any] = {}
    partial: dict[int, str] = {}
    for name, data in events:
        if name == "message_start":
            message = data["message"]
        elif name == "content_block_start":
            message["content"].append(dict(data["content_block"]))
        elif name == "content_block_delta":
            _apply(message["content"][data["index"]], data["delta"], partial, data["index"])
        elif name == "message_delta":
            message.update(data["delta"])
            message["usage"].update(data["usage"])
            message.update({key: value for key, value in data.items() if key not in ("type", "delta", "usage")})
    for index, raw in partial.items():
        message["content"][index]["input"] = json.loads(raw) if raw else {}
    return message


def _apply(block: dict[str, Any], delta: dict[str, Any], partial: dict[int, str], index: int) -> None:
    if delta["type"] == "input_json_delta":
        partial[index] = partial.get(index, "") + delta["partial_json"]
    elif delta["type"] == "citations_delta":
        block["citations"].append(delta["citation"])
    elif delta["type"] == "signature_delta":
        block["signature"] = delta["signature"]
    else:
        field = delta["type"].removesuffix("_delta")
        block[field] += delta[field]


def nameless(message: dict[str, Any]) -> Any:
    """A message without the ids, which differ between any two requests."""
    raw = json.dumps({**message, "id": ""}, sort_keys=True)
    nonce = message["id"].removeprefix("msg_vrtx_01").removesuffix("zz")
    return json.loads(raw.replace(nonce, "NONCE"))


async def both(body: dict[str, Any], model: str, betas: str = "") -> dict[str, Any]:
    """The unary reply, which the stream must fold to."""
    unary = await ask(APP, body, model=model, betas=betas)
    assert unary.status == 200, unary.body
    streamed = await ask(APP, {**body, "stream": True}, model=model, betas=betas)
    check_grammar(streamed.events)
    assert nameless(fold(streamed.events)) == nameless(unary.json)
    reply: dict[str, Any] = unary.json
    return reply


async def test_context_management_is_reported_at_the_end_of_a_reply() -> None:
    body = body_of(context_management={"edits": [{"type": "clear_tool_uses_20250919"}]})
    betas = "context-management-2025-06-27"
    assert (await both(body, "claude-opus-5", betas))["context_management"] == {"applied_edits": []}
    assert "context_management" not in await both(body_of(), "claude-opus-5", betas)


async def test_a_tool_search_streams_in_the_real_order() -> None:
    search = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    body = body_of("weather in Paris?", tools=[search, tool(defer_loading=True)])
    reply = await both(body, "claude-opus-5", "tool-search-tool-2025-10-19")
    assert [b["type"] for b in reply["content"]][-3:] == ["server_tool_use", "tool_search_tool_result", "tool_use"]


async def test_the_usage_at_the_start_has_the_input_side_and_the_service_tier() -> None:
    cached = [{"type": "text", "text": "x" * 20_000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    streamed = await ask(APP, body_of(system=cached, stream=True), model="claude-opus-5")
    usage = streamed.events[0][1]["message"]["usage"]
    written = usage["cache_creation_input_tokens"]
    assert written > 5000
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": written}
    assert usage["service_tier"] == "standard"
    assert streamed.events[1] == ("ping", {"type": "ping"})
    assert streamed.headers["request-id"].startswith("req_vrtx_")


@settings(max_examples=300, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    words=st.sampled_from(WORDS),
    directive=st.sampled_from(DIRECTIVES),
    tools=st.lists(st.sampled_from([tool(), tool("get_time", {}), SEARCH]), unique_by=lambda t: t["name"]),
    shown=st.sampled_from(["summarized", "omitted"]),
    stop=st.sampled_from([None, ["Paris"], ["e"]]),
    answered=st.booleans(),
)
async def test_any_request_streams_in_the_real_order(
    model: str,
    words: str,
    directive: str,
    tools: list[dict[str, Any]],
    shown: str,
    stop: list[str] | None,
    answered: bool,
) -> None:
    card = builtin().card(model)
    fields: dict[str, Any] = {"tools": tools, "stop_sequences": stop, "max_tokens": 5000}
    if "adaptive" in card.thinking:
        fields["thinking"] = {"type": "adaptive", "display": shown}
    elif "enabled" in card.thinking:
        fields["thinking"] = {"type": "enabled", "budget_tokens": 1024, "display": shown}
    messages = [user((words + directive) or "Hi")]
    if answered and any(t["name"] == "get_weather" for t in tools):
        messages += [assistant(text("I look."), tool_use()), user(tool_result())]
    await both(body_of(messages=messages, **fields), model)


@pytest.mark.parametrize("limit", range(0, 90, 3))
@pytest.mark.parametrize("words", ["Weather in Paris and London", "Search the web for elephants", "Hello"])
async def test_a_reply_cut_by_a_limit_streams_in_the_real_order(words: str, limit: int) -> None:
    body = body_of(words, tools=[tool(), SEARCH], max_tokens=limit)
    streamed = await ask(APP, {**body, "stream": True}, model="claude-opus-5")
    check_grammar(streamed.events)
    end = streamed.events[-2][1]
    assert end["usage"]["output_tokens"] <= limit
    if end["delta"]["stop_reason"] == "max_tokens":
        assert end["usage"]["output_tokens"] == limit


async def test_every_model_streams_and_folds() -> None:
    for model in MODELS:
        for words in WORDS[:-1]:
            await both(body_of(words, tools=[tool(), SEARCH], max_tokens=4000), model)


@given(st.text(max_size=300))
def test_text_pieces_lose_nothing(words: str) -> None:
    assert "".join(text_pieces(words)) == words
    assert all(text_pieces(words))


@given(st.text(max_size=300))
def test_json_pieces_begin_with_an_empty_one_and_lose_nothing(raw: str) -> None:
    pieces = list(json_pieces(raw))
    assert pieces[0] == ""
    assert "".join(pieces) == raw


async def test_a_tool_without_arguments_streams_one_empty_piece() -> None:
    body = body_of("get_time please", tools=[tool("get_time", {})], stream=True)
    events = (await ask(APP, body)).events
    pieces = [
        e["delta"]["partial_json"] for n, e in events if n == "content_block_delta" and "partial_json" in e["delta"]
    ]
    assert pieces == [""]


async def test_cited_text_has_its_citation_before_its_words() -> None:
    body = body_of("Search the web for elephants", tools=[SEARCH], stream=True)
    events = (await ask(APP, body)).events
    cited = next(e["index"] for n, e in events if n == "content_block_start" and "citations" in e["content_block"])
    deltas = [e["delta"]["type"] for n, e in events if n == "content_block_delta" and e["index"] == cited]
    assert deltas[0] == "citations_delta"
    assert set(deltas[1:]) == {"text_delta"}
