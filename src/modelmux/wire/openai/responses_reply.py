"""Responses of OpenAI's Responses API, complete and streamed: their items, objects and events.

Parts that are used several times (a text is in four events) are encoded once and embedded as ``Raw``.

Source of the shapes: the ``openai`` SDK 3.57.0 (``types/responses``) and the Open Responses specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

ItemStatus = Literal["in_progress", "completed", "incomplete"]
ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed"]
#: The codes of ``response.error`` that this gateway uses, of those that strict clients know.
ErrorCode = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]

# --- parts --------------------------------------------------------------------------------------------------------


class UrlCitation(Struct, tag_field="type", tag="url_citation"):
    """``start_index`` and ``end_index``: characters of the text of the part."""

    start_index: int
    end_index: int
    url: str
    title: str


class OutputText(Struct, tag_field="type", tag="output_text"):
    text: str | Raw
    annotations: list[UrlCitation] = []
    logprobs: list[Any] = []


class Refusal(Struct, tag_field="type", tag="refusal"):
    refusal: str


class SummaryText(Struct, tag_field="type", tag="summary_text"):
    text: str


# --- items --------------------------------------------------------------------------------------------------------


class MessageItem(Struct, kw_only=True, tag_field="type", tag="message"):
    id: str
    role: Literal["assistant"] = "assistant"
    status: ItemStatus
    content: Sequence[Raw] = ()


class ReasoningItem(Struct, kw_only=True, tag_field="type", tag="reasoning"):
    id: str
    summary: Sequence[SummaryText] = ()
    encrypted_content: str | UnsetType = UNSET
    status: ItemStatus


class FunctionCallItem(Struct, kw_only=True, tag_field="type", tag="function_call"):
    """``call_id`` is what the output of the call refers to."""

    id: str
    call_id: str
    name: str
    namespace: str | UnsetType = UNSET
    arguments: str = ""
    status: ItemStatus


class CustomToolCallItem(Struct, kw_only=True, tag_field="type", tag="custom_tool_call"):
    id: str
    call_id: str
    name: str
    namespace: str | UnsetType = UNSET
    input: str = ""
    status: ItemStatus


class LocalShellAction(Struct, kw_only=True, tag_field="type", tag="exec"):
    command: list[str]
    env: dict[str, str] = {}
    timeout_ms: int | None = None
    user: str | None = None
    working_directory: str | None = None


class LocalShellCallItem(Struct, kw_only=True, tag_field="type", tag="local_shell_call"):
    id: str
    call_id: str
    action: LocalShellAction
    status: ItemStatus


class ShellAction(Struct, kw_only=True):
    commands: list[str]
    timeout_ms: int | None = None
    max_output_length: int | None = None


class ShellCallItem(Struct, kw_only=True, tag_field="type", tag="shell_call"):
    id: str
    call_id: str
    action: ShellAction
    environment: None = None
    status: ItemStatus


class CreateFile(Struct, tag_field="type", tag="create_file"):
    path: str
    diff: str


class UpdateFile(Struct, tag_field="type", tag="update_file"):
    path: str
    diff: str


class DeleteFile(Struct, tag_field="type", tag="delete_file"):
    path: str


Operation = CreateFile | UpdateFile | DeleteFile


class ApplyPatchCallItem(Struct, kw_only=True, tag_field="type", tag="apply_patch_call"):
    """A call that was cut off is ``in_progress``: OpenAI has no other status for it."""

    id: str
    call_id: str
    operation: Operation
    status: Literal["in_progress", "completed"]


class SearchAction(Struct, tag_field="type", tag="search"):
    query: str
    queries: list[str]


class WebSearchCallItem(Struct, kw_only=True, tag_field="type", tag="web_search_call"):
    id: str
    status: Literal["in_progress", "completed", "failed"]
    action: SearchAction


class CompactionItem(Struct, kw_only=True, tag_field="type", tag="compaction"):
    id: str
    encrypted_content: str


Item = (
    MessageItem
    | ReasoningItem
    | FunctionCallItem
    | CustomToolCallItem
    | LocalShellCallItem
    | ShellCallItem
    | ApplyPatchCallItem
    | WebSearchCallItem
    | CompactionItem
)

# --- objects ------------------------------------------------------------------------------------------------------


class InputTokenCount(Struct, kw_only=True):
    """The body of ``/responses/input_tokens``."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


class InputTokensDetails(Struct):
    cached_tokens: int
    cache_write_tokens: int


class OutputTokensDetails(Struct):
    reasoning_tokens: int


class Usage(Struct):
    """``input_tokens`` includes the tokens read from and written to the prompt cache."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponseError(Struct):
    code: ErrorCode
    message: str


class IncompleteDetails(Struct):
    reason: Literal["max_output_tokens", "content_filter"] = "max_output_tokens"


class ResponseHead(Struct, kw_only=True):
    """The keys of a response object that change during a response. All are always present."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: ResponseStatus
    completed_at: int | None = None
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    output: Sequence[Raw] = ()
    usage: Usage | None = None
    store: bool


class ResponseConstants(Struct, kw_only=True):
    """The keys that are the same in every object of a response and do not repeat the request. Strict clients want
    numbers, not null, where OpenAI has a default."""

    background: bool = False
    model: str
    prompt_cache_retention: None = None
    service_tier: str = "default"
    temperature: float
    top_logprobs: int = 0
    top_p: float
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0


class CompactedResponse(Struct, kw_only=True):
    id: str
    object: Literal["response.compaction"] = "response.compaction"
    created_at: int
    output: Sequence[Raw]
    usage: Usage


# --- events -------------------------------------------------------------------------------------------------------

encode: Final = msgspec.json.Encoder().encode


def merge_objects(first: bytes, second: bytes) -> bytes:
    """Two encoded objects, neither of them empty, as one."""
    return first[:-1] + b"," + second[1:]


def encode_event(type: str, number: int, fields: Mapping[str, Any]) -> bytes:
    """One framed event.

    :param number: its ``sequence_number``.
    """
    data = encode({"type": type, **fields, "sequence_number": number})
    return b"event: %b\ndata: %b\n\n" % (type.encode(), data)


#: Most ends of deltas that are kept; those of a longer stream are made each time.
_MAX_ENDS: Final = 4096


class _Ends:
    """The ends of deltas by ``sequence_number``: the same in every stream, so they are made once.

    :param trailing: constant fields of the deltas, as the inside of a JSON object.
    """

    __slots__ = ("_encoded", "_template")

    def __init__(self, trailing: bytes) -> None:
        self._template = b'",' + trailing + b'"sequence_number":%d}\n\n'
        self._encoded: list[bytes] = []

    def one(self, number: int) -> bytes:
        encoded = self._encoded
        return encoded[number] if number < len(encoded) else self.run(number, 1)[0]

    def run(self, first: int, count: int) -> list[bytes]:
        encoded, end, template = self._encoded, first + count, self._template
        if len(encoded) < end <= _MAX_ENDS:
            encoded += [template % number for number in range(len(encoded), end)]
        return encoded[first:end] if end <= len(encoded) else [template % number for number in range(first, end)]


_TEXT_ENDS: Final = _Ends(b'"logprobs":[],')
_OTHER_ENDS: Final = _Ends(b"")


class DeltaFrames:
    """Encodes the deltas of one part: everything but their text and number is constant.

    :param type: of the events.
    :param position: the fields that say which part it is.
    """

    __slots__ = ("_ends", "_head")

    def __init__(self, type: str, position: Mapping[str, Any]) -> None:
        self._head = b'event: %b\ndata: {"type":"%b",%b,"delta":"' % (
            type.encode(),
            type.encode(),
            encode(position)[1:-1],
        )
        self._ends = _TEXT_ENDS if type == "response.output_text.delta" else _OTHER_ENDS

    def encode(self, text: bytes, number: int) -> bytes:
        """:param text: the inside of a JSON string."""
        return self._head + text + self._ends.one(number)

    def encode_run(self, texts: Sequence[bytes], first: int) -> bytes:
        """One delta for each text, numbered from ``first``."""
        count = len(texts)
        parts = [self._head] * (3 * count)
        parts[1::3] = texts
        parts[2::3] = self._ends.run(first, count)
        return b"".join(parts)
