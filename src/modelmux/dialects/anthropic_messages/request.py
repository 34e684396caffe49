"""Decodes Messages requests for native use: what routing and the reply need is read, the rest stays in its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from modelmux.claude.native import NativeRequest, blocks_of
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.base import Decoded
from modelmux.dialects.request_body import decode_legal
from modelmux.errors import InvalidRequest
from modelmux.wire.http import find_header
from modelmux.wire.openai.common import decode_body
from modelmux.wire.openai.members import check_unknown
from modelmux.wire.sliced_json import SLICE, decode_sliced, needs_slices

#: Attempts for a request that the client's SDK already repeats, fallbacks included: its retries and ours multiply.
ATTEMPTS_OF_A_RETRY: Final = 2
#: Of a message or block, on average: the shortest text block takes 25.
_LEAST_BYTES: Final = 12
_LARGE_CONTEXT: Final = "[1m]"  # a client's mark for the window it assumes; part of no model's name
_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def decode_native(
    headers: Sequence[tuple[bytes, bytes]],
    body: bytes,
    *,
    model: str | None = None,
    stream: bool | None = None,
    location: str | None = None,
) -> Decoded:
    """
    :param model, stream, location: where the path of the request says it, not the body.
    :raises InvalidRequest: naming the field.
    """
    content, legal = decode_legal(body, _decode)
    name = _model(content) if model is None else model
    name = name[: -len(_LARGE_CONTEXT)] if name.lower().endswith(_LARGE_CONTEXT) else name
    wants_stream = _stream(content) if stream is None else stream
    version = find_header(headers, b"anthropic-version")
    blocks = list(blocks_of(content))
    _check_number(blocks, content, body)
    check_unknown(content)  # the few known ones count as well; each costs microseconds when the body is edited
    native = NativeRequest(
        legal.data,
        content,
        blocks,
        wants_stream,
        _betas(headers),
        version.strip() if version is not None else None,
        location,
        notices=legal.notices,
    )
    is_retry = (find_header(headers, b"x-stainless-retry-count") or "0").strip() != "0"
    return Decoded(
        name,
        wants_stream,
        None,
        ReplyPlan(name),
        native=native,
        max_attempts=ATTEMPTS_OF_A_RETRY if is_retry else None,
        end_user=_end_user(content),
    )


def _end_user(content: dict[str, Any]) -> str | None:
    metadata = content.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    return user if isinstance(user, str) else None


def _decode(body: bytes) -> dict[str, Any]:
    """:raises InvalidRequest: not a JSON object."""
    if needs_slices(body):
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            content = decode_sliced(body)
            if isinstance(content, dict):
                return content
    return decode_body(_decoder, body)


def _check_number(blocks: Sequence[Any], content: dict[str, Any], body: bytes) -> None:
    """Refuse a request of next to nothing but empty blocks, each of which costs as much as one with a text.

    :raises InvalidRequest:
    """
    if len(body) > SLICE:
        messages = content.get("messages")
        number = len(blocks) + (len(messages) if isinstance(messages, list) else 0)
        if number > len(body) // _LEAST_BYTES:
            raise InvalidRequest("messages: There are too many empty messages or blocks.", param="messages")


def _model(content: dict[str, Any]) -> str:
    model = content.get("model")
    if not isinstance(model, str) or not model:
        problem = "Input should be a string." if "model" in content else "Field required."
        raise InvalidRequest(f"model: {problem}", param="model", hint="GET /v1/models lists the models served here.")
    return model


def _stream(content: dict[str, Any]) -> bool:
    stream = content.get("stream", False)
    if stream is None:
        return False
    if not isinstance(stream, bool):
        raise InvalidRequest("stream: Input should be true or false.", param="stream")
    return stream


def _betas(headers: Sequence[tuple[bytes, bytes]]) -> tuple[str, ...]:
    values = (part.strip() for key, value in headers if key == b"anthropic-beta" for part in value.split(b","))
    return tuple(dict.fromkeys(value.decode("latin-1") for value in values if value))
