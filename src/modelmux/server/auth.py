"""Who may call: the gateway's own API keys.

Decided on the headers and the configured keys alone, never on anything rebuilt from Host or the URL.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from typing import Final

from modelmux.config.weak_keys import check_keys
from modelmux.errors import Unauthorized

#: Accepted headers that are remembered, so that their keys need not be compared again.
_MOST_ACCEPTED: Final = 1024


class ApiKeys:
    """The accepted keys, kept as digests. Without any, every caller is let in (loopback only, see ``app``).

    :raises ConfigError: a key that everybody knows.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        keys = tuple(keys)
        check_keys(keys)
        self._digests = tuple(_digest(key.encode()) for key in keys)
        self._accepted: set[tuple[bytes, bytes]] = set()  # headers that bore one of them

    def __bool__(self) -> bool:
        return bool(self._digests)

    def check(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Let a request pass that bears a key as ``Authorization: Bearer`` or ``x-api-key``.

        Every key is compared, each in constant time: the time taken says nothing about any of them.

        :raises Unauthorized: no key, or none of ours.
        """
        if not self._digests:
            return
        for header in headers:
            if header[0] == b"authorization":
                if header in self._accepted:
                    return
                break
        offered, where = _offered(headers)
        if offered is None:
            raise Unauthorized(
                "No API key was sent.", hint="Send it as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'."
            )
        digest = _digest(offered)
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise Unauthorized(
                f"The API key in the header '{where}' is not valid here.",
                hint="Use a key that the operator of this gateway gave out.",
            )
        if len(self._accepted) < _MOST_ACCEPTED:
            self._accepted.update([header for header in headers if header[0] == b"authorization"][:1])


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _offered(headers: list[tuple[bytes, bytes]]) -> tuple[bytes | None, str]:
    api_key: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            scheme, _, key = value.strip().partition(b" ")
            if scheme.lower() == b"bearer" and key.strip():
                return key.strip(), "Authorization"
        elif name == b"x-api-key" and value.strip():
            api_key = value.strip()
    return api_key, "x-api-key"


def is_loopback(host: str) -> bool:
    """Whether listening on ``host`` can only be reached from this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
