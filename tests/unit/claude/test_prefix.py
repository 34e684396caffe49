"""Risk: a broken prefix that is not seen, or one that is reported where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.claude.prefix import first_difference, prompt_sequence
from modelmux.wire.anthropic import MessagesRequest
from support.translation import SONNET, translate

Json = dict[str, Any]
HI: Json = {"role": "user", "content": "Hi"}
HELLO: Json = {"role": "assistant", "content": "Hello"}
SYSTEM: Json = {"role": "system", "content": "Be brief."}
TOOL: Json = {"type": "function", "function": {"name": "look"}}
OTHER: Json = {"type": "function", "function": {"name": "listen"}}
MARK: Json = {"cache_control": {"type": "ephemeral"}}
CALL: Json = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look"}}]}


def body(*messages: Json, **fields: Any) -> MessagesRequest:
    return translate({"messages": list(messages), **fields}, SONNET).body


def text(value: str, **fields: Any) -> Json:
    return {"type": "text", "text": value, **fields}


def result(*parts: Json) -> Json:
    return {"role": "tool", "tool_call_id": "c", "content": list(parts)}


def test_the_sequence_is_what_anthropic_reads_without_markers() -> None:
    read = prompt_sequence(body(SYSTEM, HI, HELLO, HI, tools=[TOOL]))
    assert [(kind, block.get("text", block.get("name"))) for kind, block in read] == [
        ("tool", "look"),
        ("system prompt", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Hi"),
    ]
    assert all("cache_control" not in block for _, block in read)


EXTENDS: list[tuple[str, MessagesRequest, MessagesRequest]] = [
    ("the same", body(HI), body(HI)),
    ("a turn more", body(HI), body(HI, HELLO, HI)),
    ("turns of one side are merged", body(HI), body(HI, HI)),
    ("tools and system stay", body(SYSTEM, HI, tools=[TOOL]), body(SYSTEM, HI, HELLO, HI, tools=[TOOL])),
    ("a marker moved on", body(HI | MARK), body(HI, HELLO, HI | MARK)),
    ("a marker moved out of a result of many parts", body(HI, CALL, result(text("a"), text("b", **MARK)), tools=[TOOL]),
     body(HI, CALL, result(text("a"), text("b")), HELLO, HI | MARK, tools=[TOOL])),
    ("a marker moved out of a result of one part", body(HI, CALL, result(text("a", **MARK)), tools=[TOOL]),
     body(HI, CALL, result(text("a")), HELLO, HI | MARK, tools=[TOOL])),
    ("a marker moved off a result", body(HI, CALL, result(text("a")) | MARK, tools=[TOOL]),
     body(HI, CALL, result(text("a")), HELLO, HI | MARK, tools=[TOOL])),
]  # fmt: skip


@pytest.mark.parametrize(("earlier", "later"), [e[1:] for e in EXTENDS], ids=[e[0] for e in EXTENDS])
def test_an_extension_is_one(earlier: MessagesRequest, later: MessagesRequest) -> None:
    assert first_difference(earlier, later) is None


DIFFERS: list[tuple[str, MessagesRequest, MessagesRequest, str]] = [
    ("shorter", body(HI, HELLO, HI), body(HI), "block 1 (assistant) is missing"),
    ("another answer", body(HI, HELLO, HI), body(HI, HELLO | {"content": "Hallo"}, HI),
     'block 1 differs: was assistant {"type":"text","text":"Hello"}, is assistant {"type":"text","text":"Hallo"}'),
    ("a turn before", body(HI), body(HELLO, HI),
     'block 0 differs: was user {"type":"text","text":"Hi"}, is user {"type":"text","text":"Begin."}'),
    ("a system prompt more", body(HI), body(SYSTEM, HI), "block 0 differs: was user"),
    ("a tool less", body(SYSTEM, HI, tools=[TOOL]), body(SYSTEM, HI), "block 0 differs: was tool"),
    ("a tool more", body(SYSTEM, HI, tools=[TOOL]), body(SYSTEM, HI, tools=[TOOL, OTHER]),
     "block 1 differs: was system prompt"),
    ("tools in another order", body(HI, tools=[TOOL, OTHER]), body(HI, tools=[OTHER, TOOL]), "block 0 differs"),
    ("text that looks like a marker", body({"role": "user", "content": "cache_control"}), body(HI), "block 0 differs"),
    ("another result", body(HI, CALL, result(text("a")), tools=[TOOL]),
     body(HI, CALL, result(text("b")), tools=[TOOL]), "block 3 differs"),
    ("a result of one text and the same in two", body(HI, CALL, result(text("ab")), tools=[TOOL]),
     body(HI, CALL, result(text("a"), text("b")), tools=[TOOL]), "block 3 differs"),
    ("no result and an error", body(HI, CALL, result(), tools=[TOOL]), body(HI, CALL, HI, tools=[TOOL]),
     "block 3 differs"),
]  # fmt: skip


@pytest.mark.parametrize(("earlier", "later", "says"), [d[1:] for d in DIFFERS], ids=[d[0] for d in DIFFERS])
def test_a_difference_is_shown_where_it_begins(earlier: MessagesRequest, later: MessagesRequest, says: str) -> None:
    found = first_difference(earlier, later)
    assert found is not None
    assert found.startswith(says)


def test_keys_of_a_schema_in_another_order_are_another_prompt() -> None:
    """The bytes of the prompt differ, although the JSON values are equal."""
    properties = [
        {"a": {"type": "string"}, "b": {"type": "string"}},
        {"b": {"type": "string"}, "a": {"type": "string"}},
    ]
    earlier, later = (
        body(HI, tools=[{"type": "function", "function": {"name": "look", "parameters": {"properties": p}}}])
        for p in properties
    )
    assert first_difference(earlier, later) is not None


def test_long_blocks_are_shown_in_short() -> None:
    found = first_difference(body(HI | {"content": "x" * 500}), body(HI))
    assert found is not None
    assert "x" * 90 in found
    assert "…, is user" in found
    assert len(found) < 300


def test_a_result_of_two_texts_is_not_its_first_text() -> None:
    def turns(*said: str) -> dict[str, Any]:
        parts = [{"type": "text", "text": text} for text in said]
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        return {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call]},
                             {"role": "tool", "tool_call_id": "c", "content": parts}]}  # fmt: skip

    assert first_difference(translate(turns("a", "b")).body, translate(turns("a", "c")).body) is not None


def test_what_is_shown_whole_has_no_ellipsis() -> None:
    frame = len('{"type":"text","text":""}')
    for length, cut in [(120, False), (121, True)]:
        earlier = body({"role": "user", "content": "x" * (length - frame)})
        found = first_difference(earlier, body(HI)) or ""
        assert ("…, is user" in found) is cut
