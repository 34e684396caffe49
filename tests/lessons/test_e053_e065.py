"""What other gateways got wrong, one test a case, E53 to E65: betas, caching, models, errors, tool ids and names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.catalog import builtin
from support.fakes import FakeReply, error_reply
from support.lessons import (
    BUDGET,
    NEW,
    PNG,
    SONNET,
    USER,
    Json,
    answer,
    ask,
    call,
    result,
    text,
    thought,
    tool,
    tool_use,
)


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def assistant(content: Any = None, **fields: Any) -> Json:
    return {"role": "assistant", "content": content, **fields}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_: float) -> None:
        return None

    monkeypatch.setattr("modelmux.app.asyncio.sleep", sleep)


async def test_e53_a_clients_betas_are_not_passed_on_blindly() -> None:
    """A client sends betas that Vertex refuses: none goes up, the request is answered with all its features."""
    headers = {"anthropic-beta": "prompt-caching-scope-2026-01-05,files-api-2025-04-14", "anthropic-version": "x"}
    got = await ask(headers=headers, tools=[tool()], reasoning_effort="low")
    assert (got.status, got.betas) == (200, None)
    assert (got.sent["thinking"]["type"], got.sent["anthropic_version"]) == ("adaptive", "vertex-2023-10-16")
    assert [t["name"] for t in got.sent["tools"]] == ["get_weather"]


async def test_e54_a_feature_brings_its_own_beta() -> None:
    """A field that needs a beta is never sent without it, and the beta never without the field."""
    messages = [USER, assistant("Hello", thinking_blocks=[thought()]), USER]
    got = await ask(model=NEW, messages=messages)
    assert got.betas == b"thinking-binding-controls-2026-08-01"
    assert "block_binding" in got.sent["thinking"]
    got = await ask(model=NEW)
    assert got.betas is None
    assert b"block_binding" not in got.upstream.calls[0].body


async def test_e55_cache_markers_are_kept_where_they_stand() -> None:
    """Markers on a tool, system text, an image, a tool call and its result: the scope is taken off, the lifetime kept,
    at most four stay, and none goes to another place."""
    hour = {"type": "ephemeral", "ttl": "1h", "scope": "global"}
    image = {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}", "cache_control": {"type": "ephemeral"}}
    messages = [
        {"role": "system", "content": [text("Rules.", cache_control=hour)]},
        user([image, text("What is it?")]),
        assistant(tool_calls=[call()], cache_control={"type": "ephemeral"}),
        {**result(), "cache_control": {"type": "ephemeral"}},
    ]
    got = await ask(messages=messages, tools=[tool()])
    assert got.sent["system"] == [text("Rules.", cache_control={"type": "ephemeral", "ttl": "1h"})]
    marked = [block["type"] for turn in got.turns for block in turn["content"] if "cache_control" in block]
    assert marked == ["image", "tool_use", "tool_result"]
    assert b"scope" not in got.upstream.calls[0].body
    got = await ask(messages=messages, tools=[{**tool(), "cache_control": hour}])
    assert got.upstream.calls[0].body.count(b"cache_control") == 4
    assert "cache_control" not in got.sent["tools"][0]
    assert got.notices == ["dropped=cache_control"]


CAPS = {
    "claude-opus-5-5": 128_000,
    "claude-opus-4-6": 128_000,
    "claude-sonnet-5": 128_000,
    "claude-sonnet-4-5": 64_000,
    "claude-opus-4-1": 32_000,
    "claude-3-5-haiku": 8_000,
}


async def test_e56_no_token_limit_means_the_models_own() -> None:
    """A client sends no limit, which Claude requires: every model gets its cap, undated names too, and never 0."""
    sent = {}
    for card in builtin().cards:
        for name in {card.id, card.base}:
            sent[name] = (await ask(model=name, max_tokens=None)).sent["max_tokens"]
    assert {name: sent[name] for name in CAPS} == CAPS
    assert min(sent.values()) == 8_000
    assert sent["claude-sonnet-4-5@20250929"] == sent["claude-sonnet-4-5"]


ADAPTIVE = {"type": "adaptive", "display": "summarized"}
HIDDEN = {"type": "adaptive", "display": "omitted"}


def by_budget(tokens: int) -> Json:
    return {"type": "enabled", "budget_tokens": tokens}


@pytest.mark.parametrize(
    ("model", "asked", "thinking", "effort", "notices"),
    [
        ("claude-opus-5-5", "none", HIDDEN, "low", ["changed=reasoning"]),
        ("claude-opus-5-5", "minimal", ADAPTIVE, "low", []),
        ("claude-opus-5-5", "xhigh", ADAPTIVE, "xhigh", []),
        ("claude-opus-5-5", "max", ADAPTIVE, "max", []),
        ("claude-opus-5-5", {"effort": "high", "summary": "auto"}, ADAPTIVE, "high", []),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None, []),
        ("claude-opus-5", "none", {"type": "disabled"}, None, []),
        ("claude-opus-4-6", "none", None, None, []),
        ("claude-opus-4-6", "xhigh", ADAPTIVE, "high", ["clamped=reasoning"]),
        ("claude-opus-4-6", "max", ADAPTIVE, "max", []),
        ("claude-opus-4-5", "xhigh", by_budget(24576), "high", ["clamped=reasoning"]),
        ("claude-sonnet-4-5", "minimal", by_budget(1024), None, []),
        ("claude-sonnet-4-5", "max", by_budget(32000), None, []),
        ("claude-sonnet-4-5", {"effort": "medium"}, by_budget(4096), None, []),
        ("claude-3-5-haiku", "high", None, None, ["dropped=reasoning"]),
    ],
)  # fmt: skip
async def test_e57_every_effort_means_something_on_every_model(
    model: str, asked: Any, thinking: Json | None, effort: str | None, notices: list[str]
) -> None:
    """From none to max, as a word or as an object: the nearest thing the model has, and a notice where it differs."""
    got = await ask(model=model, reasoning_effort=asked, max_tokens=None)
    assert got.sent.get("thinking") == thinking
    assert got.sent.get("output_config", {}).get("effort") == effort
    assert got.notices == notices


@pytest.mark.parametrize("asked", ["ultra", {"effort": "ultra"}, 3, ["low"]], ids=repr)
async def test_e57_an_effort_nobody_has_is_refused(asked: Any) -> None:
    """A word that no provider defines is a 400 that names the field."""
    got = await ask(reasoning_effort=asked)
    assert (got.status, got.error["param"]) == (400, "reasoning_effort")


EXHAUSTED = {"error": {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED"}}
PAGE = b"<!DOCTYPE html><html><title>Error 404 (Not Found)!!1</title></html>"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", [b"application/json", b"text/html"])
@pytest.mark.parametrize(
    ("status", "body", "shown", "code", "message"),
    [
        (429, EXHAUSTED, 429, "rate_limit_exceeded", "Quota exceeded."),
        (429, [EXHAUSTED], 429, "rate_limit_exceeded", "Quota exceeded."),
        (404, PAGE, 404, "model_not_found", "Vertex AI does not serve this model"),
        (502, PAGE, 503, "upstream_error", "Vertex AI failed to answer."),
        (413, b"", 413, "request_too_large", "The request is larger than Vertex AI takes."),
        (400, {"error": "flat"}, 400, None, "Vertex AI did not accept the request."),
    ],
    ids=["object", "array", "page", "page of a proxy", "nothing", "another shape"],
)
async def test_e58_any_shape_of_error_becomes_openais(
    kind: bytes, status: int, body: Any, shown: int, code: str | None, message: str, stream: bool
) -> None:
    """Google's errors as an object, in an array, as a web page, with whatever content type: OpenAI's envelope, the
    right status, no HTML."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = FakeReply(status, [(b"content-type", kind)], [raw])
    got = await ask(reply, settings={"retries": {"max": 0}}, stream=stream)
    assert got.status == shown
    assert set(got.error) == {"message", "type", "param", "code"}
    assert got.error["code"] == code
    assert got.error["message"].startswith(message)
    assert b"<html>" not in got.response.body


UNAUTHENTICATED = {"error": {"code": 401, "message": "Invalid token", "status": "UNAUTHENTICATED"}}


@pytest.mark.parametrize("stream", [False, True])
async def test_e59_an_expired_google_token_is_not_the_clients_business(stream: bool) -> None:
    """Google refuses the token in the middle of its life: one new token, one more attempt; if that fails too, 502 and
    not 401, which clients take for their own key."""
    got = await ask(error_reply(401, UNAUTHENTICATED), answer(text("Fine."), stream=stream), stream=stream)
    assert got.message["content"] == "Fine."
    keys = [dict(made.headers)[b"authorization"] for made in got.upstream.calls]
    assert keys == [b"Bearer token-1", b"Bearer token-2"]
    got = await ask(*(error_reply(401, UNAUTHENTICATED) for _ in range(4)), stream=stream)
    assert (got.status, got.error["code"], len(got.upstream.calls)) == (502, "upstream_auth_error", 2)
    assert got.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", [False, True])
async def test_e61_calls_to_run_finish_as_tool_calls(stream: bool) -> None:
    """The upstream says ``end_turn`` although it called a tool: the client is told to run it."""
    got = await ask(answer(text("I look."), tool_use(), stream=stream), stream=stream, tools=[tool()])
    assert got.finish == "tool_calls"
    assert got.message["tool_calls"] == [call(arguments=got.message["tool_calls"][0]["function"]["arguments"])]


PAGE_FOUND = {
    "type": "web_search_result_location",
    "url": "https://example.com/a",
    "title": "A",
    "cited_text": "blue",
    "encrypted_index": "x",
}


@pytest.mark.parametrize("stream", [False, True])
async def test_e62_searches_of_the_server_show_as_annotations(stream: bool) -> None:
    """The model searched the web: the client sees the text and what it cites, no call it would have to answer."""
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "sky"}}
    found = {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [{"type": "web_search_result", "url": "https://example.com/a", "title": "A"}],
    }
    blocks = [text("I look. "), search, found, text("The sky is blue.", citations=[PAGE_FOUND])]
    got = await ask(answer(*blocks, stream=stream), stream=stream, web_search_options={})
    assert got.sent["tools"] == [{"type": "web_search_20250305", "name": "web_search"}]
    assert (got.finish, got.message["content"]) == ("stop", "I look. The sky is blue.")
    assert "tool_calls" not in got.message
    cited = {"start_index": 8, "end_index": 24, "url": "https://example.com/a", "title": "A"}
    assert got.message["annotations"] == [{"type": "url_citation", "url_citation": cited}]


@pytest.mark.parametrize("id", ["functions.Bash:0", "a.b", "a:b", "größe", "x" * 200, ""], ids=repr)
async def test_e63_ids_of_other_providers_are_made_legal(id: str) -> None:
    """Ids with odd characters, too long or empty: the same legal one on call and result, and on every later turn."""
    messages = [USER, assistant(tool_calls=[call(id)]), result(id)]
    got = await ask(messages=messages, tools=[tool()])
    (used,), (given,) = got.turns[1]["content"], got.turns[2]["content"]
    assert used["id"] == given["tool_use_id"] != id
    later = await ask(messages=[*messages, assistant(tool_calls=[call("other")]), result("other")], tools=[tool()])
    assert later.turns[1:3] == got.turns[1:3]
    cleaned = "".join(c if c.isascii() and c.isalnum() else "_" for c in id)
    assert used["id"].startswith(cleaned[:20]), "what the id said can still be read"


async def test_e63_legal_ids_are_untouched_and_others_stay_apart() -> None:
    """Ids that differ only in what is refused do not become one; what is legal is not rewritten."""
    ids = ["a.b", "a:b", "a_b", "call_abc-1"]
    messages = [USER, assistant(tool_calls=[call(id) for id in ids]), *(result(id, id) for id in ids)]
    got = await ask(messages=messages, tools=[tool()])
    sent = [block["id"] for block in got.turns[1]["content"]]
    assert len(set(sent)) == 4
    assert sent[2:] == ["a_b", "call_abc-1"]
    assert [(b["tool_use_id"], b["content"]) for b in got.turns[2]["content"]] == list(zip(sent, ids, strict=True))


async def test_e64_two_tools_of_one_name_are_refused_here() -> None:
    """The upstream would only say that names must be unique: the gateway names both places, before any call."""
    got = await ask(tools=[tool("a"), tool("b"), tool("a")])
    assert (got.status, got.error["param"], got.upstream.calls) == (400, "tools.2.function.name", [])
    assert "tools.0.function" in got.error["message"]
    assert "tools.2.function" in got.error["message"]


VARIANTS = [
    {"properties": {"id": {"type": "integer"}, "deep": {"type": "boolean"}}, "required": ["id", "deep"]},
    {"properties": {"name": {"type": "string"}, "deep": {"type": "boolean"}}, "required": ["name", "deep"]},
]


@pytest.mark.parametrize("model", [NEW, SONNET, BUDGET])
@pytest.mark.parametrize("key", ["oneOf", "anyOf", "allOf"])
async def test_e65_alternatives_at_the_root_of_a_tool_are_joined(key: str, model: str) -> None:
    """``oneOf`` and its like at the root, which Claude refuses for the whole request: one object with all properties,
    which requires what all variants require, and a notice."""
    got = await ask(model=model, tools=[tool(), tool("find", {"type": "object", key: VARIANTS})])
    required = ["id", "deep", "name"] if key == "allOf" else ["deep"]
    schema = got.sent["tools"][1]["input_schema"]
    assert schema["type"] == "object"
    assert schema["properties"] == {
        "id": {"type": "integer"},
        "deep": {"type": "boolean"},
        "name": {"type": "string"},
    }
    assert sorted(schema["required"]) == sorted(required)
    assert key not in schema
    assert got.notices == ["changed=tools.1.function.parameters"]
