"""Fields of Chat Completions in a Responses request whose meaning is unambiguous: read as those of Responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from modelmux.wire.openai.common import decode_body
from modelmux.wire.openai.members import remove_unknown, shape_of
from modelmux.wire.openai.responses_items import decode_any
from modelmux.wire.openai.responses_request import Reasoning, ResponsesRequest, TextConfig, TextFormat


class _JsonSchema(Struct):
    name: str | None = None
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class _ResponseFormat(Struct):
    type: str
    json_schema: _JsonSchema | None = None


_FORMAT_SHAPE: Final = shape_of(_ResponseFormat)
_number: Final = msgspec.json.Decoder(int | None)
_effort: Final = msgspec.json.Decoder(str | None)
_format: Final = msgspec.json.Decoder(_ResponseFormat | None)


def unknown_chat_fields(fields: Mapping[str, Raw]) -> list[str]:
    """The paths of unknown members inside of fields of Chat Completions."""
    raw = bytes(fields.get("response_format", b"null"))
    if not raw.startswith(b"{"):
        return []
    return [f"response_format.{name}" for name in remove_unknown(decode_any(raw, "response_format"), _FORMAT_SHAPE)]


def take_chat_fields(request: ResponsesRequest, fields: dict[str, Raw]) -> dict[str, str]:
    """Set what fields of Chat Completions ask for, unless the request's own fields do.

    :param fields: those of the request as the client wrote them; the ones that are taken are replaced.
    :returns: what was taken -> the field that it was read as.
    :raises InvalidRequest: a value that does not fit.
    """
    taken: dict[str, str] = {}
    for name, (target, take) in _TAKERS.items():
        raw = fields.get(name)
        if raw is not None and take(request, bytes(raw), name, fields):
            del fields[name]
            taken[name] = target
    return taken


def _max_tokens(request: ResponsesRequest, raw: bytes, name: str, fields: dict[str, Raw]) -> bool:
    del fields
    value = decode_body(_number, raw, name)
    if value is None or request.max_output_tokens is not None:
        return False
    request.max_output_tokens = value
    return True


def _reasoning_effort(request: ResponsesRequest, raw: bytes, name: str, fields: dict[str, Raw]) -> bool:
    del fields
    value = decode_body(_effort, raw, name)
    if value is None or (request.reasoning is not None and request.reasoning.effort is not None):
        return False
    request.reasoning = request.reasoning or Reasoning()
    request.reasoning.effort = value
    return True


def _response_format(request: ResponsesRequest, raw: bytes, name: str, fields: dict[str, Raw]) -> bool:
    value = decode_body(_format, raw, name)
    if value is None or (request.text is not None and request.text.format is not None):
        return False
    inner = value.json_schema or _JsonSchema()
    form = TextFormat(value.type, inner.name, inner.schema, inner.description, inner.strict)
    request.text = request.text or TextConfig()
    request.text.format = form
    shown = {key: value for key, value in msgspec.structs.asdict(form).items() if value is not None}
    fields["text"] = Raw(msgspec.json.encode({"format": shown}))  # which the response repeats
    return True


_Take = Callable[[ResponsesRequest, bytes, str, dict[str, Raw]], bool]
_TAKERS: Final[dict[str, tuple[str, _Take]]] = {
    "max_completion_tokens": ("max_output_tokens", _max_tokens),
    "max_tokens": ("max_output_tokens", _max_tokens),
    "reasoning_effort": ("reasoning.effort", _reasoning_effort),
    "response_format": ("text.format", _response_format),
}
