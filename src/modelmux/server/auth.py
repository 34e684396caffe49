"""Authentication with the gateway's own API keys.

Depends on headers and configured keys alone, never on a value derived from Host or the URL.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from typing import Final

from modelmux.accounts.secret_format import ADMIN_PREFIX
from modelmux.config import Config
from modelmux.config.admin_check import admin_tokens
from modelmux.config.weak_keys import check_keys
from modelmux.dialects.base import Caller
from modelmux.errors import Unauthorized

#: Accepted header values that are remembered, so that their keys need not be compared again.
_MAX_ACCEPTED: Final = 1024
#: Bytes of such a value. White space around the key may make it as long as a head.
_MAX_ACCEPTED_LENGTH: Final = 512
ANONYMOUS: Final = Caller()
KEY_HEADERS: Final = (b"authorization", b"x-api-key")
Header = tuple[bytes, bytes]


class ApiKeys:
    """The accepted keys, stored as digests. Without any, every caller is accepted (loopback only, see ``app``).

    :param admin_tokens: whoever sends one is told that keys are something else.
    :raises ConfigError: a key that is publicly known.
    """

    def __init__(self, keys: Iterable[str], admin_tokens: Iterable[str] = ()) -> None:
        keys = tuple(keys)
        check_keys(keys)
        self._admin = frozenset(_digest(token.encode()) for token in admin_tokens)
        self._digests = tuple(_digest(key.encode()) for key in keys)
        self._accepted: dict[Header, Caller] = {}  # headers with a valid key

    @classmethod
    def of(cls, config: Config) -> ApiKeys:
        """Those of a configuration. :raises ConfigError:"""
        return cls((key.reveal() for key in config.server.api_keys), admin_tokens(config.admin))

    def __bool__(self) -> bool:
        return bool(self._digests)

    def authenticate(self, headers: list[Header]) -> Caller:
        """The caller of a request with a valid key as ``Authorization: Bearer`` or ``x-api-key``; one is enough.

        Every key is compared, each in constant time, so timing reveals nothing about any of them.

        :raises Unauthorized: no key, or no valid one.
        """
        if not self._digests:
            return ANONYMOUS
        # In this order, however the client orders them: one that sends two valid keys is always the same owner.
        offered = sorted(header for header in headers if header[0] in KEY_HEADERS)
        for header in offered:
            caller = self._accepted.get(header) or self._accept(header)
            if caller is not None:
                return caller
        raise self.refusal(offered)

    def authenticate_if_offered(self, headers: list[Header]) -> Caller:
        """The caller of a request to a path that needs no key. A Google token is not a key: clients in Vertex mode send
        their own, which goes no further.

        :raises Unauthorized: a key that is not valid.
        """
        keys = [h for h in headers if h[0] in KEY_HEADERS and not is_google_token(key_of(h))]
        return self.authenticate(keys) if any(key_of(header) for header in keys) else ANONYMOUS

    def _accept(self, header: Header) -> Caller | None:
        """The caller, if the header holds a valid key."""
        key = key_of(header)
        if key is None or not self._is_valid(key):
            return None
        caller = Caller(_digest(key).hex())
        if len(self._accepted) < _MAX_ACCEPTED and may_remember(header):
            self._accepted[header] = caller
        return caller

    def _is_valid(self, key: bytes) -> bool:
        digest = _digest(key)
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(matches)

    def refusal(self, offered: list[Header]) -> Unauthorized:
        """What is wrong with the keys that a request has."""
        with_key = [name for name, value in offered if key_of((name, value)) is not None]
        if not with_key:
            return Unauthorized(
                "No API key was sent.", hint="Send it as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'."
            )
        name = "Authorization" if b"authorization" in with_key else "x-api-key"
        if any(is_google_token(key_of(header)) for header in offered):
            return Unauthorized(
                f"The header '{name}' holds a Google access token; this gateway expects one of its own API keys.",
                hint="Pass the gateway's key as the access token. The gateway has its own Google credentials.",
            )
        if any(self._is_admin_token(key_of(header)) for header in offered):
            return Unauthorized(
                f"The header '{name}' holds a token of the admin API, which is not a key for models.",
                hint="Use a virtual key: `modelmux keys create` makes one.",
            )
        return Unauthorized(
            f"The API key in the header '{name}' is not valid here.",
            hint="Use a key that the operator of this gateway gave out.",
        )

    def _is_admin_token(self, key: bytes | None) -> bool:
        return key is not None and (key.startswith(ADMIN_PREFIX.encode()) or _digest(key) in self._admin)


def may_remember(header: Header) -> bool:
    """Whether a header is short enough to be kept."""
    return len(header[1]) <= _MAX_ACCEPTED_LENGTH


def is_google_token(key: bytes | None) -> bool:
    return key is not None and key.startswith(b"ya29.")


def key_of(header: Header) -> bytes | None:
    name, value = header
    if name == b"x-api-key":
        return value.strip() or None
    scheme, _, key = value.strip().partition(b" ")
    return key.strip() or None if scheme.lower() == b"bearer" else None


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def is_loopback(host: str) -> bool:
    """Whether listening on ``host`` can only be reached from this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
