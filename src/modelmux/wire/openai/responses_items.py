"""Items and content parts of the Responses API: each is decoded by its type.

Source of the shapes: the ``openai`` SDK (``types/responses``: ``response_input_item_param.py``,
``response_input_content_param.py``). Lenient: unknown fields are tolerated, and a field that nothing is done with is
not read at all.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from modelmux.errors import InvalidRequest
from modelmux.wire.openai import common
from modelmux.wire.openai.common import CacheControlParam

#: Nested lists and objects of one item. Clients need a dozen; what decodes and encodes items recurses.
MAX_ITEM_DEPTH: Final = 128


class Typed(Struct):
    """Any object that has a type."""

    type: str


class TextPart(Struct):
    text: str
    cache_control: CacheControlParam | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class RefusalPart(Struct):
    refusal: str


class ImageURL(Struct):
    url: str
    detail: str | None = None


class ImagePart(Struct):
    image_url: str | ImageURL | None = None
    file_id: str | None = None
    detail: str | None = None
    cache_control: CacheControlParam | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class FilePart(Struct):
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    cache_control: CacheControlParam | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class AudioPart(Struct):
    """Not read: nothing is done with audio."""


Part = TextPart | RefusalPart | ImagePart | FilePart | AudioPart
Content = str | list[Part] | None

_PARTS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "input_text": msgspec.json.Decoder(TextPart),
    "output_text": msgspec.json.Decoder(TextPart),
    "text": msgspec.json.Decoder(TextPart),
    "refusal": msgspec.json.Decoder(RefusalPart),
    "input_image": msgspec.json.Decoder(ImagePart),
    "input_file": msgspec.json.Decoder(FilePart),
    "input_audio": msgspec.json.Decoder(AudioPart),
}
#: The types of content parts that can be decoded.
PART_TYPES: Final = frozenset(_PARTS)


class Head(Struct):
    """What says which item an object is."""

    type: str | None = None
    role: str | None = None
    id: str | None = None


class MessageItem(Struct):
    role: str
    content: str | list[Raw] | None = None


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
_any_decoder: Final = msgspec.json.Decoder()
_typed_decoder: Final = msgspec.json.Decoder(Typed)
_text_decoder: Final = msgspec.json.Decoder(str)
_members_decoder: Final = msgspec.json.Decoder(list[Raw])
_decoders: Final[dict[type[Any], msgspec.json.Decoder[Any]]] = {}


def decode_head(raw: bytes, path: str) -> Head:
    """What says which item an object is.

    :raises InvalidRequest: not an object, or nested beyond ``MAX_ITEM_DEPTH``.
    """
    head = common.decode_body(_head_decoder, raw, path)
    if raw.count(b"{") + raw.count(b"[") > MAX_ITEM_DEPTH and _is_too_deep(decode_any(raw, path)):
        raise InvalidRequest("The item is nested too deeply.", param=path, hint=f"At most {MAX_ITEM_DEPTH} levels.")
    return head


def decode_item(shape: type[Any], raw: bytes, path: str) -> Any:
    """An item as one of the structs above.

    :raises InvalidRequest: with the name of the field.
    """
    decoder = _decoders.get(shape)
    if decoder is None:
        decoder = _decoders[shape] = msgspec.json.Decoder(shape)
    return common.decode_body(decoder, raw, path)


def decode_type(raw: bytes, path: str) -> str:
    """The type of a part or of a tool. :raises InvalidRequest: it has none."""
    return common.decode_body(_typed_decoder, raw, path).type


def decode_any(raw: bytes, path: str) -> Any:
    """Any JSON. :raises InvalidRequest: nested too deeply."""
    return common.decode_body(_any_decoder, raw, path)


def decode_parts(content: str | list[Raw] | None, path: str) -> Content:
    """Content with its parts decoded.

    :raises InvalidRequest: a part of unknown type, or with the name of the field.
    """
    if not isinstance(content, list):
        return content
    return [_decode_part(bytes(raw), f"{path}.{index}") for index, raw in enumerate(content)]


def _decode_part(raw: bytes, path: str) -> Part:
    kind = decode_type(raw, path)
    decoder = _PARTS.get(kind)
    if decoder is None:
        raise InvalidRequest(
            f"Unknown type of content at '{path}'.", param=f"{path}.type", hint=f"Use one of {', '.join(_PARTS)}."
        )
    part: Part = common.decode_body(decoder, raw, path)
    return part


def decode_output(raw: bytes, path: str) -> Content:
    """The output of a call: content, or the text of any other JSON.

    :raises InvalidRequest: with the name of the field.
    """
    raw = raw.strip()
    if raw == b"null":
        return None
    if raw.startswith(b'"'):
        text: str = common.decode_body(_text_decoder, raw, path)
        return text
    if raw.startswith(b"["):
        members = common.decode_body(_members_decoder, raw, path)
        if all(_is_part(bytes(member)) for member in members):
            return decode_parts(members, path)
    return raw.decode("utf-8", "replace")


def _is_part(raw: bytes) -> bool:
    try:
        return _typed_decoder.decode(raw).type in _PARTS
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_ITEM_DEPTH):
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, list | dict))
        level = [v for held in inner for v in held]
    return bool(level)
