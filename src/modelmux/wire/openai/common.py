"""Shared by all OpenAI endpoints: the error envelope, the model list, and readable decoding errors.

Source of the shapes: the ``openai`` SDK (``types/shared/error_object.py``, ``types/model.py``).
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from modelmux.errors import GatewayError, InvalidRequest
from modelmux.wire import sliced_json
from modelmux.wire.json_types import in_json_terms
from modelmux.wire.sliced_json import needs_slices

T = TypeVar("T")
S = TypeVar("S", bound=Struct)


class ErrorObject(Struct):
    """All four keys are always present: clients access them without a check."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorEnvelope(Struct):
    error: ErrorObject


class CacheControlParam(Struct, omit_defaults=True):
    """A cache breakpoint in Anthropic's form, which several clients send."""

    type: str = "ephemeral"
    ttl: str | None = None


class CacheMarker(CacheControlParam, forbid_unknown_fields=True):
    """As its base, but closed."""


class PromptCacheBreakpoint(Struct):
    """A cache breakpoint in OpenAI's form."""

    mode: Any = None
    ttl: Any = None


class BreakpointMarker(PromptCacheBreakpoint, forbid_unknown_fields=True):
    """As its base, but closed."""


class Model(Struct, kw_only=True):
    """One entry of ``/v1/models``. ``created`` is in seconds.

    OpenAI's has no limits. Other servers add them, each under a name of its own, and clients look for several: Groq
    (``context_window``, ``max_completion_tokens``), OpenRouter and LM Studio (``context_length``), vLLM
    (``max_model_len``). ``max_output_tokens`` is OpenAI's own name of the limit in a request.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "anthropic"
    context_window: int
    context_length: int
    max_model_len: int
    max_output_tokens: int
    max_completion_tokens: int


class ModelList(Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[Model]


_encoder: Final = msgspec.json.Encoder()
_any: Final = msgspec.json.Decoder()


def encode(value: Any) -> bytes:
    """A struct as JSON bytes."""
    return _encoder.encode(value)


def envelope(error: GatewayError) -> ErrorEnvelope:
    """The error body for a client. Contains only the public parts of the error."""
    return ErrorEnvelope(ErrorObject(error.public_message, error.type, error.param, error.code))


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes, path: str = "") -> T:
    """Decode a request body, or a part of one.

    :param path: of the part in the body.
    :raises InvalidRequest: with the name of the field if msgspec reports it; never quotes values of the body.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid_field(str(error), path) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _invalid_json(body, error) from None
    except RecursionError:
        raise nested_too_deeply() from None


def decode_struct(decoder: msgspec.json.Decoder[S], body: bytes, path: str = "") -> S:
    """The same for a struct whose dicts may hold anything; what is long is decoded in slices."""
    if needs_slices(body):
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return sliced_json.decode_struct(body, decoder)
    return decode_body(decoder, body, path)


def decode_any(body: bytes, path: str = "") -> Any:
    """Any JSON; what is long is decoded in slices. :raises InvalidRequest: it is none, or nested too deeply."""
    if needs_slices(body):
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return sliced_json.decode_sliced(body)
    return decode_body(_any, body, path)


def nested_too_deeply() -> InvalidRequest:
    return InvalidRequest(
        "The request body is nested too deeply.", hint="Flatten it: no client needs more than a few hundred levels."
    )


def check_encoding(body: bytes) -> None:
    """Check all of a body, parts that are kept and not decoded included.

    :raises InvalidRequest: not UTF-8.
    """
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError as error:
        raise _invalid_json(body, error) from None


def _invalid_json(body: bytes, error: Exception) -> InvalidRequest:
    if not body.strip():
        return InvalidRequest("The request body is empty.", hint="Send a JSON object.")
    if isinstance(error, UnicodeDecodeError):
        return InvalidRequest("The request body is not valid UTF-8.", hint="Encode the JSON as UTF-8.")
    return InvalidRequest(
        f"The request body is not valid JSON: {str(error).removeprefix('JSON is malformed: ')}.",
        hint="Send one JSON object with content-type application/json.",
    )


# A message of msgspec, for example "Expected `str`, got `int` - at `$.messages[0].content`".
_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"missing required field `(?P<field>[^`]*)`")
_INDEX: Final = re.compile(r"\[(\d+)\]")
_ANY_KEY: Final = "[...]"  # a key of a free-form object: msgspec does not name it, and it may be a secret


def dotted(path: str) -> str:
    """A path of msgspec, ``$.messages[0].content``, in OpenAI's form, ``messages.0.content``.

    Stops before keys of free-form objects.
    """
    return _INDEX.sub(r".\1", path.partition(_ANY_KEY)[0]).removeprefix("$").removeprefix(".")


def invalid_field(text: str, part: str = "") -> InvalidRequest:
    """The error for a message of msgspec.

    :param part: path of the part of the body that was decoded.
    """
    match = _AT.match(in_json_terms(text))
    what, path = (match["what"], dotted(match["path"] or "")) if match else (text, "")
    path = f"{part}.{path}".strip(".")
    if what.startswith(("Invalid value ", "Invalid enum value ")):
        what = "Unknown value"  # the original message quotes the body; the path is enough
    missing = _MISSING.search(what)
    if missing:
        field = f"{path}.{missing['field']}" if path else missing["field"]
        return InvalidRequest(f"Missing required parameter: '{field}'.", param=field, code="missing_required_parameter")
    where = f"'{path}'" if path else "the request body"
    return InvalidRequest(f"Invalid value for {where}: {what[:1].lower()}{what[1:]}.", param=path or None)
