"""A whole completion -> the shortest stream that tells it: for a client that wants events but not piece by piece.

Folding these chunks gives the completion back. No upstream's events here; ``fold.unfold`` does that side.
"""

from __future__ import annotations

from msgspec import UNSET

from modelmux.wire.openai.chat_response import (
    ChatCompletion,
    Chunk,
    ChunkDelta,
    CustomDelta,
    FunctionDelta,
    ResponseFunction,
    ResponseMessage,
    ResponseToolCall,
    ToolCallDelta,
)


def chunks_of(completion: ChatCompletion, *, include_usage: bool) -> list[Chunk]:
    """Role; reasoning, content, annotations, tool calls, thinking blocks and refusal, each in one chunk where there is
    any; the finish reason; usage if asked for."""
    choice = completion.choices[0]
    deltas = [ChunkDelta(role="assistant", content=""), *_told(choice.message)]
    chunks = [*map(Chunk, deltas), Chunk(finish_reason=choice.finish_reason)]
    return [*chunks, Chunk(usage=completion.usage)] if include_usage else chunks


def _told(message: ResponseMessage) -> list[ChunkDelta]:
    deltas = [
        ChunkDelta(reasoning_content=message.reasoning_content or None),
        ChunkDelta(content=message.content or None),
        ChunkDelta(annotations=message.annotations or None),
        ChunkDelta(function_call=_function(message.function_call) if message.function_call is not UNSET else None),
        ChunkDelta(tool_calls=_calls(message) or None),
        ChunkDelta(thinking_blocks=message.thinking_blocks or None),
        ChunkDelta(refusal=message.refusal),
    ]
    return [delta for delta in deltas if delta != ChunkDelta()]


def _calls(message: ResponseMessage) -> list[ToolCallDelta]:
    calls = []
    for index, call in enumerate(message.tool_calls or ()):
        if isinstance(call, ResponseToolCall):
            calls.append(ToolCallDelta(index, call.id, "function", _function(call.function)))
        else:
            custom = CustomDelta(call.custom.name, call.custom.input)
            calls.append(ToolCallDelta(index, call.id, "custom", custom=custom))
    return calls


def _function(function: ResponseFunction) -> FunctionDelta:
    return FunctionDelta(function.name, function.arguments)
