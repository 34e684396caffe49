"""What other gateways got wrong, one test a case, E27 to E52: parameters, tools, messages, images and schemas."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.upstream.base import Call
from modelmux.upstream.fetch import Fetched
from support.fakes import FakeReply
from support.lessons import (
    BUDGET,
    NEW,
    PNG,
    SONNET,
    USER,
    WEATHER,
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


def picture(url: str) -> Json:
    return {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize("stream", [False, True])
async def test_e27_redacted_thinking_goes_round_unchanged(stream: bool) -> None:
    """Encrypted thinking comes to the client and back to the model with its data untouched."""
    hidden = {"type": "redacted_thinking", "data": "RXhhbXBsZQ+/=="}
    got = await ask(answer(hidden, text("So."), stream=stream), stream=stream, reasoning_effort="low")
    assert got.message["thinking_blocks"] == [hidden]
    assert got.message["content"] == "So."
    again = await ask(messages=[USER, got.message, USER], reasoning_effort="low")
    assert again.turns[1]["content"] == [hidden, text("So.")]


@pytest.mark.parametrize("stream", [False, True])
async def test_e28_thinking_nobody_asked_for_is_not_the_answer(stream: bool) -> None:
    """A model that thinks by default: the answer parses, its reasoning stands apart from the content."""
    got = await ask(answer(thought("Hm."), text("42"), stream=stream), model=NEW, stream=stream)
    assert (got.status, got.message["content"], got.message["reasoning_content"]) == (200, "42", "Hm.")


SAMPLING_REFUSED = [
    "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-1", "claude-fable-5", "claude-opus-5",
    "claude-sonnet-5", "claude-opus-4-8", "claude-opus-4-7",
]  # fmt: skip


@pytest.mark.parametrize("model", SAMPLING_REFUSED)
async def test_e29_sampling_where_the_model_takes_none(model: str) -> None:
    """Models from 4.7 on refuse sampling parameters: left out and said so, or 400 in strict mode."""
    asked = {"temperature": 0.5, "top_p": 0.9, "top_k": 5}
    got = await ask(model=model, **asked)
    assert not {"temperature", "top_p", "top_k"} & got.sent.keys()
    assert got.notices == ["dropped=temperature", "dropped=top_p", "dropped=top_k"]
    strict = await ask(model=model, headers={"x-modelmux-strict": "1"}, **asked)
    assert (strict.status, strict.error["param"], strict.error["code"]) == (400, "temperature", "strict_mode")
    assert strict.upstream.calls == []


@pytest.mark.parametrize(("asked", "sent"), [(1.7, 1.0), (2, 1.0), (1.0, 1.0), (0, 0.0), (0.3, 0.3)])
async def test_e30_openais_temperature_fits_claudes_range(asked: float, sent: float) -> None:
    """OpenAI's temperature goes to 2, Claude's to 1: clamped and said so, neither refused nor halved."""
    got = await ask(temperature=asked)
    assert got.sent["temperature"] == sent
    assert got.notices == (["clamped=temperature"] if asked > 1 else [])
    assert (await ask(temperature=2.1)).error["param"] == "temperature"


NO_PREFILL = [card.id for card in builtin().cards if not card.prefill]


@pytest.mark.parametrize("model", NO_PREFILL)
async def test_e31_a_trailing_answer_where_it_cannot_be_continued(model: str) -> None:
    """The conversation ends with the assistant: 400 with a hint, or a user turn that asks to go on."""
    messages = [USER, assistant("Once upon")]
    got = await ask(model=model, messages=messages)
    assert (got.status, got.error["param"], got.upstream.calls) == (400, "messages", [])
    assert "End with a user message" in got.error["message"]
    got = await ask(model=model, messages=messages, settings={"vertex": {"prefill": "continue"}})
    assert [(t["role"], t["content"][0]["text"]) for t in got.turns[1:]] == [
        ("assistant", "Once upon"),
        ("user", "Continue exactly where your last message ends."),
    ]
    assert got.notices == ["added=messages"]


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1"])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
async def test_e32_a_forced_call_where_the_model_cannot_be_forced(model: str, choice: Any) -> None:
    """These models refuse to be forced: a clear 400 before any call, or, if the operator says so, a free choice."""
    got = await ask(model=model, tools=[tool()], tool_choice=choice)
    assert (got.status, got.error["param"], got.upstream.calls) == (400, "tool_choice", [])
    settings = {"vertex": {"forced_tool_choice": "downgrade"}}
    got = await ask(model=model, tools=[tool()], tool_choice=choice, settings=settings)
    assert got.sent["tool_choice"] == {"type": "auto"}
    assert got.notices == ["changed=tool_choice"]


NAMED = {"type": "function", "function": {"name": "get_weather"}}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", {"type": "auto", "disable_parallel_tool_use": True}),
        ("none", {"type": "none"}),
        ("required", {"type": "any", "disable_parallel_tool_use": True}),
        (NAMED, {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}),
    ],
)
async def test_e33_one_call_at_a_time_only_where_that_can_be_said(choice: Any, sent: Json) -> None:
    """``parallel_tool_calls: false`` needs a tool choice to stand on, and must not stand on "none"."""
    got = await ask(tools=[tool()], tool_choice=choice, parallel_tool_calls=False)
    assert got.sent["tool_choice"] == sent
    assert "tool_choice" not in (await ask(parallel_tool_calls=False)).sent
    assert "tool_choice" not in (await ask(tools=[tool()], parallel_tool_calls=True)).sent


@pytest.mark.parametrize(("mode", "sent"), [("auto", {"type": "auto"}), ("required", {"type": "any"})])
async def test_e34_allowed_tools_are_these_and_no_others(mode: str, sent: Json) -> None:
    """A choice among some of the tools: the others cannot be called; a name that is not defined is 400."""
    tools = [tool("a"), tool("b"), tool("c")]

    def choice(*names: str) -> Json:
        allowed = [{"type": "function", "function": {"name": name}} for name in names]
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}

    got = await ask(tools=tools, tool_choice=choice("c", "a"))
    assert [t["name"] for t in got.sent["tools"]] == ["a", "c"]
    assert got.sent["tool_choice"] == sent
    got = await ask(tools=tools, tool_choice=choice("a", "d"))
    assert (got.status, got.error["param"]) == (400, "tool_choice.allowed_tools.tools.1")


@pytest.mark.parametrize(
    ("function", "schema"),
    [
        ({}, {"type": "object", "properties": {}}),
        ({"parameters": None}, {"type": "object", "properties": {}}),
        ({"parameters": {}}, {"type": "object", "properties": {}}),
        ({"parameters": {"type": "object"}}, {"type": "object"}),
    ],
    ids=["absent", "null", "empty", "type only"],
)
async def test_e35_a_tool_without_parameters_has_a_schema(function: Json, schema: Json) -> None:
    """No parameters in any of four forms: the tool stays, with a schema of an object."""
    got = await ask(tools=[{"type": "function", "function": {"name": "now", **function}}])
    assert got.sent["tools"] == [{"name": "now", "input_schema": schema}]


@pytest.mark.parametrize("choice", [None, "auto", "none"])
async def test_e36_no_tools_are_not_an_empty_list(choice: str | None) -> None:
    """``tools: []`` is the same as none: neither the list nor a choice goes up."""
    got = await ask(tools=[], tool_choice=choice)
    assert got.status == 200
    assert not {"tools", "tool_choice"} & got.sent.keys()


async def test_e37_a_tools_schema_is_the_clients_to_the_letter() -> None:
    """Definitions, references, alternatives and closed objects inside a tool's schema: all there, in the same order."""
    schema = {
        "type": "object",
        "$defs": {"Unit": {"enum": ["C", "F"]}},
        "definitions": {"Old": {"type": "string"}},
        "properties": {
            "unit": {"$ref": "#/$defs/Unit"},
            "at": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            "old": {"$ref": "#/definitions/Old"},
        },
        "additionalProperties": False,
        "required": ["unit"],
        "description": "Where.",
    }
    got = await ask(tools=[tool(parameters=schema)])
    assert json.dumps(got.sent["tools"][0]["input_schema"]) == json.dumps(schema)
    assert got.notices == []


NAMES = ["ns/foo.bar", "x" * 200, "a.b", "a/b", "a_b", "größe"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", NAMES, ids=["slash", "long", "dot", "other slash", "valid", "umlaut"])
async def test_e38_names_upstream_refuses_come_back_as_they_were(name: str, stream: bool) -> None:
    """Names with odd characters, too long, or the same once cleaned: each legal and apart upstream, the client's own
    in the answer, the same in the history and in the choice."""

    def calls_it(made: Call) -> FakeReply:
        upstream_name = json.loads(made.body)["tools"][NAMES.index(name)]["name"]
        return answer(tool_use(name=upstream_name), stop_reason="tool_use", stream=stream)

    tools = [tool(n) for n in NAMES]
    got = await ask(calls_it, stream=stream, tools=tools)
    sent = [t["name"] for t in got.sent["tools"]]
    assert len(set(sent)) == len(NAMES)
    assert sent[4] == "a_b"
    assert got.message["tool_calls"][0]["function"]["name"] == name
    choice = {"type": "function", "function": {"name": name}}
    again = await ask(messages=[USER, got.message, result()], tools=tools, tool_choice=choice)
    upstream_name = sent[NAMES.index(name)]
    assert again.turns[1]["content"][0]["name"] == upstream_name
    assert again.sent["tool_choice"]["name"] == upstream_name


async def test_e39_a_history_with_calls_needs_tools() -> None:
    """The history used tools, the request defines none: one stand-in is sent, uncallable, and always the same one, so
    that the next turn finds the prompt in the cache."""
    messages = [USER, assistant(tool_calls=[call()]), result()]
    more = [assistant("20 degrees."), USER, assistant(tool_calls=[call("toolu_2", "other_tool")]), result("toolu_2")]
    first, later = await ask(messages=messages), await ask(messages=messages + more)
    assert first.sent["tools"] == later.sent["tools"]
    assert len(first.sent["tools"]) == 1
    assert first.sent["tool_choice"] == later.sent["tool_choice"] == {"type": "none"}
    assert first.turns[1]["content"] == [tool_use()]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ("", {}),
        ("  ", {}),
        (None, {}),
        ("null", {}),
        ("{}", {}),
        ("[]", {"arguments": []}),
        ("3", {"arguments": 3}),
        ('"Paris"', {"arguments": "Paris"}),
        ("not json", {"arguments": "not json"}),
        ('{"city": "Par', {"arguments": '{"city": "Par'}),
        ('{"city": NaN}', {"arguments": '{"city": NaN}'}),
        ("[" * 5000, {"arguments": "[" * 5000}),
    ],
    ids=repr,
)
async def test_e40_arguments_that_are_no_object_are_kept(arguments: str | None, sent: Json) -> None:
    """A history with empty, cut or senseless arguments: an object upstream, never a 500, never a lost call."""
    got = await ask(messages=[USER, assistant(tool_calls=[call(arguments=arguments)]), result()], tools=[tool()])
    assert got.status == 200
    assert got.turns[1]["content"] == [{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": sent}]
    expected = ["changed=messages.1.tool_calls.0.function.arguments"] if "arguments" in sent else []
    assert got.notices == expected


async def test_e40_half_a_character_in_arguments_is_no_crash() -> None:
    """Arguments with half of a surrogate pair, which no UTF-8 can say."""
    cut = call(arguments='{"city": "\\ud83d"}')
    got = await ask(messages=[USER, assistant(tool_calls=[cut]), result()], tools=[tool()])
    assert got.status == 200
    assert got.turns[1]["content"][0]["input"] == {"arguments": '{"city": "\\ud83d"}'}


RESULTS = [result("a", "1"), result("b", "2"), result("c", "3")]
CALLS = assistant(tool_calls=[call("a"), call("b"), call("c")])


@pytest.mark.parametrize("order", [[*RESULTS, user("So?")], [RESULTS[0], user("So?"), *RESULTS[1:]]])
async def test_e41_results_are_one_turn_and_come_first(order: list[Json]) -> None:
    """Three results and a question, in whatever order: one user turn, the results at its head."""
    got = await ask(messages=[USER, CALLS, *order], tools=[tool()])
    assert len(got.turns) == 3
    assert got.turns[2]["role"] == "user"
    assert [b.get("tool_use_id") for b in got.turns[2]["content"]] == ["a", "b", "c", None]
    assert [b.get("content") or b["text"] for b in got.turns[2]["content"]] == ["1", "2", "3", "So?"]


async def test_e42_results_that_are_missing_or_strange_are_mended() -> None:
    """No result: an error result. A result without a call: text, and a notice. The same id twice: made unique, each
    call with its own result."""
    got = await ask(messages=[USER, CALLS, RESULTS[1], USER], tools=[tool()])
    blocks = got.turns[2]["content"]
    assert [b.get("tool_use_id") for b in blocks] == ["b", "a", "c", None]
    assert [b.get("is_error", False) for b in blocks] == [False, True, True, False]
    assert got.notices == ["added=messages"]
    got = await ask(messages=[USER, result("gone", "secret of the deep")], tools=[tool()])
    assert {b["type"] for b in got.turns[0]["content"]} == {"text"}
    assert got.turns[0]["content"][-1]["text"] == "secret of the deep"
    assert got.notices == ["changed=messages.1.tool_call_id"]
    twice = assistant(tool_calls=[call("a"), call("a", arguments='{"city":"Rome"}')])
    got = await ask(messages=[USER, twice, result("a", "1"), result("a", "2")], tools=[tool()])
    ids = [b["id"] for b in got.turns[1]["content"]]
    assert len(set(ids)) == 2
    assert [(b["tool_use_id"], b["content"]) for b in got.turns[2]["content"]] == [(ids[0], "1"), (ids[1], "2")]


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
PDF = base64.b64encode(b"%PDF-1.4 small").decode()


@pytest.mark.parametrize("content", ["", None, [], [text(" ")]], ids=repr)
async def test_e43_an_empty_result_is_a_result(content: Any) -> None:
    """A tool that gives nothing: the result is there, and empty."""
    got = await ask(messages=[USER, assistant(tool_calls=[call()]), result(content=content)], tools=[tool()])
    assert got.turns[2]["content"] == [{"type": "tool_result", "tool_use_id": "toolu_1"}]


async def test_e43_a_result_may_hold_an_image_and_a_document() -> None:
    """A screenshot and a PDF from a tool stand inside its result, in order, with the text between."""
    file = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}}
    content = [picture(f"data:image/png;base64,{PNG}"), text("and"), file]
    got = await ask(messages=[USER, assistant(tool_calls=[call()]), result(content=content)], tools=[tool()])
    document = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
        "title": "a.pdf",
    }
    assert got.turns[2]["content"][0]["content"] == [IMAGE, text("and"), document]


async def test_e44_words_beside_calls_survive() -> None:
    """An answer with text and tool calls keeps both, the text first."""
    got = await ask(messages=[USER, assistant("I look.", tool_calls=[call()]), result()], tools=[tool()])
    assert got.turns[1]["content"] == [text("I look."), tool_use()]


async def test_e45_blank_text_is_never_sent() -> None:
    """Empty and blank text, which Claude refuses: left out beside other content, replaced where it is all."""
    got = await ask(messages=[user([text(""), text("real"), text("\n")])])
    assert got.turns == [user([text("real")])]
    for blank in ("", " \n", [], None, [text(" ")]):
        got = await ask(messages=[user(blank)])
        assert got.turns == [user([text("(no content)")])]
        assert got.notices == ["changed=messages.0.content"]
        got = await ask(messages=[USER, assistant(blank), user("More")])
        assert got.turns == [user([text("Hi"), text("More")])]


def flat(sent: Json) -> list[Any]:
    """The prompt as the model reads it, block by block."""
    blocks = [(turn["role"], block) for turn in sent["messages"] for block in turn["content"]]
    return [*sent.get("tools", ()), *sent.get("system", ()), *blocks]


@pytest.mark.parametrize("model", [NEW, SONNET, BUDGET])
async def test_e46_system_messages_keep_their_order_and_the_prefix(model: str) -> None:
    """System as a list, twice, and again in the middle: nothing is overwritten, nothing moves, and what was sent on
    one turn is sent again on the next, byte for byte."""
    messages = [
        {"role": "system", "content": [text("One."), text("Two.")]},
        {"role": "system", "content": "Three."},
        USER,
        assistant("Hello"),
        user("News?"),
        {"role": "system", "content": "Be brief."},
    ]
    got = await ask(model=model, messages=messages)
    assert got.sent["system"] == [text("One."), text("Two."), text("Three.")]
    assert [t["role"] for t in got.turns[:3]] == ["user", "assistant", "user"]
    if model == NEW:
        assert got.turns[3] == {"role": "system", "content": [text("Be brief.")]}
    else:
        assert got.turns[2]["content"][1]["text"] == "<system_message>\nBe brief.\n</system_message>"
    earlier = [await ask(model=model, messages=messages[:3]), got]
    later = await ask(model=model, messages=[*messages, assistant("No."), user("Sure?")])
    for one in earlier:
        before, after = flat(one.sent), flat(later.sent)
        assert [json.dumps(b) for b in after[: len(before)]] == [json.dumps(b) for b in before]


async def test_e47_developer_is_system() -> None:
    """OpenAI's newer name for system messages, at the head and in the middle, means the same."""

    def conversation(role: str) -> list[Json]:
        return [{"role": role, "content": "Rules."}, USER, assistant("Hello"), USER, {"role": role, "content": "More."}]

    for model in (NEW, SONNET):
        developer = await ask(model=model, messages=conversation("developer"))
        system = await ask(model=model, messages=conversation("system"))
        assert developer.upstream.calls[0].body == system.upstream.calls[0].body
    assert developer.sent["system"] == [text("Rules.")]


@pytest.mark.parametrize(
    "head",
    [
        "data:image/png;base64,",
        "data:image/png;charset=utf-8;base64,",
        "data:image/png;name=a.png;base64,",
        "DATA:IMAGE/PNG;BASE64,",
        "data:image/jpeg;base64,",
        "data:application/octet-stream;base64,",
        "data:;base64,",
    ],
)
async def test_e48_an_image_is_what_its_bytes_say(head: str) -> None:
    """Data URLs with parameters, in capitals, with a wrong type or none: the image arrives, typed by its bytes."""
    got = await ask(messages=[user([picture(head + PNG)])])
    assert got.status == 200
    assert got.turns[0]["content"] == [IMAGE]


class FetcherOf:
    """Stands in for downloading: what each URL holds."""

    def __init__(self, pages: dict[str, Fetched]) -> None:
        self.pages = pages
        self.asked: list[list[str]] = []

    async def fetch_all(self, urls: Iterable[str]) -> dict[str, Fetched]:
        urls = list(urls)
        self.asked.append(urls)
        return {url: self.pages[url] for url in urls}

    def forget(self, url: str) -> None:
        """Nothing is kept."""

    async def aclose(self) -> None:
        return None


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Fetched]], FetcherOf]:
    """Gateways built from here on download from a table."""

    def use(pages: dict[str, Fetched]) -> FetcherOf:
        fetcher = FetcherOf(pages)
        monkeypatch.setattr("modelmux.app.Fetcher", lambda _: fetcher)
        return fetcher

    return use


async def test_e49_an_image_by_url_goes_inline(serve: Callable[[dict[str, Fetched]], FetcherOf]) -> None:
    """Vertex takes no URLs: the image is downloaded and sent inline; larger than 5 MB it is 400, not sent."""
    url, large = "https://example.com/a.png", "https://example.com/large.png"
    data = base64.b64decode(PNG)
    fetcher = serve({url: Fetched(data, "image/png"), large: Fetched(data + bytes(5_000_000), "image/png")})
    got = await ask(messages=[user([text("Look"), picture(url)])])
    assert got.turns[0]["content"] == [text("Look"), IMAGE]
    assert fetcher.asked == [[url]]
    got = await ask(messages=[user([picture(large)])])
    assert (got.status, got.error["param"], got.upstream.calls) == (400, "messages.0.content.0", [])
    assert "5 MB" in got.error["message"]


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest", "http://127.0.0.1/a.png", "http://[::1]/a.png", "http://10.0.0.1/", "http://0/"],
)
async def test_e49_no_image_is_fetched_from_inside(url: str) -> None:
    """Addresses that are not public are not called, whatever a client writes."""
    got = await ask(messages=[user([picture(url)])])
    await got.app.aclose()
    assert (got.status, got.error["param"], got.upstream.calls) == (400, "messages.0.content.0", [])


ODD_SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3, "description": "Who."},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "at": {"oneOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]},
    },
    "required": ["name", "tags", "at"],
}


def by_schema(schema: Json) -> Json:
    return {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, "strict": True}}


async def test_e50_a_schema_is_brought_into_the_subset_the_same_way_each_time() -> None:
    """Keywords it lacks go into the descriptions, alternatives become anyOf, always in the same bytes."""
    got = await ask(response_format=by_schema(ODD_SCHEMA))
    assert got.sent["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "Who.\n\n{minLength: 3}"},
                "tags": {"type": "array", "items": {"type": "string"}, "description": "{uniqueItems: true}"},
                "at": {"anyOf": [{"type": "string"}, {"type": "integer", "description": "{minimum: 0}"}]},
            },
            "required": ["name", "tags", "at"],
            "additionalProperties": False,
        },
    }
    assert got.notices == ["changed=response_format.json_schema.schema"]
    again = await ask(response_format=by_schema(json.loads(json.dumps(ODD_SCHEMA))))
    assert again.upstream.calls[0].body == got.upstream.calls[0].body


async def test_e50_a_recursive_schema_is_followed_by_a_call_or_refused() -> None:
    """A schema that contains itself: by way of a tool call where a call can be forced, else a 400 that says why."""
    node = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
        "required": ["next"],
    }
    schema = {**node, "$defs": {"Node": node}}
    got = await ask(response_format=by_schema(schema))
    assert got.sent["tool_choice"]["type"] == "tool"
    assert got.sent["tools"][0]["input_schema"] == schema
    assert got.notices == ["changed=response_format.json_schema.schema"]
    got = await ask(model=NEW, response_format=by_schema(schema))
    assert (got.status, got.error["param"]) == (400, "response_format.json_schema.schema")
    assert "recursive" in got.error["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_e51_schema_tools_and_thinking_go_together(stream: bool) -> None:
    """All three at once: native structured output, thinking on, and the tools can still be called."""
    options: Json = {"response_format": by_schema(WEATHER), "tools": [tool()], "reasoning_effort": "high"}
    reply = answer(thought(), tool_use(), stop_reason="tool_use", stream=stream)
    got = await ask(reply, model=NEW, stream=stream, **options)
    assert got.sent["output_config"]["format"]["schema"] == {**WEATHER, "additionalProperties": False}
    assert got.sent["output_config"]["effort"] == "high"
    assert got.sent["thinking"]["type"] == "adaptive"
    assert [t["name"] for t in got.sent["tools"]] == ["get_weather"]
    assert "tool_choice" not in got.sent
    assert (got.finish, got.message["tool_calls"][0]["function"]["name"]) == ("tool_calls", "get_weather")


async def test_e52_a_reference_without_its_hash_is_mended() -> None:
    """``/$defs/Item`` instead of ``#/$defs/Item``, as some generators write it."""
    schema = {
        "type": "object",
        "properties": {"item": {"$ref": "/$defs/Item"}},
        "required": ["item"],
        "$defs": {"Item": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
    }
    got = await ask(response_format=by_schema(schema))
    assert got.sent["output_config"]["format"]["schema"]["properties"]["item"] == {"$ref": "#/$defs/Item"}
