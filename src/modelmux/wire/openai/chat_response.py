"""Responses of OpenAI Chat Completions, complete and streamed. Requests are in ``chat_request.py``.

Source of the shapes: the ``openai`` SDK (``types/chat/chat_completion*.py``, ``completion_usage.py``) plus the
extensions that clients read (``reasoning_content``, ``thinking_blocks``).
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from modelmux.wire.openai import common

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class PromptTokensDetails(Struct):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class CompletionTokensDetails(Struct):
    reasoning_tokens: int = 0


class Usage(Struct):
    """Token counts. ``prompt_tokens`` includes the tokens read from and written to the prompt cache."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0


class ResponseFunction(Struct):
    name: str
    arguments: str


class ResponseToolCall(Struct, kw_only=True):
    id: str
    type: Literal["function"] = "function"
    function: ResponseFunction


class ResponseCustom(Struct):
    name: str
    input: str


class ResponseCustomCall(Struct, kw_only=True):
    id: str
    type: Literal["custom"] = "custom"
    custom: ResponseCustom


class ResponseMessage(Struct, kw_only=True):
    """``content`` and ``refusal`` are always present and may be null."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None
    annotations: list[dict[str, Any]] | UnsetType = UNSET
    tool_calls: list[ResponseToolCall | ResponseCustomCall] | UnsetType = UNSET
    function_call: ResponseFunction | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    thinking_blocks: list[dict[str, Any]] | UnsetType = UNSET


class Choice(Struct, kw_only=True):
    index: int = 0
    message: ResponseMessage
    logprobs: None = None
    finish_reason: FinishReason


class ChatCompletion(Struct, kw_only=True):
    """``created`` is in seconds; ``model`` is the name in the client's request."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    service_tier: str | UnsetType = UNSET


# --- stream -------------------------------------------------------------------------------------------------------


class FunctionDelta(Struct, omit_defaults=True):
    name: str | None = None
    arguments: str | None = None


class CustomDelta(Struct, omit_defaults=True):
    name: str | None = None
    input: str | None = None


class ToolCallDelta(Struct, omit_defaults=True):
    index: int
    id: str | None = None
    type: Literal["function", "custom"] | None = None
    function: FunctionDelta | None = None
    custom: CustomDelta | None = None


class ChunkDelta(Struct, omit_defaults=True):
    """The delta of one chunk. Only fields that are set are encoded."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionDelta | None = None
    annotations: list[dict[str, Any]] | None = None
    thinking_blocks: list[dict[str, Any]] | None = None


class Chunk(Struct, frozen=True):
    """One chunk without the fields common to its stream. With ``usage`` it is the trailing usage chunk."""

    delta: ChunkDelta | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None


_encode_json: Final = msgspec.json.Encoder().encode


class ChunkEncoder:
    """Encodes the chunks of one stream. The constant parts are encoded once."""

    __slots__ = ("_head", "_tail", "_text_head", "_text_tail", "_usage_head")

    def __init__(
        self, *, id: str, created: int, model: str, include_usage: bool, tier: str | UnsetType = UNSET
    ) -> None:
        common = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
        if tier is not UNSET:
            common["service_tier"] = tier
        head = b"data: " + msgspec.json.encode(common)[:-1]
        self._head = head + b',"choices":[{"index":0,"delta":'
        self._usage_head = head + b',"choices":[],"usage":'
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"

        self._text_head = self._head + b'{"content":'
        self._text_tail = b'},"logprobs":null,"finish_reason":null}]' + self._tail

    def encode_text(self, text: str) -> bytes:
        """A chunk with text only."""
        return self._text_head + _encode_json(text) + self._text_tail

    def encode_texts(self, texts: list[bytes]) -> bytes:
        """One chunk for each text, given as the inside of a JSON string."""
        head, tail = self._text_head + b'"', b'"' + self._text_tail
        return head + (tail + head).join(texts) + tail

    def encode(self, chunk: Chunk) -> bytes:
        """One chunk as a framed server-sent event."""
        if chunk.usage is not None:
            return self._usage_head + common.encode(chunk.usage) + b"}\n\n"
        delta = common.encode(chunk.delta) if chunk.delta is not None else b"{}"
        reason = b'"%s"' % chunk.finish_reason.encode() if chunk.finish_reason else b"null"
        return b"".join((self._head, delta, b',"logprobs":null,"finish_reason":', reason, b"}]", self._tail))


class _ChunkChoice(Struct):
    delta: ChunkDelta
    finish_reason: FinishReason | None = None


class DecodedChunk(Struct):
    """A decoded chunk, for folding and tests."""

    id: str
    created: int
    model: str
    choices: list[_ChunkChoice]
    usage: Usage | None = None
    service_tier: str | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_chunk_decoder: Final = msgspec.json.Decoder(DecodedChunk)


def decode_chunk(data: bytes) -> DecodedChunk:
    """Decode the data of one event, except ``[DONE]``."""
    return _chunk_decoder.decode(data)
