"""Risk: a foreign form that is refused, or sends something else than Chat Completions' own form would."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from support.foreign import prepared, told, upstream, user
from support.translation import body_of

Json = dict[str, Any]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


PNG, PDF = b64(b"\x89PNG\r\n\x1a\n" + b"x" * 10), b64(b"%PDF-1.7 x")
EPHEMERAL = {"type": "ephemeral"}
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
PAPER = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}}
HI = {"type": "text", "text": "hi"}


def named(part: Json, name: str) -> Json:
    return {**part, "file": {**part["file"], "filename": name}}


def written(text: str) -> Json:
    return {"type": "file", "file": {"file_data": f"data:text/plain;base64,{b64(text.encode())}"}}


def source(data: str, media_type: str = "image/png", kind: str = "base64") -> Json:
    return {"source": {"type": kind, "media_type": media_type, "data": data}}


PARTS: list[tuple[Any, Json]] = [
    ({"type": "input_text", "text": "hi"}, HI),
    ({"type": "output_text", "text": "hi", "annotations": [], "logprobs": None}, HI),
    ({"type": "summary_text", "text": "hi"}, HI),
    ("hi", HI),
    ({**HI, "citations": None}, HI),
    ({**HI, "annotations": None, "_meta": None}, HI),
    ({**HI, "index": 0, "id": "lc_1"}, HI),
    ({"type": "input_text", "text": "hi", "cache_control": EPHEMERAL}, {**HI, "cache_control": EPHEMERAL}),
    ({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}, PICTURE),
    ({"type": "input_image", "image_url": {"url": f"data:image/png;base64,{PNG}"}}, PICTURE),
    ({"type": "image_url", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}, PICTURE),
    ({"type": "image_url", "url": f"data:image/png;base64,{PNG}"}, PICTURE),
    ({"type": "image_url", "image_url": {"url": PNG, "format": "image/png"}}, PICTURE),
    ({"type": "image", **source(PNG)}, PICTURE),
    ({"type": "image", **source(PNG, "image/jpeg")}, PICTURE),
    ({"type": "image", "source": {"media_type": "image/png", "data": PNG}}, PICTURE),
    ({"type": "image", "source": {"type": "base64", "data": PNG}}, PICTURE),
    ({"type": "image", **source(PDF)}, PAPER),
    ({"type": "image", "source": {"type": "url", "url": f"data:image/png;base64,{PNG}"}}, PICTURE),
    ({"type": "image", "source": {"url": f"data:image/png;base64,{PNG}"}}, PICTURE),
    ({"type": "image", **source(PNG), "cache_control": EPHEMERAL}, {**PICTURE, "cache_control": EPHEMERAL}),
    ({"type": "image", "data": PNG, "mimeType": "image/png"}, PICTURE),
    ({"type": "image", "data": PNG, "mimeType": "image/png", "annotations": None, "_meta": None}, PICTURE),
    ({"type": "image", "image": PNG, "mediaType": "image/png"}, PICTURE),
    ({"type": "document", **source(PDF, "application/pdf"), "citations": {"enabled": False}}, PAPER),
    ({"type": "document", **source(PDF, "application/pdf"), "title": "a", "context": None}, named(PAPER, "a")),
    ({"type": "document", **source(PNG, "application/pdf")}, PICTURE),
    ({"type": "document", **source("Words.", "text/plain", "text"), "title": "a"}, named(written("Words."), "a")),
    ({"type": "document", "source": {"type": "content", "content": "Words."}}, written("Words.")),
    ({"type": "document", "source": {"type": "content", "content": [HI, "ho"]}}, written("hi\n\nho")),
    ({"type": "document", **source(PDF, "application/pdf"), "cache_control": EPHEMERAL},
     {**PAPER, "cache_control": EPHEMERAL}),
    ({"type": "input_file", "filename": "a", "file_data": f"data:application/pdf;base64,{PDF}"}, named(PAPER, "a")),
    ({"type": "input_file", "file_data": PDF}, PAPER),
    ({"type": "input_file", "file_url": f"data:application/pdf;base64,{PDF}"}, PAPER),
    ({"type": "file", "data": PDF, "mediaType": "application/pdf", "filename": "a"}, named(PAPER, "a")),
    ({"type": "file", "file": PDF}, PAPER),
    ({"type": "file", "file": {"file_data": PDF, "format": "application/pdf"}}, PAPER),
    ({"type": "file_url", "file_url": {"url": f"data:application/pdf;base64,{PDF}"}}, PAPER),
    ({"type": "document_url", "document_url": f"data:application/pdf;base64,{PDF}", "document_name": "a"},
     named(PAPER, "a")),
    ({"type": "resource", "resource": {"uri": "file:///a.txt", "mimeType": "text/plain", "text": "hi"}}, HI),
    ({"type": "resource", "resource": {"uri": "file:///b/a.pdf", "blob": PDF}}, named(PAPER, "a.pdf")),
    ({"type": "resource", "resource": {"blob": PNG, "mimeType": "image/png"}, "annotations": None}, PICTURE),
]  # fmt: skip


@pytest.mark.parametrize(("part", "plain"), PARTS)
def test_a_foreign_part_is_sent_as_the_plain_one(part: Any, plain: Json) -> None:
    """In a user message, alone and in a list, and in a tool's result."""
    unmarked = {name: member for name, member in part.items() if name != "context"} if isinstance(part, dict) else part
    assert upstream({"messages": [user(HI, part)]}) == upstream({"messages": [user(HI, plain)]})
    assert told({"messages": [user(HI, unmarked)]}) == []
    if isinstance(part, dict):
        assert upstream({"messages": [{"role": "user", "content": part}]}) == upstream({"messages": [user(plain)]})
    for content in ([HI, part], part):
        expected = [HI, plain] if isinstance(content, list) else [plain]
        assert upstream({"messages": answered(content)}) == upstream({"messages": answered(expected)})


def answered(content: Any, **fields: Any) -> list[Json]:
    """A conversation with a tool's result."""
    return [user("a"), called(call()), {"role": "tool", "tool_call_id": "c", "content": content, **fields}, user("b")]


def call(id: str = "c", name: str = "f", arguments: str = '{"a":1}') -> Json:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def called(*calls: Json, content: Any = None, **fields: Any) -> Json:
    return {"role": "assistant", "content": content, "tool_calls": list(calls), **fields}


def result(id: str = "c", content: Any = "r") -> Json:
    return {"role": "tool", "tool_call_id": id, "content": content}


USE = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}
ANSWER = {"type": "tool_result", "tool_use_id": "c", "content": "r"}
PLAIN = [user("a"), called(call()), result()]
TWO = [user("a"), called(call(), call("d")), result(), result("d"), user("b")]
ITEM = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c",
    "name": "f",
    "arguments": '{"a":1}',
    "status": "completed",
}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "r"}
CUSTOM = {"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}

#: Messages and what they are in plain Chat Completions, without a notice.
MESSAGES: list[tuple[str, list[Any], list[Json]]] = [
    ("blocks", [user("a"), {"role": "assistant", "content": [HI, USE]}, user(ANSWER)],
     [user("a"), called(call(), content="hi"), result()]),
    ("a call alone", [user("a"), {"role": "assistant", "content": [USE]}, user(ANSWER)], PLAIN),
    ("one block", [user("a"), {"role": "assistant", "content": USE}, {"role": "user", "content": ANSWER}], PLAIN),
    ("two calls, and a text after the results",
     [user("a"), {"role": "assistant", "content": [USE, {**USE, "id": "d"}]},
      user(ANSWER, {**ANSWER, "tool_use_id": "d"}, {"type": "text", "text": "b"})], TWO),
    ("a text before the results",
     [user("a"), {"role": "assistant", "content": [USE]}, user({"type": "text", "text": "b"}, ANSWER)],
     [*PLAIN, user("b")]),
    ("a result with blocks", [*PLAIN[:2], user({**ANSWER, "content": [HI, {"type": "image", **source(PNG)}]})],
     [*PLAIN[:2], result(content=[HI, PICTURE])]),
    ("a result in a tool message", [*PLAIN[:2], {"role": "tool", "content": [ANSWER]}], PLAIN),
    ("calls twice, as blocks and as calls", [user("a"), called(call(), content=[USE]), result()], PLAIN),
    ("what the SDK adds to a call", [user("a"), {"role": "assistant", "content": [{**USE, "caller": None}]}, result()],
     PLAIN),
    ("thinking in content", [user("a"), {"role": "assistant", "content": [
        {"type": "reasoning", "text": "hm", "signature": "c2ln"}, USE]}, result()],
     [user("a"), called(call(), thinking_blocks=[{"type": "thinking", "thinking": "hm", "signature": "c2ln"}]),
      result()]),
    ("items", [{"type": "message", **user({"type": "input_text", "text": "a"})}, ITEM, OUTPUT], PLAIN),
    ("items of two calls", [user("a"), ITEM, {**ITEM, "call_id": "d"}, OUTPUT, {**OUTPUT, "call_id": "d"}, user("b")],
     TWO),
    ("a message and a call", [user("a"), {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
                                          "content": [{"type": "output_text", "text": "hi"}]}, ITEM, OUTPUT],
     [user("a"), called(call(), content="hi"), result()]),
    ("calls after results", [user("a"), ITEM, OUTPUT, {**ITEM, "call_id": "d"}, {**OUTPUT, "call_id": "d"}],
     [user("a"), called(call()), result(), called(call("d")), result("d")]),
    ("a custom call", [user("a"), {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"},
                       {"type": "custom_tool_call_output", "call_id": "c", "output": "r"}],
     [user("a"), called(CUSTOM), result()]),
    ("output in parts", [user("a"), ITEM, {**OUTPUT, "output": [{"type": "input_text", "text": "r"}]}], PLAIN),
    ("flat calls", [user("a"), called({"id": "c", "type": "function", "name": "f", "arguments": '{"a":1}'}), result()],
     PLAIN),
    ("calls of Responses", [user("a"), called({"type": "function_call", "call_id": "c", "name": "f",
                                               "arguments": '{"a":1}'}), result()], PLAIN),
    ("calls of Claude", [user("a"), called(USE), result()], PLAIN),
    ("other roles", [{"role": "human", "content": "a"}, {**called(call()), "role": "ai"}, result()], PLAIN),
    ("roles in capitals", [{"role": "User", "content": "a"}, {**called(call()), "role": "Model"}, result()], PLAIN),
    ("other names of the id", [*PLAIN[:2], {"role": "tool", "tool_use_id": "c", "content": "r"}], PLAIN),
    ("a function with a call's id", [*PLAIN[:2], {"role": "function", "tool_call_id": "c", "content": "r"}], PLAIN),
    ("what SDKs add to a reply", [user("a"), called({**call(), "index": 0, "function": {
        **call()["function"], "parsed_arguments": {"a": 1}}}, annotations=[], audio=None, refusal=None, parsed=None,
        function_call=None, provider_specific_fields=None, images=[]), result()], PLAIN),
    ("MCP's result of a call",
     [*PLAIN[:2], result(content={"content": [{"type": "text", "text": "r"}], "isError": False})], PLAIN),
    ("images beside the content", [{"role": "user", "content": "hi", "images": [PNG]}], [user(HI, PICTURE)]),
    ("images beside parts", [{"role": "user", "content": [HI], "images": [PNG]}], [user(HI, PICTURE)]),
    ("images beside one part", [{"role": "user", "content": HI, "images": [PNG]}], [user(HI, PICTURE)]),
    ("images alone", [{"role": "user", "images": [PNG]}], [user(PICTURE)]),
    ("a system message in parts", [{"role": "system", "content": [{"type": "input_text", "text": "s"}]}, user("a")],
     [{"role": "system", "content": [{"type": "text", "text": "s"}]}, user("a")]),
    ("one part of a developer", [{"role": "developer", "content": HI}, user("a")],
     [{"role": "system", "content": "hi"}, user("a")]),
    ("a system message without content", [{"role": "system", "content": None}, {**user("a"), "type": "message"}],
     [{"role": "system", "content": None}, user("a")]),
    ("no content beside a foreign tool", [user("a"), {"role": "assistant"}, {**user("b"), "type": "message"}],
     [user("a"), {"role": "assistant"}, user("b")]),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "plain"), [m[1:] for m in MESSAGES], ids=[m[0] for m in MESSAGES])
def test_foreign_messages_are_sent_as_plain_ones(messages: list[Json], plain: list[Json]) -> None:
    assert upstream({"messages": messages}) == upstream({"messages": plain})
    assert told({"messages": messages}) == told({"messages": plain})
    assert upstream({"input": messages}) == upstream({"messages": plain})


def test_a_result_that_is_an_error_stays_one() -> None:
    for messages in (
        [*PLAIN[:2], user({**ANSWER, "is_error": True})],
        [*PLAIN[:2], {**result(), "is_error": True}],
        [*PLAIN[:2], result(content={"content": [{"type": "text", "text": "r"}], "isError": True})],
    ):
        block = upstream({"messages": messages})["messages"][2]["content"][0]
        assert (block["content"], block["is_error"]) == ("r", True)


def test_a_breakpoint_stays_on_its_block() -> None:
    messages = [user("a"), {"role": "assistant", "content": [{**USE, "cache_control": EPHEMERAL}]},
                user({**ANSWER, "cache_control": EPHEMERAL})]  # fmt: skip
    _, use, answer = upstream({"messages": messages})["messages"]
    assert use["content"][0]["cache_control"] == answer["content"][0]["cache_control"] == EPHEMERAL


#: Omissions that leave nothing to doubt: the messages, and the notice.
OMISSIONS: list[tuple[str, list[Any], str]] = [
    ("no type", [user("a"), called({"id": "c", "function": call()["function"]}), result()],
     "changed=messages.1.tool_calls.0.type"),
    ("no type, flat", [user("a"), called({"id": "c", "name": "f", "args": {"a": 1}}), result()],
     "changed=messages.1.tool_calls.0.type"),
    ("arguments as an object",
     [user("a"), called({**call(), "function": {"name": "f", "arguments": {"a": 1}}}), result()],
     "changed=messages.1.tool_calls.0.function.arguments"),
    ("flat arguments as an object",
     [user("a"), called({"id": "c", "type": "function", "name": "f", "arguments": {"a": 1}}), result()],
     "changed=messages.1.tool_calls.0.arguments"),
    ("no id of the call", [*PLAIN[:2], {"role": "tool", "content": "r"}], "changed=messages.2.tool_call_id"),
    ("no id of the call but its name", [*PLAIN[:2], {"role": "tool", "name": "f", "content": "r"}],
     "changed=messages.2.tool_call_id"),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "notice"), [o[1:] for o in OMISSIONS], ids=[o[0] for o in OMISSIONS])
def test_an_omission_is_filled_in_with_a_notice(messages: list[Json], notice: str) -> None:
    assert upstream({"messages": messages}) == upstream({"messages": PLAIN})
    assert notice in told({"messages": messages})


@pytest.mark.parametrize("value", [{"a": 1}, {"type": "odd"}, 5, 1.5, True, [1, {"a": 1}], [], {"content": 1}])
def test_a_result_that_is_no_text_is_sent_as_json(value: Any) -> None:
    import msgspec

    messages = [*PLAIN[:2], result(content=value)]
    plain = [*PLAIN[:2], result(content=msgspec.json.encode(value).decode() if value != [] else [])]
    assert upstream({"messages": messages}) == upstream({"messages": plain})
    assert ("changed=messages.2.content" in told({"messages": messages})) == (value != [])


def test_a_custom_call_without_a_type_is_one() -> None:
    messages = [user("a"), called({"id": "c", "custom": {"name": "f", "input": "x"}}), result()]
    assert upstream({"messages": messages}) == upstream({"messages": [user("a"), called(CUSTOM), result()]})


def test_numbers_as_ids_are_the_same_text() -> None:
    messages = [user("a"), called({**call(), "id": 7}), result(7)]  # type: ignore[arg-type]
    assert upstream({"messages": messages}) == upstream({"messages": [user("a"), called(call("7")), result("7")]})


def test_the_legacy_call_may_have_an_object() -> None:
    messages = [user("a"), {"role": "assistant", "function_call": {"name": "f", "arguments": {"a": 1}}},
                {"role": "function", "name": "f", "content": "r"}]  # fmt: skip
    plain = [messages[0], {"role": "assistant", "function_call": call()["function"]}, messages[2]]
    assert upstream({"messages": messages}) == upstream({"messages": plain})
    assert "changed=messages.1.function_call.arguments" in told({"messages": messages})


def test_a_call_may_stand_without_a_list() -> None:
    messages = [user("a"), {"role": "assistant", "tool_calls": call()}, result()]
    assert upstream({"messages": messages}) == upstream({"messages": PLAIN})


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
FREE = {"type": "custom", "custom": {"name": "f", "description": "d"}}
FLAT = {"name": "f", "description": "d"}
TOOLS: list[tuple[Json, Json]] = [
    ({**FLAT, "input_schema": SCHEMA}, FUNCTION),
    ({**FLAT, "input_schema": SCHEMA, "type": "custom"}, FUNCTION),
    ({**FLAT, "input_schema": SCHEMA, "type": None}, FUNCTION),
    ({**FLAT, "inputSchema": SCHEMA}, FUNCTION),
    ({**FLAT, "parameters": SCHEMA}, FUNCTION),
    ({**FLAT, "parameters": SCHEMA, "type": "function"}, FUNCTION),
    ({**FLAT, "parameters": SCHEMA, "type": "", "strict": False}, FUNCTION),
    ({"type": "function", "function": {**FLAT, "input_schema": SCHEMA}}, FUNCTION),
    ({"type": None, "function": {**FLAT, "parameters": SCHEMA}}, FUNCTION),
    ({**FLAT, "type": "function"}, {"type": "function", "function": FLAT}),
    ({**FLAT, "input_schema": SCHEMA, "cache_control": EPHEMERAL}, {**FUNCTION, "cache_control": EPHEMERAL}),
    ({**FLAT, "type": "custom"}, FREE),
    ({**FLAT, "type": "custom", "format": {"type": "text"}}, FREE),
    ({**FREE, "type": "custom"}, FREE),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "plain"), TOOLS)
def test_a_foreign_tool_is_sent_as_the_plain_one(tool: Json, plain: Json) -> None:
    for tools in ([tool], tool):
        fields = {"tools": tools, "tool_choice": {"type": "tool", "name": "f"}}
        choice = plain["type"]
        assert upstream(fields) == upstream({"tools": [plain], "tool_choice": {"type": choice, choice: {"name": "f"}}})
        assert told(fields) == []


def test_a_legacy_function_may_have_anthropics_schema() -> None:
    assert upstream({"functions": [{**FLAT, "input_schema": SCHEMA}]}) == upstream(
        {"functions": [FUNCTION["function"]]}
    )


NAMED = {"type": "function", "function": {"name": "f"}}
CHOICES: list[tuple[Any, Any]] = [
    ({"type": "auto"}, "auto"),
    ({"type": "any"}, "required"),
    ({"type": "none"}, "none"),
    ({"type": "tool", "name": "f"}, NAMED),
    ({"type": "function", "name": "f"}, NAMED),
    ({"function": {"name": "f"}}, NAMED),
    ({"name": "f"}, NAMED),
    ("f", NAMED),
    ({"type": "custom", "name": "f"}, NAMED),
    ({"type": "allowed_tools", "tools": [{"type": "function", "name": "f"}]},
     {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}}),
]  # fmt: skip


@pytest.mark.parametrize(("choice", "plain"), CHOICES)
def test_a_foreign_choice_is_the_plain_one(choice: Any, plain: Any) -> None:
    fields = {"tools": [FUNCTION]}
    assert upstream({**fields, "tool_choice": choice}) == upstream({**fields, "tool_choice": plain})
    if isinstance(choice, dict):
        single = {**choice, "disable_parallel_tool_use": True}
        expected = {**fields, "tool_choice": plain, "parallel_tool_calls": False}
        assert upstream({**fields, "tool_choice": single}) == upstream(expected)
        assert told({**fields, "tool_choice": single}) == []


SEARCH = {"type": "web_search_20250305", "name": "web_search"}
HERE = {"type": "approximate", "city": "Bern", "country": "CH"}
SEARCHES: list[tuple[Json, Json]] = [
    ({"type": "web_search_20250305", "name": "web_search"}, {}),
    ({"type": "web_search_20250305", "name": "web_search", "max_uses": 2}, {"max_uses": 2}),
    ({"type": "WEB_SEARCH-20250305"}, {}),
    ({"type": "web_search"}, {}),
    ({"type": "web_search_2025_08_26", "filters": {"allowed_domains": ["a.com"]}}, {"allowed_domains": ["a.com"]}),
    ({"type": "web_search_preview", "search_context_size": "medium", "user_location": HERE}, {"user_location": HERE}),
    ({"type": "web_search_preview_2025_03_11"}, {}),
    ({"type": "google_search"}, {}),
    ({"google_search": {}}, {}),
    ({"googleSearch": {}}, {}),
    ({"google_search_retrieval": None}, {}),
    ({"type": "web_search", "web_search": {"max_uses": 1}}, {"max_uses": 1}),
    ({"type": "openrouter:web_search"}, {}),
    ({**SEARCH, "blocked_domains": ["a.com"]}, {"blocked_domains": ["a.com"]}),
    ({**SEARCH, "cache_control": EPHEMERAL}, {"cache_control": EPHEMERAL}),
    ({**SEARCH, "user_location": {"type": "approximate", "approximate": {"city": "Bern"}}},
     {"user_location": {"type": "approximate", "city": "Bern"}}),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "options"), SEARCHES)
def test_every_spelling_of_web_search_is_the_server_tool(tool: Json, options: Json) -> None:
    (function,) = upstream({"tools": [FUNCTION]})["tools"]
    for tools, others in (([tool], []), ([tool, FUNCTION], [function]), ([FUNCTION, tool, tool], [function])):
        assert upstream({"tools": tools})["tools"] == [*others, {**SEARCH, **options}]
        assert told({"tools": tools}) == []


@pytest.mark.parametrize("kind", ["web_search_20260209", "web_search_20260318", "web_search-20240101"])
def test_another_version_of_web_search_is_told(kind: str) -> None:
    tool = {"type": kind, "name": "web_search", "max_uses": 2}
    assert upstream({"tools": [tool]})["tools"] == [{**SEARCH, "max_uses": 2}]
    assert told({"tools": [FUNCTION, tool]}) == ["changed=tools.1.type"]
    assert told({"tools": [tool], "web_search_options": {"max_uses": 2}}) == ["changed=tools.0.type"]
    (notice,) = prepared({"tools": [tool]}).notices
    assert "web_search_20250305" in notice.reason
    for unused in ({"tools": [tool], "tool_choice": "none"}, {"tools": [{**tool, "enabled": False}]}):
        assert (upstream(unused).get("tools"), told(unused)) == (None, [])


@pytest.mark.parametrize("choice", [
    {"type": "web_search_preview"}, {"type": "tool", "name": "web_search"}, {"type": "web_search_20250305"},
    {"type": "function", "function": {"name": "web_search"}},
])  # fmt: skip
def test_web_search_can_be_chosen(choice: Json) -> None:
    for tools in ([SEARCH], [FUNCTION, SEARCH]):
        assert upstream({"tools": tools, "tool_choice": choice})["tool_choice"] == {
            "type": "tool",
            "name": "web_search",
        }


def test_any_tool_may_be_the_search_and_none_forbids_it() -> None:
    assert upstream({"tools": [SEARCH], "tool_choice": "required"})["tool_choice"] == {"type": "any"}
    for choice in ("none", {"type": "none"}):
        assert "tools" not in upstream({"tools": [SEARCH], "tool_choice": choice})


FIELDS: list[tuple[Json, Json]] = [
    ({"stop_sequences": ["a"]}, {"stop": ["a"]}),
    ({"stop_sequences": None}, {}),
    ({"stop_sequences": ["a"], "stop": ["a"]}, {"stop": ["a"]}),
    ({"tools": [{**SEARCH, "max_uses": 1}], "web_search_options": {"max_uses": 1}},
     {"web_search_options": {"max_uses": 1}}),
    ({"max_output_tokens": 50}, {"max_tokens": 50}),
    ({"system": "s"}, {"messages": [{"role": "system", "content": "s"}, user("hi")]}),
    ({"system": [{**HI, "cache_control": EPHEMERAL}]},
     {"messages": [{"role": "system", "content": [{**HI, "cache_control": EPHEMERAL}]}, user("hi")]}),
    ({"system": "s", "messages": [{"role": "system", "content": "t"}, user("hi")]},
     {"messages": [{"role": "system", "content": "s"}, {"role": "system", "content": "t"}, user("hi")]}),
    ({"system": ""}, {}),
    ({"instructions": "s", "input": "hi"}, {"messages": [{"role": "system", "content": "s"}, user("hi")]}),
    ({"input": [{"role": "user", "content": "hi"}]}, {}),
    ({"anthropic_version": "2023-06-01", "mcp_servers": [], "container": None}, {}),
    ({"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}},
     {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}}),
    ({"text": {"format": {"type": "text"}, "verbosity": "medium"}}, {}),
    ({"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": None}},
     {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}),
    ({"output_format": {"type": "json_schema", "schema": SCHEMA}},
     {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}),
    ({"response_format": "json_object"}, {"response_format": {"type": "json_object"}}),
    *(({"response_format": {"type": "json_object", name: SCHEMA}},
       {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}})
      for name in ("schema", "response_schema", "json_schema")),
    ({"response_format": {"type": "json_object", "json_schema": {"name": "n", "schema": SCHEMA}}},
     {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}}),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "response_schema": SCHEMA}}},
     {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}}),
    ({"thinking": {"type": "enabled", "budgetTokens": 2000}}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    ({"reasoning": {"maxTokens": 2000}}, {"reasoning": {"max_tokens": 2000}}),
    ({"thinking": {"type": "adaptive", "effort": "low"}},
     {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "plain"), FIELDS)
def test_a_foreign_field_is_the_plain_one(fields: Json, plain: Json) -> None:
    assert upstream(fields) == upstream(plain)
    assert told(fields) == told(plain)


def test_switches_of_thinking_say_that_they_were_changed() -> None:
    for value, plain in ((True, {"type": "enabled"}), (False, {"type": "disabled"})):
        assert upstream({"thinking": value}) == upstream({"thinking": plain})
        assert told({"thinking": value}) == ["changed=thinking"]


@pytest.mark.parametrize("field", ["legacy", "system"])
def test_the_names_in_a_request_for_a_model_are_the_clients(field: str) -> None:
    done = prepared({"max_output_tokens": 10**9})
    assert body_of(done)["max_tokens"] < 10**9
    assert [notice.field for notice in done.notices] == ["max_output_tokens"], field
