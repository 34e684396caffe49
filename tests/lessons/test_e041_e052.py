"""What other gateways got wrong, one test a case, E41 to E52: results, messages, images and schemas."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from modelmux.upstream.downloads.fetcher import Fetched
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
    got = await ask(
        messages=[USER, assistant(tool_calls=[call("a")]), result("a", "1"), result("a", "2")], tools=[tool()]
    )
    first, *rest = got.turns[2]["content"]
    assert (first["tool_use_id"], first["content"], rest[-1]) == ("a", "1", text("2"))
    assert got.notices == ["changed=messages.3.tool_call_id"]


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
