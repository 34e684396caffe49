"""Reading a request's body within bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from modelmux.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.server.body_memory import BodyMemory
from modelmux.server.responses import Receive

#: A body over the limit is read and discarded up to this many times the limit: a client that is still sending when the
#: connection closes would see a reset instead of the error.
_DISCARD_FACTOR: Final = 4
#: Media types of JSON in lower case. A page of another origin can send none of them without asking first.
_JSON: Final = re.compile(rb"application/([a-z0-9!#$&^_.-]+\+)?json|text/json")


def check_headers(headers: Mapping[bytes, bytes]) -> None:
    """Reject a body that cannot be JSON before reading it.

    :raises UnsupportedMediaType: another content type, or a content encoding.
    """
    if b"content-type" in headers:
        check_media_type(headers[b"content-type"])
    if headers.get(b"content-encoding", b"").strip().lower() not in (b"", b"identity"):
        raise UnsupportedMediaType("Compressed request bodies are not accepted.", hint="Send it uncompressed.")


def check_media_type(value: bytes) -> None:
    """Type and subtype are compared as a whole: ``text/plain; json`` is text.

    :param value: of the header ``content-type``.
    :raises UnsupportedMediaType: it is not that of JSON.
    """
    if value != b"application/json" and not _JSON.fullmatch(value.partition(b";")[0].strip(b" \t").lower()):
        raise UnsupportedMediaType(
            "The request body must be JSON.", hint="Send the header 'content-type: application/json'."
        )


class BodyReader:
    """Reads one body; its bytes count in the budget until ``release``.

    :param limit: bytes of the body.
    """

    __slots__ = ("_limit", "_memory", "_reserved")

    def __init__(self, limit: int, memory: BodyMemory) -> None:
        self._limit = limit
        self._memory = memory
        self._reserved = 0

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """The complete request body.

        :raises PayloadTooLarge: more than the limit, announced or sent.
        :raises GatewayOverloaded: there is no memory for it. If its size was announced, nothing of it was read.
        :raises ClientDisconnected: the client left while sending.
        :raises InvalidRequest, RequestTimeout: the rest of it cannot be read; the server has sent the error.
        """
        limit, memory, announced = self._limit, self._memory, _announced(headers)
        if announced > limit * _DISCARD_FACTOR:
            raise _too_large(limit)
        if announced <= limit:
            memory.check(announced)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise message.get("error") or ClientDisconnected
            part = message.get("body", b"")
            size += len(part)
            if size <= limit:
                memory.check(len(part), self._reserved)
                memory.reserve(len(part))
                self._reserved = size
                parts.append(part)
            elif size > limit * _DISCARD_FACTOR:
                raise _too_large(limit)
            else:
                parts.clear()
                self.release()
            if not message.get("more_body", False):
                break
        if size > limit:
            raise _too_large(limit)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def release(self) -> None:
        """The body was let go. Idempotent."""
        if self._reserved:
            self._memory.release(self._reserved)
            self._reserved = 0


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
