"""Risk: what a message says is lost, because it stands under another name than ``content``."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from modelmux.errors import InvalidRequest
from support.foreign import prepared, told, upstream, user

Json = dict[str, Any]

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 10).decode()
HI = {"type": "text", "text": "hi"}
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
UI_HI = {**HI, "state": "done", "providerMetadata": {"openai": {"itemId": "msg_1"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}

READ: list[tuple[str, Any, list[Json]]] = [
    ("text of the AI SDK", [HI], [HI]),
    ("text of Gemini", [{"text": "hi"}, {"text": "hi"}], [HI, HI]),
    ("with what the AI SDK adds", [{"type": "step-start"}, UI_HI], [HI]),
    ("a file of the AI SDK", [
        {"type": "file", "mediaType": "image/png", "url": f"data:image/png;base64,{PNG}"}, HI], [PICTURE, HI]),
    ("a file of Gemini", [{"inlineData": {"mimeType": "image/png", "data": PNG}}, {"text": "hi"}], [PICTURE, HI]),
    ("a file of Gemini by URL",
     [{"fileData": {"mimeType": "image/png", "fileUri": f"data:image/png;base64,{PNG}"}}], [PICTURE]),
    ("the same with underscores", [{"file_data": {"file_uri": f"data:image/png;base64,{PNG}"}}], [PICTURE]),
    ("a part alone", {"text": "hi"}, [HI]),
    ("texts", ["hi", {"text": "hi", "type": None}], [HI, HI]),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "plain"), [r[1:] for r in READ], ids=[r[0] for r in READ])
@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": ""}, {"content": " "}, {"content": []}])
def test_parts_are_content(parts: Any, plain: list[Json], content: Json) -> None:
    message = {"role": "user", "id": "m1", "parts": parts, **content}
    assert upstream({"messages": [message]}) == upstream({"messages": [user(*plain)]})
    assert told({"messages": [message]}) == []


def test_parts_of_every_role() -> None:
    said = [{"text": "hi"}]
    messages = [{"role": "system", "parts": said}, {"role": "user", "parts": said},
                {"role": "model", "parts": said, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c", "parts": said}, {"role": "user", "parts": "hi"}]  # fmt: skip
    plain = [{"role": "system", "content": "hi"}, user(HI),
             {"role": "assistant", "content": [HI], "tool_calls": [CALL]},
             {"role": "tool", "tool_call_id": "c", "content": "hi"}, user("hi")]  # fmt: skip
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert upstream({"messages": messages, "tools": tools}) == upstream({"messages": plain, "tools": tools})
    assert told({"messages": messages, "tools": tools}) == []


def test_a_thought_is_not_said() -> None:
    for thought in ({"text": "hm", "thought": True}, {"type": "reasoning", "text": "hm", "state": "done"}):
        messages = [user("a"), {"role": "assistant", "parts": [thought, HI]}, user("b")]
        assert upstream({"messages": messages})["messages"][1]["content"] == [HI]
        assert told({"messages": messages}) == ["dropped=messages.1.parts.0"]


def test_content_takes_precedence_and_empty_parts_are_told() -> None:
    both = {"messages": [{"role": "user", "content": "hi", "parts": [{"text": "other"}]}]}
    assert upstream(both) == upstream({"messages": [user("hi")]})
    assert told(both) == ["ignored=messages.0.parts"]
    assert told({"messages": [{"role": "user", "parts": []}]}) == ["changed=messages.0.parts"]


def test_what_people_are_shown_is_left_out_with_a_notice() -> None:
    parts = [{"type": "data-weather", "data": {}}, {"type": "source-url", "url": "u"}, {"type": "source-document"}, HI]
    assert told({"messages": [{"role": "user", "parts": parts}]}) == [
        f"dropped=messages.0.parts.{index}" for index in range(3)
    ]


@pytest.mark.parametrize(("part", "field"), [
    ({"functionCall": {"name": "f", "args": {}}}, "messages.0.parts.0.type"),
    ({"type": "tool-f", "toolCallId": "c", "input": {}}, "messages.0.parts.0.type"),
    ({"type": 5}, "messages.0.parts.0.type"),
    ({"text": 5}, "messages.0.parts.0.text"),
    (7, "messages.0.parts.0"),
    ({"fileData": {"mimeType": "image/png"}}, "messages.0.parts.0.fileData.fileUri"),
    ({"fileData": {"fileUri": "gs://b/a.png"}}, "messages.0.parts.0.fileData.fileUri"),
    ({"inlineData": {"data": "??"}}, "messages.0.parts.0.inlineData.data"),
])  # fmt: skip
def test_parts_that_cannot_be_read_are_named(part: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        prepared({"messages": [{"role": "user", "parts": [part]}]})
    assert caught.value.param == field
    if field.endswith("type"):
        assert "text, image_url" in (caught.value.hint or "")


LOST: list[tuple[Json, str]] = [
    ({"role": "user", "text": "hi"}, "text"),
    ({"role": "user", "content": "", "message": "hi"}, "message"),
    ({"role": "user", "content": None, "contents": [HI]}, "contents"),
    ({"role": "user", "id": "m1", "createdAt": "2026", "metadata": {"a": 1}, "body": {"text": "hi"}}, "body"),
    ({"role": "system", "prompt": "hi"}, "prompt"),
    ({"role": "assistant", "content": None, "toolCalls": [CALL]}, "toolCalls"),
    ({"role": "assistant", "content": "", "toolInvocations": [CALL]}, "toolInvocations"),
    ({"role": "tool", "tool_call_id": "c", "output": "r"}, "output"),
    ({"role": "function", "name": "f", "result": "r"}, "result"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "name"), LOST)
def test_content_under_another_name_is_refused(message: Json, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        prepared({"messages": [user("a"), message, user("b")]})
    error = caught.value
    assert (error.param, "'messages.1'" in error.message, f"'{name}'" in error.message) == (
        f"messages.1.{name}", True, True,
    )  # fmt: skip
    assert "content" in (error.hint or "")


@pytest.mark.parametrize("message", [
    {"role": "user", "content": "", "createdAt": "2026"}, {"role": "user", "metadata": {"a": 1}},
    {"role": "user", "content": "", "odd": 5, "other": [], "blank": " "}, {"role": "user", "sent_at": "x"},
    {"role": "assistant", "content": None, "refusal": "no", "odd": "x"},
    {"role": "assistant", "content": "", "reasoning_content": "hm", "odd": "x"},
    {"role": "assistant", "content": "", "provider_specific_fields": {"a": 1}, "thinking": "hm"},
    {"role": "assistant", "content": None, "tool_calls": [CALL], "odd": {"a": 1}},
    {"role": "tool", "tool_call_id": "c", "content": "", "artifact": {"a": 1}},
])  # fmt: skip
def test_what_only_describes_a_message_without_content_is_no_reason_to_refuse_it(message: Json) -> None:
    prepared({"messages": [user("a"), message, user("b")]})
