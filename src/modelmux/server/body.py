"""Reading a request's body within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modelmux.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.server.responses import Receive

#: A body over the limit is read and discarded up to this many times the limit: a client that is still sending when the
#: connection closes would see a reset instead of the error.
_DISCARD_FACTOR: Final = 4


def check_headers(headers: Mapping[bytes, bytes]) -> None:
    """Reject a body that cannot be JSON before reading it.

    :raises UnsupportedMediaType: another content type, or a content encoding.
    """
    if b"json" not in headers.get(b"content-type", b"json").lower():
        raise UnsupportedMediaType(
            "The request body must be JSON.", hint="Send the header 'content-type: application/json'."
        )
    if headers.get(b"content-encoding", b"").strip().lower() not in (b"", b"identity"):
        raise UnsupportedMediaType("Compressed request bodies are not accepted.", hint="Send it uncompressed.")


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """The complete request body.

    :raises PayloadTooLarge: more than ``limit`` bytes, announced or sent.
    :raises ClientDisconnected: the client left while sending.
    """
    if _announced(headers) > limit * _DISCARD_FACTOR:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > limit * _DISCARD_FACTOR:
            raise _too_large(limit)
        else:
            parts.clear()
        if not message.get("more_body", False):
            break
    if size > limit:
        raise _too_large(limit)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The request body is larger than {limit // (1024 * 1024)} MiB, the most Vertex AI accepts.",
        hint="Send fewer or smaller images and documents.",
    )


def _announced(headers: Mapping[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        raise InvalidRequest("The header 'content-length' is not a number.")
    return int(length)
