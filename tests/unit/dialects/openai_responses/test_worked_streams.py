"""The streams that the documentation works through, frame by frame."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec

from modelmux.dialects.openai_responses.plan import ClientTool
from modelmux.errors import UpstreamBroken
from support.responses_encoding import PLAN, START, STOP, checked, decoded, encoder, ended, short_form, streamed, tool

EMPTY_PART = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}


def message(id: str, *content: Any, status: str = "completed") -> dict[str, Any]:
    return {"type": "message", "id": id, "role": "assistant", "status": status, "content": list(content)}


def text_part(text: str, *annotations: Any) -> dict[str, Any]:
    return {**EMPTY_PART, "text": text, "annotations": list(annotations)}


def call(id: str, call_id: str, name: str, arguments: str, status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": id, "call_id": call_id, "name": name, **fields, "arguments": arguments,
            "status": status}  # fmt: skip


def a_message(index: int, *deltas: str, status: str = "completed") -> list[Any]:
    """All events of a message item with one text."""
    id, text = f"msg_ab{index:04x}", "".join(deltas)
    return [
        ("output_item.added", index, message(id, status="in_progress")),
        ("content_part.added", index, 0, EMPTY_PART),
        *[("output_text.delta", index, 0, delta) for delta in deltas],
        ("output_text.done", index, 0, text),
        ("content_part.done", index, 0, text_part(text)),
        ("output_item.done", index, message(id, text_part(text), status=status)),
    ]


def a_call(index: int, call_id: str, name: str, *deltas: str, status: str = "completed", **fields: Any) -> list[Any]:
    """All events of a function call."""
    id, arguments = f"fc_ab{index:04x}", "".join(deltas)
    return [
        ("output_item.added", index, call(id, call_id, name, "", "in_progress", **fields)),
        *[("function_call_arguments.delta", index, delta) for delta in deltas],
        ("function_call_arguments.done", index, arguments),
        ("output_item.done", index, call(id, call_id, name, arguments, status, **fields)),
    ]


def a_refusal(index: int, text: str) -> list[Any]:
    id, part = f"msg_ab{index:04x}", {"type": "refusal", "refusal": text}
    return [
        ("output_item.added", index, message(id, status="in_progress")),
        ("content_part.added", index, 0, {"type": "refusal", "refusal": ""}),
        ("refusal.delta", index, 0, text),
        ("refusal.done", index, 0, text),
        ("content_part.done", index, 0, part),
        ("output_item.done", index, message(id, part)),
    ]


BEGIN = ["created", "in_progress"]


def test_text() -> None:
    found = streamed(START, (0, "text"), (0, "text", "Hel"), (0, "text", "lo"), 0, ended(), STOP)
    assert short_form(found) == [*BEGIN, *a_message(0, "Hel", "lo"), "completed"]
    created, completed = found[0]["response"], found[-1]["response"]
    assert (created["status"], created["output"], created["usage"]) == ("in_progress", [], None)
    assert completed["id"] == created["id"] == "resp_ab"
    assert completed["usage"] == {
        "input_tokens": 5, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 14,
    }  # fmt: skip
    assert completed["completed_at"] == 9
    assert created.keys() == completed.keys()
    assert {name for name in created if created[name] != completed[name]} == {
        "status", "output", "usage", "completed_at"
    }  # fmt: skip


def test_reasoning_and_two_calls_one_of_them_in_a_namespace() -> None:
    tools = {
        "exec_command": ClientTool("function", "exec_command"),
        "multi_agent_v1__wait_agent": ClientTool("function", "wait_agent", "multi_agent_v1"),
    }
    plan = msgspec.structs.replace(PLAN, tools=tools, shows_encrypted=True)
    found = streamed(
        START,
        (0, "thinking"), (0, "think", "I should look"), (0, "sign", "c2ln"), 0,
        (1, "text"), (1, "text", "Looking."), 1,
        (2, tool("toolu_vrtx_1", "exec_command")), (2, "json", '{"cmd":'), (2, "json", '"ls"}'), 2,
        (3, tool("toolu_vrtx_2", "multi_agent_v1__wait_agent")), 3,
        ended("tool_use"), STOP, plan=plan,
    )  # fmt: skip
    summary = {"type": "summary_text", "text": "I should look"}
    sealed = found[7]["item"]["encrypted_content"]
    assert short_form(found) == [
        *BEGIN,
        ("output_item.added", 0, {"type": "reasoning", "id": "rs_ab0000", "summary": [], "status": "in_progress"}),
        ("reasoning_summary_part.added", 0, 0, {"type": "summary_text", "text": ""}),
        ("reasoning_summary_text.delta", 0, 0, "I should look"),
        ("reasoning_summary_text.done", 0, 0, "I should look"),
        ("reasoning_summary_part.done", 0, 0, summary),
        ("output_item.done", 0, {"type": "reasoning", "id": "rs_ab0000", "summary": [summary],
                                 "encrypted_content": sealed, "status": "completed"}),
        *a_message(1, "Looking."),
        *a_call(2, "toolu_vrtx_1", "exec_command", '{"cmd":', '"ls"}'),
        *a_call(3, "toolu_vrtx_2", "wait_agent", "{}", namespace="multi_agent_v1"),
        "completed",
    ]  # fmt: skip
    opened = base64.urlsafe_b64decode(sealed.removeprefix("mmx1.") + "==")
    assert json.loads(opened.partition(b"\0")[2]) == ["claude-x", "resp_ab", 0, [["I should look", "c2ln"]]]


def test_a_refusal_after_some_text() -> None:
    details = {"type": "refusal", "explanation": "I cannot help with that."}
    end = ended("refusal", stop_details=details)
    found = streamed(START, (0, "text"), (0, "text", "Sure, first"), 0, end, STOP)
    assert short_form(found) == [
        *BEGIN, *a_message(0, "Sure, first"), *a_refusal(1, "I cannot help with that."), "completed"
    ]  # fmt: skip
    assert found[-1]["response"]["incomplete_details"] is None


def test_truncation_inside_a_call() -> None:
    found = streamed(START, (0, tool()), (0, "json", '{"path":"a'), 0, ended("max_tokens"), STOP)
    assert short_form(found) == [*BEGIN, *a_call(0, "t1", "f", '{"path":"a', status="incomplete"), "incomplete"]
    last = found[-1]["response"]
    assert (last["status"], last["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert last["usage"]["output_tokens"] == 9
    assert last["completed_at"] is None


def test_a_failure_in_the_middle() -> None:
    stream = encoder()
    raw = b"".join(map(stream.feed, decoded(START, (0, "text"), (0, "text", "Hel"))))
    raw += stream.fail(UpstreamBroken("The upstream stream broke off.", reply_started=True))
    found = checked(raw)
    assert short_form(found) == [*BEGIN, *a_message(0, "Hel")[:3], "failed"]
    last = found[-1]["response"]
    assert last["error"] == {"code": "server_error", "message": "The upstream stream broke off."}
    assert (last["output"], last["incomplete_details"], last["store"]) == ([], None, False)
    assert last["usage"]["input_tokens"] == 5
    assert stream.finish() == stream.fail(UpstreamBroken("again", reply_started=True)) == stream.keep_alive(99) == b""
    assert stream.feed(decoded((0, "text", "x"))[0]) == b"", "nothing comes after the end"
