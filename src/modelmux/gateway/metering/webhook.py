"""The call to a webhook, as data: who gets what, and how it is signed."""

from __future__ import annotations

import hmac
from typing import Final

from msgspec import Struct

from modelmux.version import __version__
from modelmux.wire.http import HttpCall, Origin, Timeouts

#: Seconds for one delivery.
TIMEOUT: Final = 15.0
_TIMEOUTS: Final = Timeouts(connect=5.0, send=5.0, first_byte=10.0, idle=10.0, total=TIMEOUT)


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where the deliveries of a webhook go.

    :param name: for the log; empty for that of the configuration.
    :param types: of events that it takes; None for all.
    :param secret: empty if nothing is signed.
    :param guarded: connections go to public addresses only, and to those that the operator allows.
    :param problem: why nothing can be sent, without the URL; None if it can.
    """

    id: str
    name: str = ""
    types: frozenset[str] | None = None
    origin: Origin
    target: str
    secret: bytes = b""
    guarded: bool = True
    problem: str | None = None

    def call(self, body: bytes, delivery: str, at: int) -> HttpCall:
        """One attempt.

        :param body: JSON. :param delivery: its id, the same for every attempt.
        :param at: Unix seconds, which the signature is for, so that an old one cannot be repeated.
        """
        headers = [
            (b"content-type", b"application/json"),
            (b"user-agent", f"modelmux/{__version__}".encode()),
            (b"x-modelmux-delivery", delivery.encode()),
        ]
        if self.secret:
            headers.append((b"x-modelmux-signature", f"t={at},v1={signature(self.secret, body, at)}".encode()))
        return HttpCall(self.origin, self.target, headers, body, _TIMEOUTS)


def signature(secret: bytes, body: bytes, at: int) -> str:
    """HMAC-SHA-256 of the time, a full stop and the body, in hexadecimal."""
    return hmac.new(secret, b"%d.%b" % (at, body), "sha256").hexdigest()
