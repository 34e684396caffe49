"""Risk: an item of the history that is lost, reordered, or makes the upstream refuse the conversation."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from modelmux.claude.conversation import NO_CONTENT, NO_RESULT
from modelmux.dialects.base import DialectOptions
from modelmux.dialects.openai_responses.entries import MAX_ITEMS
from modelmux.dialects.openai_responses.item_support import ITEM_SUPPORT, NEVER_LAST
from modelmux.errors import InvalidRequest
from modelmux.wire.openai.responses_items import MAX_ITEM_DEPTH
from support.responses_requests import (
    PNG,
    Json,
    assistant,
    call,
    compaction,
    notices,
    output,
    reasoning,
    request_of,
    run,
    turns,
    user,
)

THINKING = {"type": "thinking", "thinking": "hm resp_1 0", "signature": "sig-resp_1-0"}


def text(value: str) -> Json:
    return {"type": "text", "text": value}


def use(id: str = "c1", name: str = "f", **value: Any) -> Json:
    return {"type": "tool_use", "id": id, "name": name, "input": value}


def result(id: str = "c1", content: Any = "r", **fields: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": id, "content": content, **fields}


def asked(*blocks: Json) -> Json:
    return {"role": "user", "content": list(blocks)}


def said(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def refused(*items: Json) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        turns(items)
    return caught.value


def test_a_reply_of_several_items_is_one_turn() -> None:
    items = [user("go"), reasoning(), assistant("ok"), call("c1"), call("c2"), output("c1"), output("c2", "s")]
    assert turns(items) == [
        asked(text("go")), said(THINKING, text("ok"), use("c1"), use("c2")), asked(result("c1"), result("c2", "s")),
    ]  # fmt: skip
    assert request_of({"input": items}).thinking_runs == (run(),)


def test_easy_messages_have_no_type() -> None:
    items = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert turns(items) == [asked(text("a")), said(text("b")), asked(text("c"))]


def test_a_message_may_follow_the_calls_of_its_reply() -> None:
    items = [user("go"), call(), assistant("done"), output()]
    assert turns(items) == [asked(text("go")), said(use(), text("done")), asked(result())]


def test_blank_messages_around_calls_are_left_out() -> None:
    items = [
        user("go"),
        assistant(""),
        call("c1"),
        assistant(" "),
        output("c1"),
        assistant(""),
        call("c2"),
        output("c2"),
    ]
    assert turns(items) == [
        asked(text("go")), said(use("c1")), asked(result("c1")), said(use("c2")), asked(result("c2")),
    ]  # fmt: skip


def test_a_blank_message_between_results_answers_nothing() -> None:
    items = [user("go"), call("c1"), call("c2"), output("c1"), assistant(""), output("c2")]
    assert turns(items) == [asked(text("go")), said(use("c1"), use("c2")), asked(result("c1"), result("c2"))]


def test_an_empty_reply_after_a_late_system_message() -> None:
    items = [user("a"), {"role": "system", "content": "s"}, assistant(""), user("b")]
    assert [turn["role"] for turn in turns(items)] == ["user", "system", "assistant", "user"]


def test_late_system_messages_keep_their_place() -> None:
    items = [user("a"), assistant("b"), user("c"), {"role": "developer", "content": "s"}]
    request = request_of({"input": items})
    assert request.late_system[0].fields == ("input.3.role",)
    assert turns([user("a"), {"role": "developer", "content": " "}]) == [asked(text("a"))]


def test_leading_system_messages_may_follow_tools() -> None:
    tools = {"type": "additional_tools", "tools": [], "role": "developer"}
    items = [tools, {"role": "developer", "content": "s"}, user("a")]
    assert [b.text for b in request_of({"input": items}).body.system or ()] == ["s"]


def test_what_is_missing_is_repaired() -> None:
    assert turns([user("a"), output("zz", "lost")])[0]["content"][-1] == text("lost")
    items = [user("a"), call("c1"), assistant("x"), user("b")]
    assert turns(items)[-1] == asked(result("c1", NO_RESULT, is_error=True), text("b"))
    assert turns([{"role": "user", "content": ""}]) == [asked(text(NO_CONTENT))]


def test_of_two_calls_with_one_id_the_first_counts() -> None:
    items = [user("a"), call("c1"), call("c1", "g"), output("c1")]
    assert turns(items) == [asked(text("a")), said(use("c1")), asked(result("c1"))]
    assert ("dropped", "input.2") in notices({"input": items})


def test_calls_without_an_id_are_not_the_same() -> None:
    items = [user("a"), {**call(), "call_id": None}, {**call(), "call_id": ""}, output(""), output("")]
    assert [len(turn["content"]) for turn in turns(items)] == [1, 2, 2]


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("text", "text"),
        ("", None),
        (None, None),
        ([], None),
        ([{"type": "input_text", "text": "x"}], "x"),
        ([{"type": "text", "text": "x"}, {"type": "output_text", "text": "y"}], [text("x"), text("y")]),
        ({"a": 1}, '{"a": 1}'),
        ([1, 2], "[1, 2]"),
        ([{"type": "image", "data": "x"}], '[{"type": "image", "data": "x"}]'),
        ([{"a": 1}], '[{"a": 1}]'),
        (7, "7"),
    ],
)
def test_outputs_of_any_kind(value: Any, content: Any) -> None:
    (block,) = turns([user("a"), call(), output("c1", value)])[-1]["content"]
    assert block == (result("c1", content) if content is not None else {"type": "tool_result", "tool_use_id": "c1"})


def test_an_output_without_any_is_empty() -> None:
    items = [user("a"), call(), {"type": "function_call_output", "call_id": "c1"}]
    assert turns(items)[-1]["content"] == [{"type": "tool_result", "tool_use_id": "c1"}]


def test_an_incomplete_output_is_an_error() -> None:
    assert turns([user("a"), call(), output(status="incomplete")])[-1]["content"] == [result(is_error=True)]


def test_custom_calls() -> None:
    items = [
        user("a"),
        {"type": "custom_tool_call", "call_id": "c1", "name": "exec", "input": "ls"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "r"}]},
    ]
    assert turns(items) == [asked(text("a")), said(use("c1", "exec", input="ls")), asked(result())]


def test_local_tools() -> None:
    items = [
        user("a"),
        {"type": "local_shell_call", "id": "l1", "call_id": "c1", "action": {"type": "exec", "command": ["ls"]}},
        {"type": "local_shell_call_output", "id": "c1", "output": "r"},
        {"type": "shell_call", "call_id": "c2", "action": {"commands": ["ls"], "timeout_ms": None}},
        {"type": "shell_call_output", "call_id": "c2", "output": [
            {"stdout": "out", "stderr": "err", "outcome": {"type": "exit", "exit_code": 1}},
            {"stdout": "", "stderr": "", "outcome": {"type": "timeout"}}, {"stdout": "x"},
        ]},
        {"type": "apply_patch_call", "call_id": "c3", "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "call_id": "c3", "status": "failed", "output": "no such file"},
        {"type": "shell_call", "call_id": "c4"},
        {"type": "shell_call_output", "call_id": "c4", "output": "plain"},
        {"type": "shell_call", "call_id": "c5"},
        {"type": "shell_call_output", "call_id": "c5", "output": [{}]},
    ]  # fmt: skip
    shell = "out\nstderr:\nerr\nExit code: 1\n\nThe command timed out.\n\nx"
    assert turns(items)[1:] == [
        said(use("c1", "local_shell", command=["ls"])), asked(result("c1")),
        said(use("c2", "shell", commands=["ls"])), asked(result("c2", shell)),
        said(use("c3", "apply_patch", type="delete_file", path="a")),
        asked(result("c3", "no such file", is_error=True)),
        said(use("c4", "shell")), asked(result("c4", "plain")),
        said(use("c5", "shell")), asked({"type": "tool_result", "tool_use_id": "c5"}),
    ]  # fmt: skip


def test_images_and_files() -> None:
    pdf = base64.b64encode(b"%PDF-1.7").decode()
    parts = [
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "input_image", "image_url": {"url": "https://example.com/a.png"}, "detail": "low"},
        {"type": "input_file", "file_data": pdf, "filename": "a.pdf"},
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{pdf}"},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {"type": "input_file", "file_data": PNG},
    ]
    blocks = turns([{"role": "user", "content": parts}])[0]["content"]
    assert [block["type"] for block in blocks] == ["image", "image", "document", "document", "document", "image"]
    assert blocks[2]["title"] == "a.pdf"
    request = request_of({"input": [{"role": "user", "content": parts}]})
    assert [(file.kind, file.field) for file in request.remote_files] == [
        ("image", "input.0.content.1.image_url"), ("document", "input.0.content.4.file_url"),
    ]  # fmt: skip
    assert turns([user("a"), call(), output("c1", parts[:1])])[-1]["content"][0]["content"][0]["type"] == "image"


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "input_image", "file_id": "f"}, "file_id"),
        ({"type": "input_image"}, "image_url"),
        ({"type": "input_image", "image_url": "ftp://x"}, "image_url"),
        ({"type": "input_file", "file_id": "f"}, "file_id"),
        ({"type": "input_file"}, "file_data"),
        ({"type": "input_file", "file_data": "not base64!"}, "file_data"),
        ({"type": "input_audio", "input_audio": {}}, "type"),
    ],
)
def test_parts_that_cannot_be_read(part: Json, field: str) -> None:
    assert refused({"role": "user", "content": [part]}).param == f"input.0.content.0.{field}"
    assert refused(user("a"), call(), output("c1", [part])).param == f"input.2.output.0.{field}"


def test_a_refusal_is_text() -> None:
    part = {"type": "refusal", "refusal": "no"}
    items = [{"role": "user", "content": [part]}, {"role": "assistant", "content": [part]}, user("b")]
    assert turns(items)[:2] == [asked(text("no")), said(text("no"))]


def test_only_text_where_only_text_may_be() -> None:
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
    assert refused({"role": "system", "content": [image]}).param == "input.0.content.0.type"
    assert refused({"role": "function", "content": "x"}).param == "input.0.role"
    assert refused({"role": "tool", "content": "x"}).param == "input.0.tool_call_id"


def test_agent_messages_are_text_of_the_user() -> None:
    item = {"type": "agent_message", "author": "a", "content": [{"type": "input_text", "text": "hi"}]}
    assert turns([item]) == [asked(text("hi"))]


def test_unknown_items_are_refused() -> None:
    error = refused(user("a"), {"type": "telepathy"})
    assert (error.message, error.param) == ("Unknown item type 'telepathy' at input[1].", "input.1")


@pytest.mark.parametrize("kind", sorted(name for name, row in ITEM_SUPPORT.items() if row.kind == "ignored"))
def test_history_of_hosted_tools_is_left_out(kind: str) -> None:
    item = {"type": kind, "id": "x_1"}
    items = [user("a"), reasoning(), item, assistant("b"), user("c")]
    assert turns(items) == [asked(text("a")), said(THINKING, text("b")), asked(text("c"))]
    assert ("dropped", "input.2") in notices({"input": items})
    if kind in NEVER_LAST:
        assert refused(user("a"), item).param == "input.1"
    else:
        assert turns([user("a"), item]) == [asked(text("a"))]


# --- reasoning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item",
    [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "gAAAA"},
        {"type": "reasoning", "summary": [], "encrypted_content": 7},
        reasoning(owner="bob"),
        {**reasoning(), "encrypted_content": reasoning()["encrypted_content"][:-4]},
        {**reasoning(), "encrypted_content": "mmx1.é"},
        {**reasoning(), "encrypted_content": "mmx1." + "A" * 1024 * 1024},
    ],
)
def test_thinking_of_others_is_dropped_and_never_text(item: Json) -> None:
    items = [user("a"), item, assistant("b"), user("c")]
    assert turns(items) == [asked(text("a")), said(text("b")), asked(text("c"))]
    assert notices({"input": items}) == [("dropped", "input.1")]


def test_a_gap_drops_what_came_before() -> None:
    items = [user("a"), reasoning(), assistant("b"), user("c"), {"type": "reasoning"}, assistant("d"), user("e")]
    items += [reasoning(0, "resp_2"), assistant("f"), user("g")]
    assert request_of({"input": items}).thinking_runs == (run(0, "resp_2"),)
    assert notices({"input": items}) == [("dropped", "input.4"), ("dropped", "input.1")]


def test_thinking_that_nothing_follows_is_dropped() -> None:
    for items in (
        [user("a"), reasoning(), user("b")],
        [user("a"), reasoning()],
        [user("a"), reasoning(), assistant(""), {"role": "developer", "content": "x"}, user("b")],
    ):
        request = request_of({"input": items})
        assert request.thinking_runs == ()
        assert ("dropped", "input.1") in [(n.action, n.field) for n in request.notices]


def test_without_keys_nothing_can_be_opened() -> None:
    items = [user("a"), reasoning(), assistant("b"), user("c")]
    assert request_of({"input": items}, DialectOptions()).thinking_runs == ()


# --- compaction -------------------------------------------------------------------------------------------------------


def test_a_summary_is_text_of_the_user() -> None:
    expected = text("<conversation_summary>\nsum\n</conversation_summary>")
    assert turns([compaction("sum"), user("go")]) == [asked(expected, text("go"))]


@pytest.mark.parametrize("item", [compaction("x", "bob"), {"type": "compaction", "encrypted_content": "gAAA"}])
def test_the_summary_of_another_is_refused(item: Json) -> None:
    assert refused(user("a"), item).param == "input.1.encrypted_content"


def test_a_trigger_in_the_middle_is_ignored() -> None:
    items = [user("a"), {"type": "compaction_trigger"}, user("b")]
    assert turns(items) == [asked(text("a"), text("b"))]
    assert notices({"input": items}) == [("ignored", "input.1")]


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_a_conversation_has_a_limit() -> None:
    assert refused(*[user("a")] * (MAX_ITEMS + 1)).param == "input"


def test_an_item_has_a_depth() -> None:
    deep: Any = {}
    for _ in range(MAX_ITEM_DEPTH):
        deep = {"a": deep}
    error = refused(user("a"), {"type": "function_call", "call_id": "c", "name": "f", "extra": deep})
    assert (error.param, "deeply" in error.message) == ("input.1", True)
    wide = [{"a": n} for n in range(MAX_ITEM_DEPTH + 1)]
    assert len(turns([user("a"), {**call(), "extra": wide}, output()])) == 3
