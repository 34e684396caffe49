"""Risk: ids, arguments and results of a tool history are rejected upstream or paired wrongly."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from support.blocks import PNG, USER, Json, assistant, text, tool, tool_call, tool_result, tool_use, user
from support.chat import chat
from support.pictures import image_part

pytestmark = pytest.mark.usefixtures("no_waiting")


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
async def test_e40_arguments_that_are_not_an_object_are_wrapped(arguments: str | None, sent: Json) -> None:
    """A history with empty, cut or senseless arguments: an object upstream, never a 500, never a lost call."""
    got = await chat(
        messages=[USER, assistant(tool_calls=[tool_call(arguments=arguments)]), tool_result()], tools=[tool()]
    )
    assert got.status == 200
    assert got.turns[1]["content"] == [{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": sent}]
    expected = ["changed=messages.1.tool_calls.0.function.arguments"] if "arguments" in sent else []
    assert got.notices == expected


async def test_e40_a_lone_surrogate_in_arguments_is_not_a_crash() -> None:
    """Arguments with half of a surrogate pair, which UTF-8 cannot encode."""
    cut = tool_call(arguments='{"city": "\\ud83d"}')
    got = await chat(messages=[USER, assistant(tool_calls=[cut]), tool_result()], tools=[tool()])
    assert got.status == 200
    assert got.turns[1]["content"][0]["input"] == {"city": "\ufffd"}
    assert got.notices == ["changed=messages.1.tool_calls.0.function.arguments"]


RESULTS = [tool_result("a", "1"), tool_result("b", "2"), tool_result("c", "3")]


CALLS = assistant(tool_calls=[tool_call("a"), tool_call("b"), tool_call("c")])


@pytest.mark.parametrize("order", [[*RESULTS, user("So?")], [RESULTS[0], user("So?"), *RESULTS[1:]]])
async def test_e41_results_are_one_turn_and_come_first(order: list[Json]) -> None:
    """Three results and a question, in any order: one user turn, the results first."""
    got = await chat(messages=[USER, CALLS, *order], tools=[tool()])
    assert len(got.turns) == 3
    assert got.turns[2]["role"] == "user"
    assert [b.get("tool_use_id") for b in got.turns[2]["content"]] == ["a", "b", "c", None]
    assert [b.get("content") or b["text"] for b in got.turns[2]["content"]] == ["1", "2", "3", "So?"]


async def test_e42_missing_and_unknown_results_are_repaired() -> None:
    """No result: an error as result. A result without a call: text, and a notice. The same id twice: made unique, each
    call with its own result."""
    got = await chat(messages=[USER, CALLS, RESULTS[1], USER], tools=[tool()])
    blocks = got.turns[2]["content"]
    assert [b.get("tool_use_id") for b in blocks] == ["b", "a", "c", None]
    assert [b.get("is_error", False) for b in blocks] == [False, True, True, False]
    assert got.notices == ["added=messages"]
    got = await chat(messages=[USER, tool_result("gone", "secret of the deep")], tools=[tool()])
    assert {b["type"] for b in got.turns[0]["content"]} == {"text"}
    assert got.turns[0]["content"][-1]["text"] == "secret of the deep"
    assert got.notices == ["changed=messages.1.tool_call_id"]
    twice = assistant(tool_calls=[tool_call("a"), tool_call("a", arguments='{"city":"Rome"}')])
    got = await chat(messages=[USER, twice, tool_result("a", "1"), tool_result("a", "2")], tools=[tool()])
    ids = [b["id"] for b in got.turns[1]["content"]]
    assert len(set(ids)) == 2
    assert [(b["tool_use_id"], b["content"]) for b in got.turns[2]["content"]] == [(ids[0], "1"), (ids[1], "2")]
    got = await chat(
        messages=[USER, assistant(tool_calls=[tool_call("a")]), tool_result("a", "1"), tool_result("a", "2")],
        tools=[tool()],
    )
    first, *rest = got.turns[2]["content"]
    assert (first["tool_use_id"], first["content"], rest[-1]) == ("a", "1", text("2"))
    assert got.notices == ["changed=messages.3.tool_call_id"]


@pytest.mark.parametrize("content", ["", None, [], [text(" ")]], ids=repr)
async def test_e43_an_empty_result_is_sent(content: Any) -> None:
    """A tool that returns nothing: the result is there, and empty."""
    got = await chat(messages=[USER, assistant(tool_calls=[tool_call()]), tool_result(content=content)], tools=[tool()])
    assert got.turns[2]["content"] == [{"type": "tool_result", "tool_use_id": "toolu_1"}]


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}


PDF = base64.b64encode(b"%PDF-1.4 small").decode()


async def test_e43_a_result_may_hold_an_image_and_a_document() -> None:
    """A screenshot and a PDF from a tool are sent inside its result, in order, with the text between."""
    file = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}}
    content = [image_part(f"data:image/png;base64,{PNG}"), text("and"), file]
    got = await chat(messages=[USER, assistant(tool_calls=[tool_call()]), tool_result(content=content)], tools=[tool()])
    document = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
        "title": "a.pdf",
    }
    assert got.turns[2]["content"][0]["content"] == [IMAGE, text("and"), document]


async def test_e44_text_next_to_tool_calls_is_sent() -> None:
    """A message with text and tool calls is sent with both, the text first."""
    got = await chat(messages=[USER, assistant("I look.", tool_calls=[tool_call()]), tool_result()], tools=[tool()])
    assert got.turns[1]["content"] == [text("I look."), tool_use()]


@pytest.mark.parametrize("id", ["functions.Bash:0", "a.b", "a:b", "größe", "x" * 200, ""], ids=repr)
async def test_e63_ids_of_other_providers_become_legal(id: str) -> None:
    """Ids with odd characters, too long or empty: the same legal one on call and result, and on every later turn."""
    messages = [USER, assistant(tool_calls=[tool_call(id)]), tool_result(id)]
    got = await chat(messages=messages, tools=[tool()])
    (used,), (result,) = got.turns[1]["content"], got.turns[2]["content"]
    assert used["id"] == result["tool_use_id"] != id
    later = await chat(
        messages=[*messages, assistant(tool_calls=[tool_call("other")]), tool_result("other")], tools=[tool()]
    )
    assert later.turns[1:3] == got.turns[1:3]
    cleaned = "".join(c if c.isascii() and c.isalnum() else "_" for c in id)
    assert used["id"].startswith(cleaned[:20]), "what the id said can still be read"


async def test_e63_legal_ids_are_unchanged_and_others_distinct() -> None:
    """Ids that differ only in illegal characters do not become one; legal ones are not rewritten."""
    ids = ["a.b", "a:b", "a_b", "call_abc-1"]
    messages = [USER, assistant(tool_calls=[tool_call(id) for id in ids]), *(tool_result(id, id) for id in ids)]
    got = await chat(messages=messages, tools=[tool()])
    sent = [block["id"] for block in got.turns[1]["content"]]
    assert len(set(sent)) == 4
    assert sent[2:] == ["a_b", "call_abc-1"]
    assert [(b["tool_use_id"], b["content"]) for b in got.turns[2]["content"]] == list(zip(sent, ids, strict=True))
