"""The items of a response, event by event: what a client sees of each block of a reply."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from modelmux.dialects.openai_responses.plan import ClientTool, ResponsesPlan
from modelmux.dialects.openai_responses.sealed import open_thinking
from modelmux.wire.anthropic import RedactedThinkingBlock, ThinkingBlock
from support.responses_encoding import PLAN, START, STOP, ended, streamed, tool

CITE = {"type": "web_search_result_location", "url": "https://a", "title": "T"}
TOOLS = {
    "patch": ClientTool("custom", "patch"),
    "ns__p": ClientTool("custom", "p", "ns"),
    "local": ClientTool("local_shell", "local_shell"),
    "sh": ClientTool("shell", "shell"),
    "apply": ClientTool("apply_patch", "apply_patch"),
    "known": ClientTool("function", "Known", None),
}


def plan(**fields: Any) -> ResponsesPlan:
    return msgspec.structs.replace(PLAN, tools=TOOLS, **fields)


def output(*shorts: Any, end: Any = None, **fields: Any) -> list[dict[str, Any]]:
    """The output of a stream, checked on the way."""
    found = streamed(START, *shorts, end or ended(), STOP, plan=plan(**fields))
    items: list[dict[str, Any]] = found[-1]["response"]["output"]
    return items


def texts(items: list[dict[str, Any]]) -> list[Any]:
    """Messages as lists of their texts, other items as their types."""
    return [
        [part.get("text", part.get("refusal")) for part in item["content"]] if item["type"] == "message"
        else item["type"] for item in items
    ]  # fmt: skip


def types(*shorts: Any, end: Any = None, **fields: Any) -> list[str]:
    found = streamed(START, *shorts, end or ended(), STOP, plan=plan(**fields))
    return [event["type"].removeprefix("response.") for event in found[2:-1]]


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([], []),
        ([(0, "text"), (0, "text", ""), 0], []),
        ([(0, "text"), (0, "text", " \n"), 0], []),
        ([(0, "text"), (0, "text", " \n"), (0, "text", "a"), 0], [[" \na"]]),
        ([(0, "text"), (0, "text", "\n"), 0, (1, "text"), (1, "text", "a"), (1, "text", "\n"), 1], [["\na\n"]]),
        ([(0, "text"), (0, "text", "\n"), 0, (1, tool()), 1, (2, "text"), (2, "text", "a"), 2],
         ["function_call", ["a"]]),
        ([(0, "text"), (0, "text", "a"), 0, (1, {"type": "text", "text": "b"}), 1], [["ab"]]),
        ([(0, "text"), (0, "text", "a"), 0, (1, tool()), 1, (2, {"type": "text", "text": "b"}), 2],
         [["a"], "function_call", ["b"]]),
        ([(0, "text"), (0, "text", "a"), 0, (1, "hologram"), 1, (2, {"type": "text", "text": "b"}), 2], [["ab"]]),
        ([(0, tool()), 0, (1, "hologram"), 1, (2, {"type": "text", "text": "b"}), 2], ["function_call", ["b"]]),
        ([(7, "text", "a"), (7, "text", "b")], [["ab"]]),
    ],
)  # fmt: skip
def test_a_message_begins_with_text_that_is_not_blank(blocks: list[Any], expected: list[Any]) -> None:
    assert texts(output(*blocks)) == expected


def test_deltas_are_never_empty() -> None:
    blocks = [(0, "text"), (0, "text", ""), (0, "text", "a"), (0, "text", ""), 0, (1, tool()), (1, "json", ""), 1,
              (2, tool(name="patch")), (2, "json", '{"input":"'), (2, "json", '"}'), 2]  # fmt: skip
    assert [name for name in types(*blocks) if name.endswith("delta")] == [
        "output_text.delta", "function_call_arguments.delta"
    ]  # fmt: skip


def test_citations_are_annotations_of_the_text_of_their_part() -> None:
    blocks = [
        (0, "text"), (0, "text", "See "), 0,
        (1, {"type": "text", "text": "", "citations": []}), (1, "cite", CITE), (1, "cite", CITE),
        (1, "cite", {"type": "char_location"}), (1, "text", "here"), 1,
        (2, "text"), (2, "text", "."), 2, (3, {"type": "text", "text": "", "citations": [CITE]}), 3,
        (4, {"type": "text", "text": " And", "citations": [CITE]}), 4,
    ]  # fmt: skip
    (item,) = output(*blocks)
    found = [(part["text"], [(a["start_index"], a["end_index"]) for a in part["annotations"]])
             for part in item["content"]]  # fmt: skip
    assert found == [("See here", [(4, 8)]), (". And", [(1, 5)])]
    assert item["content"][0]["annotations"] == [
        {"type": "url_citation", "start_index": 4, "end_index": 8, "url": "https://a", "title": "T"}
    ]
    (item,) = output((0, "text"), (0, "text", " "), 0, (1, {"type": "text", "text": "a", "citations": [CITE]}), 1)
    assert (item["content"][0]["annotations"][0]["start_index"], item["content"][0]["text"]) == (1, " a")
    (item,) = output((0, {"type": "text", "text": "```\na\n```", "citations": [CITE]}), 0, strip_code_block=True)
    assert item["content"] == [{"type": "output_text", "text": "a", "annotations": [], "logprobs": []}]


def test_the_input_of_the_answer_tool_is_the_text() -> None:
    answer = tool(name="answer")
    blocks = [(0, answer), (0, "json", '{"a"'), (0, "json", ""), (0, "json", ":1}"), 0]
    assert texts(output(*blocks, end=ended("tool_use"), answer_tool="answer")) == [['{"a":1}']]
    assert texts(output((0, answer), 0, answer_tool="answer")) == [["{}"]]
    assert texts(output((0, {**answer, "input": {"b": 2}}), 0, answer_tool="answer")) == [['{"b": 2}']]


def test_known_deformations_of_an_answer_are_undone() -> None:
    schema = {"properties": {"x": {"type": "array"}}, "required": ["x"]}
    answer = tool(name="answer")
    fields: dict[str, Any] = {"end": ended("tool_use"), "answer_tool": "answer", "answer_schema": schema}
    blocks = [(0, answer), (0, "json", '{"p":{"x"'), (0, "json", ":[]"), (0, "json", "}}"), 0]
    assert texts(output(*blocks, **fields)) == [['{"x":[]}']]
    assert texts(output((0, {**answer, "input": {"x": "[]"}}), 0, **fields)) == [['{"x": []}']]
    assert texts(output(*blocks[:-1], **fields)) == [['{"x":[]}']]


def test_one_reasoning_item_for_each_run_of_thinking() -> None:
    items = output(
        (0, "thinking"), (0, "think", "a"), (0, "think", ""), (0, "think", "b"), (0, "sign", "s1"), 0,
        (1, {"type": "redacted_thinking", "data": "xx"}), 1, (2, {"type": "redacted_thinking"}), 2,
        (3, {"type": "thinking", "thinking": "c", "signature": "s2"}), 3, (4, tool()), 4,
        (5, "thinking"), (5, "sign", "s3"), 5, (6, {"type": "text", "text": "hi"}), 6,
        (7, "thinking"), 7, (8, tool("t2")), 8, (9, "thinking"), (9, "think", "unsigned"), 9,
        shows_encrypted=True,
    )  # fmt: skip
    assert texts(items) == ["reasoning", "function_call", "reasoning", ["hi"], "function_call", "reasoning"]
    thoughts = [item for item in items if item["type"] == "reasoning"]
    assert [[part["text"] for part in item["summary"]] for item in thoughts] == [["ab", "c"], [], ["unsigned"]]
    assert "encrypted_content" not in thoughts[2], "it cannot be used again"
    assert PLAN.sealer is not None
    runs = [open_thinking(PLAN.sealer, "o", item["encrypted_content"]) for item in thoughts[:2]]
    assert [(run.index, run.response_id, run.model, run.blocks) for run in runs if run is not None] == [
        (0, "resp_ab", "claude-x",
         (ThinkingBlock("ab", "s1"), RedactedThinkingBlock("xx"), ThinkingBlock("c", "s2"))),
        (1, "resp_ab", "claude-x", (ThinkingBlock("", "s3"),)),
    ]  # fmt: skip


@pytest.mark.parametrize("fields", [{"shows_encrypted": False}, {"sealer": None, "shows_encrypted": True}])
def test_what_is_not_wanted_or_not_sealed_is_not_shown(fields: dict[str, Any]) -> None:
    (item,) = output((0, {"type": "thinking", "thinking": "a", "signature": "s"}), 0, **fields)
    assert item == {"type": "reasoning", "id": "rs_ab0000", "summary": [{"type": "summary_text", "text": "a"}],
                    "status": "completed"}  # fmt: skip


def test_a_call_has_the_clients_name_of_its_tool() -> None:
    calls = [(0, tool("a", "known")), 0, (1, tool("b", "renamed_1")), 1, (2, tool("c", "new")), 2,
             (3, {"type": "tool_use"}), 3]  # fmt: skip
    items = output(*calls, tool_names={"renamed_1": "re/named"})
    assert [(item["name"], item["call_id"]) for item in items] == [
        ("Known", "a"), ("re/named", "b"), ("new", "c"), ("", "")
    ]  # fmt: skip


def test_a_custom_tool_gets_its_text() -> None:
    items = output(
        (0, tool(name="patch")), (0, "json", '{"input": "a\\n'), (0, "json", '\\ud83d'), (0, "json", '\\ude00"}'), 0,
        (1, tool("t2", "ns__p")), (1, "json", '{"q": 1}'), 1,
    )  # fmt: skip
    assert items == [
        {"type": "custom_tool_call", "id": "ctc_ab0000", "call_id": "t1", "name": "patch", "input": "a\n😀",
         "status": "completed"},
        {"type": "custom_tool_call", "id": "ctc_ab0001", "call_id": "t2", "name": "p", "namespace": "ns",
         "input": '{"q": 1}', "status": "completed"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("local", {"command": ["ls"], "timeout_ms": 5, "env": None},
         {"type": "local_shell_call", "id": "lsh_ab0000", "action": {
             "type": "exec", "command": ["ls"], "env": {}, "timeout_ms": 5, "user": None, "working_directory": None}}),
        ("sh", {"commands": ["ls", "pwd"]},
         {"type": "shell_call", "id": "sh_ab0000", "environment": None, "action": {
             "commands": ["ls", "pwd"], "timeout_ms": None, "max_output_length": None}}),
        ("apply", {"type": "delete_file", "path": "a"},
         {"type": "apply_patch_call", "id": "apc_ab0000", "operation": {"type": "delete_file", "path": "a"}}),
        ("apply", {"type": "update_file", "path": "a", "diff": "+x"},
         {"type": "apply_patch_call", "id": "apc_ab0000",
          "operation": {"type": "update_file", "path": "a", "diff": "+x"}}),
    ],
)  # fmt: skip
def test_tools_with_items_of_their_own(name: str, arguments: dict[str, Any], expected: dict[str, Any]) -> None:
    (item,) = output((0, tool(name=name)), (0, "json", json.dumps(arguments)), 0)
    assert item == {**expected, "call_id": "t1", "status": "completed"}
    assert types((0, tool(name=name)), (0, "json", json.dumps(arguments)), 0) == [
        "output_item.added", "output_item.done"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("local", '{"command": "ls"}'), ("sh", '{"commands": ["l'), ("apply", '{"type": "move_file"}'),
     ("apply", "[" * 100_000)],
)  # fmt: skip
def test_input_that_does_not_fit_such_a_tool_is_shown_as_a_functions(name: str, arguments: str) -> None:
    (item,) = output((0, tool(name=name)), (0, "json", arguments), 0, end=ended("max_tokens"))
    assert item == {"type": "function_call", "id": "fc_ab0000", "call_id": "t1", "name": TOOLS[name].name,
                    "arguments": arguments, "status": "incomplete"}  # fmt: skip


SEARCH = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
RESULT = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}


def test_web_searches_are_items_if_the_client_wants_them() -> None:
    blocks = [(0, SEARCH), (0, "json", '{"query"'), (0, "json", ""), (0, "json", ': "cats"}'), 0, (1, RESULT), 1,
              (2, {"type": "text", "text": "a"}), 2]  # fmt: skip
    item, message = output(*blocks, web_search_items=True)
    assert item == {"type": "web_search_call", "id": "ws_ab0000", "status": "completed",
                    "action": {"type": "search", "query": "cats", "queries": ["cats"]}}  # fmt: skip
    assert message["id"] == "msg_ab0001"
    assert types(*blocks, web_search_items=True)[:5] == [
        "output_item.added", "web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed",
        "output_item.done",
    ]  # fmt: skip
    assert texts(output(*blocks)) == [["a"]]


@pytest.mark.parametrize(
    ("blocks", "statuses"),
    [
        ([(0, SEARCH), 0, (1, {**RESULT, "content": {"type": "web_search_tool_result_error"}}), 1], ["failed"]),
        ([(0, {**SEARCH, "input": {"query": "q"}}), 0, (1, {"type": "web_search_tool_result"}), 1], ["completed"]),
        ([(0, SEARCH), (0, "json", '{"query'), 0], ["completed"]),
        ([(0, SEARCH), 0, (1, {**SEARCH, "id": "s2"}), 1, (2, RESULT), 2], ["completed", "completed"]),
        ([(0, {**SEARCH, "name": "code_execution"}), 0], []),
    ],
)
def test_a_web_search_may_fail(blocks: list[Any], statuses: list[str]) -> None:
    assert [item["status"] for item in output(*blocks, web_search_items=True)] == statuses


@pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded", "compaction", "pause_turn"])
def test_the_last_item_of_a_cut_reply_is_incomplete(reason: str) -> None:
    for last in [(1, {"type": "text", "text": "a"}), (1, {"type": "thinking", "thinking": "a"}), (1, tool("t2")),
                 (1, tool("t2", "patch"))]:  # fmt: skip
        found = streamed(START, (0, tool()), 0, last, 1, ended(reason), STOP, plan=plan())
        response = found[-1]["response"]
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


@pytest.mark.parametrize("reason", ["end_turn", "stop_sequence", "tool_use", "invented", None])
def test_every_other_reply_is_complete(reason: str | None) -> None:
    found = streamed(START, (0, {"type": "text", "text": "a"}), 0, ended(reason), STOP)
    assert (found[-1]["type"], found[-1]["response"]["output"][0]["status"]) == ("response.completed", "completed")


def test_a_refusal_without_an_explanation() -> None:
    (item,) = output(end=ended("refusal"))
    assert item["content"] == [{"type": "refusal", "refusal": "The model declined to answer."}]


def test_a_refusal_as_text() -> None:
    end = ended("refusal", stop_details={"type": "refusal", "explanation": "No."})
    items = output((0, {"type": "text", "text": "Sure"}), 0, end=end, refusal_as_text=True)
    assert texts(items) == [["Sure"], ["No."]]
    assert items[1]["content"][0]["type"] == "output_text"


def test_blocks_side_by_side_come_one_after_another() -> None:
    items = output(
        (0, tool("a")), (1, tool("b")), (2, "text"), (1, "json", "{1"), (2, "text", "x"), (0, "json", "{0"),
        (1, "json", "}"), 1, (0, "json", "}"), 0, (2, "text", "y"), 2,
    )  # fmt: skip
    assert [item.get("arguments") for item in items] == ["{0}", "{1}", None]
    assert texts(items)[2] == ["xy"]


def test_blocks_without_an_end() -> None:
    items = output((0, tool("a")), (0, "json", "{}"), (0, tool("b")), (1, {"type": "text", "text": "x"}), (2, tool()))
    assert texts(items) == ["function_call", "function_call", ["x"], "function_call"]


def test_what_cannot_be_read_has_no_effect() -> None:
    items = output(
        5, (3, "json", "a"), {"type": "content_block_start", "index": 0}, {"type": "content_block_delta", "index": 0},
        (0, "text"), (0, "json", "a"), (0, "think", "b"), (0, "news", "c"), (0, "cite", CITE), 0,
        (1, "thinking"), (1, "text", "d"), (1, "json", "e"), (1, "cite", CITE), 1,
        (2, tool()), (2, "text", "f"), (2, "think", "g"), 2, {"type": "tidings", "index": 2}, {},
        (3, {"type": "redacted_thinking", "data": "x"}), (3, "think", "h"), 3,
        {"type": "content_block_delta", "index": 9, "delta": {"type": "citations_delta"}},
        (4, "text"), {"type": "content_block_delta", "index": 4, "delta": {"type": "citations_delta"}}, 4,
    )  # fmt: skip
    assert texts(items) == ["function_call", "reasoning"]
    assert (items[0]["arguments"], items[1]["summary"]) == ("{}", [])
