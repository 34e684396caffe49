"""Bodies and query parameters as structs. Errors name the field, its value and what is expected."""

from __future__ import annotations

import functools
import json
import re
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from modelmux.errors import InvalidRequest
from modelmux.wire.json_types import in_json_terms
from modelmux.wire.openai.common import decode_any, dotted, nested_too_deeply

S = TypeVar("S", bound=Struct)
_MAX_SHOWN: Final = 60
_MAX_PARAMETERS: Final = 50
_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
_UNKNOWN: Final = re.compile(r"unknown field `(?P<field>.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"missing required field `(?P<field>[^`]*)`")


def decode_body(body: bytes, type: type[S]) -> S:
    """An empty body is an object without fields. :raises InvalidRequest:"""
    raw = decode_any(body) if body.strip() else {}
    _check_names(body)
    if not isinstance(raw, dict):
        raise InvalidRequest("The request body is not an object.", hint="Send one JSON object.")
    return _convert(raw, type, strict=True)


def _check_names(body: bytes) -> None:
    """What was sent is what counts, so no field comes twice. :raises InvalidRequest:

    :param body: JSON, or empty.
    """
    try:
        json.loads(body.decode() if body.strip() else "{}", object_pairs_hook=_named_once)
    except RecursionError:
        raise nested_too_deeply() from None


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise _twice(name)
        fields[name] = value
    return fields


def _twice(name: str) -> InvalidRequest:
    return InvalidRequest(f"{name[:_MAX_SHOWN]}: it comes twice.", param=name[:_MAX_SHOWN], hint="Send it once.")


def decode_query(query: bytes, type: type[S]) -> S:
    """:raises InvalidRequest: also for a parameter that comes twice."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        message = f"There are more than {_MAX_PARAMETERS} query parameters."
        raise InvalidRequest(message, hint="Send each once.") from None
    raw: dict[str, Any] = {}
    for name, value in pairs:
        if name in raw:
            raise _twice(name)
        raw[name] = value
    for name, value in raw.items():  # msgspec takes 1e2 and 1.0, too
        if isinstance(_type_at(type, name), msgspec.inspect.IntType) and not _INTEGER.fullmatch(value):
            raise _invalid(f"Expected `int`, got `str` - at `$.{name}`", raw, type)
    return _convert(raw, type, strict=False)


def _convert(raw: dict[str, Any], type: type[S], *, strict: bool) -> S:
    try:
        return msgspec.convert(raw, type, strict=strict)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), raw, type) from None


def _invalid(text: str, raw: Any, type: type[Struct]) -> InvalidRequest:
    match = _AT.match(text)
    what, at = (match["what"], match["path"] or "$") if match else (text, "$")
    path = dotted(at)
    unknown, missing = _UNKNOWN.search(what), _MISSING.search(what)
    if unknown is not None or missing is not None:
        field = (unknown or missing)["field"][:_MAX_SHOWN]  # type: ignore[index]
        param = f"{path}.{field}" if path else field
        if missing is not None:
            hint = f"Expected {_expected(type, param)}." if _expected(type, param) else None
            return InvalidRequest(f"{param}: it is missing.", param=param, code="missing_required_parameter", hint=hint)
        value = _shown(_value(raw, param))
        known = ", ".join(_fields(_type_at(type, path))) or "none"
        return InvalidRequest(
            f"{param}: {value} is for no known field.", param=param, code="unknown_parameter",
            hint=f"Known fields: {known}.",
        )  # fmt: skip
    expected = _expected(type, path) or _from_message(what)
    message = f"{path or 'the request'}: {_shown(_value(raw, path))} cannot be used."
    return InvalidRequest(message, param=path or None, hint=f"Expected {expected}.")


def _from_message(what: str) -> str:
    words = in_json_terms(what).partition(", got ")[0]
    return words.removeprefix("Expected ").replace("`", "")


def _shown(value: Any) -> str:
    """As JSON, shortened: secrets are in no field of the API."""
    text = json.dumps(value)  # msgspec writes no integers of more than 64 bits
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _value(raw: Any, path: str) -> Any:
    for part in path.split(".") if path else ():
        if isinstance(raw, dict):
            raw = raw.get(part)
        elif isinstance(raw, list) and part.isdecimal() and int(part) < len(raw):
            raw = raw[int(part)]
    return raw


def _type_at(type: Any, path: str) -> Any:
    """The type of a field by its path, as ``msgspec.inspect`` has it; None if it is not in the type."""
    info: Any = _info(type)
    for part in path.split(".") if path else ():
        info = _of_field(info, part)
    return info


@functools.cache  # it takes a millisecond, and there is one struct for an operation
def _info(type: Any) -> Any:
    return msgspec.inspect.type_info(type)


def _of_field(info: Any, name: str) -> Any:
    """The type of a field of a struct, or of an item, also within a union."""
    for one in getattr(info, "types", (info,)):
        for field in getattr(one, "fields", ()):
            if field.encode_name == name:
                return field.type
        if name.isdigit() and hasattr(one, "item_type"):
            return one.item_type
    return None


def _fields(info: Any) -> list[str]:
    return [field.encode_name for one in getattr(info, "types", (info,)) for field in getattr(one, "fields", ())]


def _expected(type: Any, path: str) -> str | None:
    """The values of a field that has few; None for others."""
    info = _type_at(type, path)
    texts: list[str] = []
    for one in getattr(info, "types", (info,)):
        values = getattr(one, "values", None)
        if values is not None and isinstance(one, msgspec.inspect.LiteralType):
            texts += [str(value) for value in values]
        elif isinstance(one, msgspec.inspect.NoneType):
            texts.append("null")
        elif isinstance(one, msgspec.inspect.StructType) and texts:
            texts.append("an object")
    is_list = any(isinstance(one, msgspec.inspect.LiteralType) for one in getattr(info, "types", (info,)))
    return f"one of {', '.join(texts)}" if is_list else None
