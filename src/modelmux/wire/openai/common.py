"""What all OpenAI-shaped endpoints share: the error envelope, the model list, and errors of decoding made readable.

Source of the shapes: the ``openai`` SDK (``types/shared/error_object.py``, ``types/model.py``).
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from modelmux.errors import GatewayError, InvalidRequest

T = TypeVar("T")


class ErrorObject(Struct):
    """All four keys are always present: clients read them without asking."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorEnvelope(Struct):
    error: ErrorObject


class Model(Struct, kw_only=True):
    """One entry of ``/v1/models``. ``created`` in seconds."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "anthropic"


class ModelList(Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[Model]


_encoder: Final = msgspec.json.Encoder()


def encode(value: Any) -> bytes:
    """Any of our structs as JSON bytes."""
    return _encoder.encode(value)


def envelope(error: GatewayError) -> ErrorEnvelope:
    """The body a client gets for an error. Holds nothing but what the error declares public."""
    return ErrorEnvelope(ErrorObject(error.public_message, error.type, error.param, error.code))


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a request body.

    :raises InvalidRequest: naming the field where msgspec can, and never quoting what the body holds.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid_field(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _invalid_json(body, error) from None
    except RecursionError:
        raise InvalidRequest(
            "The request body is nested too deeply.", hint="Flatten it: no client needs more than a few hundred levels."
        ) from None


def _invalid_json(body: bytes, error: Exception) -> InvalidRequest:
    if not body.strip():
        return InvalidRequest("The request body is empty.", hint="Send a JSON object.")
    if isinstance(error, UnicodeDecodeError):
        return InvalidRequest("The request body is not valid UTF-8.", hint="Encode the JSON as UTF-8.")
    return InvalidRequest(
        f"The request body is not valid JSON: {str(error).removeprefix('JSON is malformed: ')}.",
        hint="Send one JSON object with content-type application/json.",
    )


# What msgspec says, e.g. "Expected `str`, got `int` - at `$.messages[0].content`".
_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"missing required field `(?P<field>[^`]*)`")
_INDEX: Final = re.compile(r"\[(\d+)\]")
_ANY_KEY: Final = "[...]"  # a value of a free-form object; msgspec does not say which, and a key may be a secret


def dotted(path: str) -> str:
    """``$.messages[0].content`` as OpenAI writes it: ``messages.0.content``. Ends where the client's own keys begin."""
    return _INDEX.sub(r".\1", path.partition(_ANY_KEY)[0]).removeprefix("$").removeprefix(".")


def _invalid_field(text: str) -> InvalidRequest:
    match = _AT.match(text)
    what, path = (match["what"], dotted(match["path"] or "")) if match else (text, "")
    if what.startswith(("Invalid value ", "Invalid enum value ")):
        what = "Unknown value"  # theirs quotes the body; the path already says where to look
    missing = _MISSING.search(what)
    if missing:
        field = f"{path}.{missing['field']}" if path else missing["field"]
        return InvalidRequest(f"Missing required parameter: '{field}'.", param=field, code="missing_required_parameter")
    where = f"'{path}'" if path else "the request body"
    return InvalidRequest(f"Invalid value for {where}: {what[:1].lower()}{what[1:]}.", param=path or None)
