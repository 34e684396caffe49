"""The call to a webhook, as data: who gets what, and how it is signed."""

from __future__ import annotations

import hmac
from typing import Final, Self

from msgspec import Struct

from modelmux.config.accounts_check import target_of
from modelmux.config.price_overrides import AccountsConfig
from modelmux.version import __version__
from modelmux.wire.http import HttpCall, Origin, Timeouts

#: Seconds for one delivery.
TIMEOUT: Final = 15.0
_TIMEOUTS: Final = Timeouts(connect=5.0, send=5.0, first_byte=10.0, idle=10.0, total=TIMEOUT)


class Webhook(Struct, frozen=True):
    """:param secret: empty if nothing is signed."""

    origin: Origin
    target: str
    secret: bytes = b""

    @classmethod
    def of(cls, accounts: AccountsConfig) -> Self | None:
        """None if none is configured. The URL has been checked."""
        if accounts.webhook is None:
            return None
        url, secret = accounts.webhook.reveal(), accounts.webhook_secret
        return cls(Origin.parse(url), target_of(url), b"" if secret is None else secret.reveal().encode())

    def call(self, body: bytes, at: int) -> HttpCall:
        """One delivery.

        :param body: JSON. :param at: Unix seconds, which the signature is for, so that an old one cannot be repeated.
        """
        headers = [
            (b"content-type", b"application/json"),
            (b"user-agent", f"modelmux/{__version__}".encode()),
        ]
        if self.secret:
            headers.append((b"x-modelmux-signature", f"t={at},v1={signature(self.secret, body, at)}".encode()))
        return HttpCall(self.origin, self.target, headers, body, _TIMEOUTS)


def signature(secret: bytes, body: bytes, at: int) -> str:
    """HMAC-SHA-256 of the time, a full stop and the body, in hexadecimal."""
    return hmac.new(secret, b"%d.%b" % (at, body), "sha256").hexdigest()
