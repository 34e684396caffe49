"""A whole answer as a stream: everything the answer has, each thing once, in the order SDKs read it."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from modelmux.dialects.openai_chat.single_stream import chunks_of
from modelmux.wire.openai.chat_response import (
    ChatCompletion,
    Choice,
    Chunk,
    ChunkDelta,
    CompletionTokensDetails,
    CustomDelta,
    FinishReason,
    FunctionDelta,
    PromptTokensDetails,
    ResponseCustom,
    ResponseCustomCall,
    ResponseFunction,
    ResponseMessage,
    ResponseToolCall,
    ToolCallDelta,
    Usage,
)

USAGE = Usage(1, 2, 3, PromptTokensDetails(), CompletionTokensDetails())
ROLE = Chunk(ChunkDelta(role="assistant", content=""))


def told(reason: FinishReason = "stop", *, include_usage: bool = False, **message: Any) -> list[Chunk]:
    choice = Choice(message=ResponseMessage(**message), finish_reason=reason)
    completion = ChatCompletion(id="x", created=1, model="m", choices=[choice], usage=USAGE)
    return chunks_of(completion, include_usage=include_usage)


def test_a_text_is_one_chunk_between_role_and_finish_reason() -> None:
    assert told(content="Hi. You. There.\n\nOh.") == [
        ROLE,
        Chunk(ChunkDelta(content="Hi. You. There.\n\nOh.")),
        Chunk(finish_reason="stop"),
    ]


def test_usage_comes_last_and_only_if_asked() -> None:
    assert told(content="Hi", include_usage=True)[-1] == Chunk(usage=USAGE)
    assert all(chunk.usage is None for chunk in told(content="Hi"))


def test_an_empty_answer_is_a_role_and_a_finish_reason() -> None:
    assert told("length", content="") == [ROLE, Chunk(finish_reason="length")]
    assert told(content=None, reasoning_content="", annotations=[], tool_calls=[], thinking_blocks=[]) == told(
        content="", reasoning_content=UNSET
    )


def test_all_kinds_at_once_in_order() -> None:
    calls = [
        ResponseToolCall(id="call_0", function=ResponseFunction("weather", '{"city":"Rom"}')),
        ResponseCustomCall(id="call_1", custom=ResponseCustom("shell", "ls")),
    ]
    chunks = told(
        "tool_calls",
        content="See",
        refusal="no",
        annotations=[{"type": "url_citation"}],
        tool_calls=calls,
        reasoning_content="Hm",
        thinking_blocks=[{"type": "thinking"}],
    )
    assert [chunk.delta for chunk in chunks[1:-1]] == [
        ChunkDelta(reasoning_content="Hm"),
        ChunkDelta(content="See"),
        ChunkDelta(annotations=[{"type": "url_citation"}]),
        ChunkDelta(
            tool_calls=[
                ToolCallDelta(0, "call_0", "function", FunctionDelta("weather", '{"city":"Rom"}')),
                ToolCallDelta(1, "call_1", "custom", custom=CustomDelta("shell", "ls")),
            ]
        ),
        ChunkDelta(thinking_blocks=[{"type": "thinking"}]),
        ChunkDelta(refusal="no"),
    ]


def test_the_legacy_function_call() -> None:
    chunks = told("function_call", content=None, function_call=ResponseFunction("f", "{}"))
    assert chunks == [
        ROLE,
        Chunk(ChunkDelta(function_call=FunctionDelta("f", "{}"))),
        Chunk(finish_reason="function_call"),
    ]
