"""Other dialects inside items: Chat Completions' messages, parts and calls, Anthropic's blocks, MCP's content.

Each is first what it is in Chat Completions (``openai_shared/foreign``), then what it is here, so that both dialects
take the same. Only what the decoders of ``wire`` do not know comes here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from modelmux.claude.open_calls import LEGACY_PREFIX
from modelmux.dialects.openai_chat.sdk_members import is_added_by_sdk
from modelmux.dialects.openai_shared.caching import read_breakpoint
from modelmux.dialects.openai_shared.context import TranslationContext
from modelmux.dialects.openai_shared.foreign.calls import normalise_call, normalise_calls, normalise_function_call
from modelmux.dialects.openai_shared.foreign.parts import CALLS, RESULTS, SERVER_TOOLS, normalise_part, taken_types
from modelmux.dialects.openai_shared.foreign.parts import PART_TYPES as FOREIGN_TYPES
from modelmux.dialects.openai_shared.foreign.records import is_part
from modelmux.dialects.openai_shared.foreign.rewrite import (
    Json,
    Rewrite,
    first,
    in_client_terms,
    unknown_value,
    unread,
    wrong_type,
)
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import CacheControl
from modelmux.wire.openai import chat_request
from modelmux.wire.openai import responses_items as wire
from modelmux.wire.openai.common import CacheControlParam
from modelmux.wire.openai.responses_members import decode_reported

_THINKING: Final = ("thinking", "redacted_thinking", "reasoning")
_SENT_BACK: Final = "Blocks of a reply that only Claude's own API can carry are not sent."
NOT_A_FIELD: Final = "Not a field of Responses."
#: Types of parts and blocks that may stand among the items.
ITEM_TYPES: Final = frozenset((*wire.PARTS, *FOREIGN_TYPES))
_TYPES: Final = tuple(dict.fromkeys((*wire.PARTS, *FOREIGN_TYPES)))
_RESULT_IDS: Final = ("tool_use_id", "tool_call_id", "call_id", "toolCallId")
_RESULT_MEMBERS: Final = ("type", *_RESULT_IDS, "content", "is_error", "isError", "cache_control")


class File(Struct, frozen=True):
    """An image or a file.

    :param fields: member of the part -> the client's path of it.
    """

    part: wire.ImagePart | wire.FilePart
    fields: dict[str, str]


class Call(Struct, frozen=True):
    """A call of a tool, with the client's path of its members."""

    id: str
    name: str
    text: str | None
    is_custom: bool
    path: str
    name_field: str
    text_field: str


class Result(Struct, frozen=True):
    """The result of a tool.

    :param call_id: None if it does not say it.
    :param content: JSON.
    :param name: of the tool, if it says it.
    """

    call_id: str | None
    content: bytes
    is_error: bool
    marker: CacheControl | None
    path: str
    id_field: str
    content_field: str
    name: str | None = None


class LeftOut(Struct, frozen=True):
    """A part that is not sent; a notice says so."""


class ForeignReader:
    """Reads the foreign shapes of one request."""

    def __init__(self, ctx: TranslationContext, role: str = "user") -> None:
        """:param role: of the message that the parts belong to, which decides what an error lists."""
        self._ctx = ctx
        self._role = role

    def part(self, raw: bytes, path: str) -> Any:
        """A part of an unknown type, or without one, as one of ``wire``'s or of this module's.

        :raises InvalidRequest: it can be read in no way.
        """
        value = wire.decode_any(raw, path)
        kind = value.get("type") if isinstance(value, dict) else None
        if kind is not None and kind not in _TYPES:
            taken = [name for name in taken_types(self._role, _TYPES) if name not in _THINKING]
            raise unknown_value(kind, f"{path}.type", taken)
        if kind in CALLS:
            return self.call(value, path)
        if kind in RESULTS:
            return self.result(value, path)
        if kind in (*_THINKING, *SERVER_TOOLS):
            self._ctx.notices.add("dropped", path, _SENT_BACK)
            return LeftOut()
        rewrite = self._rewrite()
        part = normalise_part(value, path, rewrite)
        assert part is not None
        return self._native(part, path, rewrite)

    def item(self, raw: bytes, path: str, unknown: list[str]) -> Any:
        """A part or block that stands among the items, of one of ``ITEM_TYPES``.

        :param unknown: gets the paths of members that nothing reads.
        :raises InvalidRequest: it can be read in no way.
        """
        kind = wire.decode_type(raw, path)
        struct = wire.PARTS.get(kind)
        return self.part(raw, path) if struct is None else decode_reported(struct, kind, raw, path, unknown)

    def is_part(self, raw: bytes) -> bool:
        """Whether JSON that a tool returned is a part of another dialect."""
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return is_part(value)

    def calls(self, raw: bytes, path: str) -> list[Call]:
        """``tool_calls`` of a message. :raises InvalidRequest: one that can be read in no way."""
        rewrite = self._rewrite()
        calls = normalise_calls(wire.decode_any(raw, path), path, rewrite)
        return [self._call(call, f"{path}.{index}", rewrite) for index, call in enumerate(calls)]

    def call(self, value: Any, path: str) -> Call:
        """One call. :raises InvalidRequest: it can be read in no way."""
        rewrite = self._rewrite()
        return self._call(normalise_call(value, path, rewrite), path, rewrite)

    def function_call(self, raw: bytes, path: str) -> Call:
        """The legacy ``function_call`` of a message, which has no id."""
        inner = normalise_function_call(wire.decode_any(raw, path), path, self._rewrite())
        rewrite = self._rewrite()
        rewrite.renamed(f"{path}.function", path)
        call = self._call({"type": "function", "function": inner}, path, rewrite)
        return msgspec.structs.replace(call, id=f"{LEGACY_PREFIX}{call.name}")

    def result(self, value: Json, path: str) -> Result:
        """Anthropic's ``tool_result``."""
        self._report(value, _RESULT_MEMBERS, path)
        name = next((name for name in _RESULT_IDS if value.get(name) is not None), _RESULT_IDS[0])
        field = f"{path}.{name}"
        marker = value.get("cache_control")
        return Result(
            _as_id(value[name], field) if value.get(name) is not None else None,
            msgspec.json.encode(value.get("content")),
            first(value, "is_error", "isError") is True,
            read_breakpoint(CacheControlParam(ttl=marker.get("ttl")), None, path) if isinstance(marker, dict) else None,
            path,
            field,
            f"{path}.content",
        )

    def tool_message(self, item: wire.MessageItem, path: str) -> Result:
        """A message with the result of a tool, in the form of Chat Completions."""
        id: str | None = None
        field = f"{path}.tool_call_id"
        if item.tool_call_id is not None:
            id = _as_id(item.tool_call_id, field)
        elif item.role.lower() == "function":
            id, field = f"{LEGACY_PREFIX}{item.name}", f"{path}.name"
        content = msgspec.json.encode(item.content)
        return Result(id, content, item.is_error is True, None, path, field, f"{path}.content", item.name)

    def unwrapped(self, raw: bytes, path: str) -> tuple[bytes, str, bool]:
        """What a tool returned, or the content of it where it is MCP's result of a call.

        :returns: the JSON, the client's path of it, and whether it is an error.
        """
        if not raw.startswith(b"{") or b'"content"' not in raw:
            return raw, path, False
        value = wire.decode_any(raw, path)
        content = value.get("content")
        if not isinstance(content, list) or "type" in value or not content or not all(map(_is_typed, content)):
            return raw, path, False
        self._report(value, ("content", "isError", "is_error"), path)
        return msgspec.json.encode(content), f"{path}.content", first(value, "isError", "is_error") is True

    def _rewrite(self) -> Rewrite:
        return Rewrite(self._ctx.notices)

    def _native(self, part: Json, path: str, rewrite: Rewrite) -> Any:
        """A part of Chat Completions as one of Responses."""
        kind = part["type"]
        if kind == "image_url":
            image: wire.ImagePart = self._decode(wire.ImagePart, "input_image", part, path)
            return File(image, {"image_url": rewrite.client_spelling(f"{path}.image_url")})
        if kind == "file":
            inner = part["file"]
            self._report(inner, chat_request.File.__struct_fields__, f"{path}.file")
            members = {name: inner[name] for name in wire.FilePart.__struct_fields__ if name in inner}
            flat = {name: value for name, value in part.items() if name != "file"} | members
            fields = {
                name: rewrite.client_spelling(f"{path}.file.{name}") for name in ("file_data", "file_url", "file_id")
            }
            return File(self._decode(wire.FilePart, "input_file", flat, path), fields)
        struct = wire.PARTS.get(kind)
        assert struct is not None
        return self._decode(struct, kind, part, path)

    def _decode(self, struct: type[Struct], kind: str, value: Json, path: str) -> Any:
        unknown: list[str] = []
        part = decode_reported(struct, kind, msgspec.json.encode(value), path, unknown)
        for name in unknown:
            if not is_added_by_sdk(f"messages.0.content.0.{name.removeprefix(path + '.')}"):
                self._ctx.notices.ignore_unknown(name[:80], NOT_A_FIELD)
        return part

    def _call(self, value: Json, path: str, rewrite: Rewrite) -> Call:
        try:
            call, unknown = chat_request.convert_call(value, path)
        except InvalidRequest as error:
            raise in_client_terms(error, rewrite) from None
        for name in unknown:
            if not is_added_by_sdk(f"messages.0.tool_calls.0.{name}"):
                self._ctx.notices.ignore_unknown(rewrite.client_spelling(f"{path}.{name}")[:80], NOT_A_FIELD)
        custom = isinstance(call, chat_request.CustomToolCall)
        inner = call.custom if isinstance(call, chat_request.CustomToolCall) else call.function
        kind, member = ("custom", "input") if custom else ("function", "arguments")
        return Call(
            call.id,
            inner.name,
            inner.input if isinstance(inner, chat_request.CustomCall) else inner.arguments,
            custom,
            path,
            rewrite.client_spelling(f"{path}.{kind}.name"),
            rewrite.client_spelling(f"{path}.{kind}.{member}"),
        )

    def _report(self, value: Json, known: Iterable[str], path: str) -> None:
        for name in unread(value, *known):
            if not is_added_by_sdk(f"messages.0.content.0.{name}"):
                self._ctx.notices.ignore_unknown(f"{path}.{name}"[:80], NOT_A_FIELD)


def _as_id(value: Any, field: str) -> str:
    """:raises InvalidRequest: an id that is neither a text nor a number."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise wrong_type(value, field, "a string")


def _is_typed(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") in _TYPES
