"""Items and content parts of the Responses API: each is decoded by its type.

Source of the shapes: the ``openai`` SDK (``types/responses``: ``response_input_item_param.py``,
``response_input_content_param.py``). Lenient: unknown fields are tolerated, and a field that nothing is done with is
not read at all.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, Protocol

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from modelmux.errors import InvalidRequest
from modelmux.wire.openai import common
from modelmux.wire.openai.common import CacheControlParam, PromptCacheBreakpoint
from modelmux.wire.openai.responses_members import ImageURL, decode_reported
from modelmux.wire.sliced_json import SLICE, count_objects, decode_text

#: Nested lists and objects of one item. Clients need a dozen; what decodes and encodes items recurses.
MAX_ITEM_DEPTH: Final = 128


class Typed(Struct):
    """Any object that has a type."""

    type: str


class TextPart(Struct):
    text: str
    cache_control: CacheControlParam | None = None
    prompt_cache_breakpoint: PromptCacheBreakpoint | None = None


class RefusalPart(Struct):
    refusal: str


class ImagePart(Struct):
    image_url: str | ImageURL | None = None
    file_id: str | None = None
    detail: str | None = None
    cache_control: CacheControlParam | None = None
    prompt_cache_breakpoint: PromptCacheBreakpoint | None = None


class FilePart(Struct):
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    cache_control: CacheControlParam | None = None
    prompt_cache_breakpoint: PromptCacheBreakpoint | None = None


class AudioPart(Struct):
    """Not read: nothing is done with audio."""


Part = TextPart | RefusalPart | ImagePart | FilePart | AudioPart
Content = str | list[Part] | None

#: The types of content parts that can be decoded.
PARTS: Final[dict[str, type[Struct]]] = {
    "input_text": TextPart,
    "output_text": TextPart,
    "text": TextPart,
    "refusal": RefusalPart,
    "input_image": ImagePart,
    "input_file": FilePart,
    "input_audio": AudioPart,
}
PART_TYPES: Final = frozenset(PARTS)


class Head(Struct):
    """What says which item an object is."""

    type: str | None = None
    role: str | None = None
    id: str | None = None


class MessageItem(Struct):
    """A message. The members after ``content`` are those that messages of Chat Completions have."""

    role: str
    content: str | list[Raw] | None = None
    tool_calls: Raw = Raw(b"null")
    function_call: Raw = Raw(b"null")
    tool_call_id: Any = None
    is_error: Any = None
    refusal: Any = None
    audio: Any = None
    name: Any = None


class AgentMessageItem(Struct):
    content: str | list[Raw] | None = None


class FunctionCallItem(Struct):
    name: str
    call_id: str | None = None
    arguments: str | None = None
    namespace: str | None = None


class CustomCallItem(Struct):
    name: str
    call_id: str | None = None
    input: str | None = None
    namespace: str | None = None


class OutputItem(Struct):
    """The output of a call: a text or a list of parts by OpenAI's types, any JSON from clients."""

    call_id: str | None = None
    id: str | None = None
    output: Raw = Raw(b"null")
    status: Any = None


class ReasoningItem(Struct):
    id: str | None = None
    encrypted_content: Any = None


class ReferenceItem(Struct):
    id: str


class AdditionalToolsItem(Struct):
    tools: list[Raw] | None = None


class ConfigurationUpdateItem(Struct):
    reasoning: dict[str, Any] | None = None


class CompactionItem(Struct):
    encrypted_content: Any = None


class LocalCallItem(Struct):
    """A call of a tool that runs at the client: ``action`` of shells, ``operation`` of ``apply_patch``."""

    call_id: str | None = None
    id: str | None = None
    action: dict[str, Any] | None = None
    operation: dict[str, Any] | None = None


class IgnoredItem(Struct):
    """An item of which nothing is read."""


_head_decoder: Final = msgspec.json.Decoder(Head)
_typed_decoder: Final = msgspec.json.Decoder(Typed)
_text_decoder: Final = msgspec.json.Decoder(str)
_members_decoder: Final = msgspec.json.Decoder(list[Raw])
_decoders: Final[dict[type[Any], msgspec.json.Decoder[Any]]] = {}


def decode_head(raw: bytes, path: str) -> Head:
    """What says which item an object is.

    :raises InvalidRequest: not an object, or nested beyond ``MAX_ITEM_DEPTH``.
    """
    head = common.decode_body(_head_decoder, raw, path)
    if count_objects(raw) > MAX_ITEM_DEPTH and _is_too_deep(decode_any(raw, path)):
        raise InvalidRequest("The item is nested too deeply.", param=path, hint=f"At most {MAX_ITEM_DEPTH} levels.")
    return head


def decode_item(shape: type[Any], raw: bytes, path: str) -> Any:
    """An item as one of the structs above.

    :raises InvalidRequest: with the name of the field.
    """
    decoder = _decoders.get(shape)
    if decoder is None:
        decoder = _decoders[shape] = msgspec.json.Decoder(shape)
    return common.decode_struct(decoder, raw, path)


def decode_type(raw: bytes, path: str) -> str:
    """The type of a part or of a tool. :raises InvalidRequest: it has none."""
    return common.decode_body(_typed_decoder, raw, path).type


def decode_optional_type(raw: bytes, path: str) -> str:
    """The same; empty if it has none. :raises InvalidRequest: not an object."""
    return common.decode_body(_head_decoder, raw, path).type or ""


def decode_any(raw: bytes, path: str) -> Any:
    """Any JSON. :raises InvalidRequest: nested too deeply."""
    return common.decode_any(raw, path)


class PartReader(Protocol):
    """Reads parts that are none of ``PARTS``."""

    def part(self, raw: bytes, path: str) -> Any:
        """:raises InvalidRequest: it can be read in no way."""

    def is_part(self, raw: bytes) -> bool:
        """Whether JSON that a tool returned is such a part."""


def decode_parts(
    content: str | list[Raw] | None, path: str, unknown: list[str] | None = None, others: PartReader | None = None
) -> Any:
    """Content with its parts decoded.

    :param unknown: gets the paths of members that nothing reads; None does not look for them.
    :param others: reads parts of unknown types.
    :raises InvalidRequest: a part of unknown type, or with the name of the field.
    """
    if not isinstance(content, list):
        return content
    return [_decode_part(bytes(raw), f"{path}.{index}", unknown, others) for index, raw in enumerate(content)]


def _decode_part(raw: bytes, path: str, unknown: list[str] | None, others: PartReader | None) -> Any:
    try:
        kind = _typed_decoder.decode(raw).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        kind = ""
    struct = PARTS.get(kind)
    if struct is not None and unknown is None:
        return decode_item(struct, raw, path)
    if struct is not None and unknown is not None:
        return decode_reported(struct, kind, raw, path, unknown)
    if others is not None:
        return others.part(raw, path)
    decode_type(raw, path)
    raise InvalidRequest(
        f"Unknown type of content at '{path}'.", param=f"{path}.type", hint=f"Use one of {', '.join(PARTS)}."
    )


def decode_output(raw: bytes, path: str, unknown: list[str] | None = None, others: PartReader | None = None) -> Any:
    """The output of a call: content, or the text of any other JSON. The parameters are those of ``decode_parts``.

    :raises InvalidRequest: with the name of the field.
    """
    raw = raw.strip()
    if raw == b"null":
        return None
    if raw.startswith(b'"'):
        if len(raw) > SLICE:
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                return decode_text(raw)
        text: str = common.decode_body(_text_decoder, raw, path)
        return text
    if raw.startswith(b"["):
        members = common.decode_body(_members_decoder, raw, path)
        if all(_is_part(bytes(member), others) for member in members):
            return decode_parts(members, path, unknown, others)
    return raw.decode("utf-8", "replace")


class _Telling(Typed):
    text: Raw | UnsetType = UNSET


_telling_decoder: Final = msgspec.json.Decoder(_Telling)


def _is_part(raw: bytes, others: PartReader | None) -> bool:
    try:
        telling = _telling_decoder.decode(raw)
        kind = telling.type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if kind in PARTS:  # tools, too, return objects of type `text`
        return kind != "text" or telling.text is not UNSET
    return others is not None and others.is_part(raw)


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_ITEM_DEPTH):
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, list | dict))
        level = [v for held in inner for v in held]
    return bool(level)
