"""Who a proxy in front of this listener says has sent a request: the e-mail address of a person.

Believed is a plain header from listed peers alone, or the signed one of Google's Identity-Aware Proxy from anywhere. On
loopback, neither is believed under a name that is not of this machine: a page that rebinds its name sets headers, too.
Nothing is remembered of a sign-in: each request is decided by the people of now.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import Callable
from typing import Final, Protocol

from modelmux.accounts.access import is_within
from modelmux.accounts.directory import Directory
from modelmux.accounts.sign_ins import NO_ROLES, Roles, Subject, person_of_email, subject_of
from modelmux.admin.errors import PersonUnknown
from modelmux.config.proxy_sign_in import IAP_HEADER
from modelmux.errors import NotPermitted, Unauthorized
from modelmux.server.host_and_origin import HostAndOriginCheck
from modelmux.server.responses import Scope
from modelmux.store.directory.issuer import Issuer

_HOST_HINT: Final = (
    "On loopback a proxy signs in only under names of this machine: add the name that it passes on as Host to "
    "admin.allowed_hosts."
)
_PURPOSE: Final = b"csrf of people whom a proxy signs in"


class AddressSource(Protocol):
    """Where the address of a person comes from."""

    async def email(self, scope: Scope) -> str | None:
        """None where the proxy says nothing. :raises Unauthorized: what it says cannot be believed."""
        ...


class TrustedHeader:
    """A plain header. :param peers: networks of the proxies, in CIDR notation."""

    def __init__(self, name: str, peers: tuple[str, ...]) -> None:
        self._name = name.strip().lower().encode("ascii")
        self._peers = tuple(peer.strip() for peer in peers)

    async def email(self, scope: Scope) -> str | None:
        """Of the peer of the connection, and never of a header that names another one."""
        client = scope.get("client")
        if not client or not is_within(client[0], self._peers):
            return None
        return _only(scope, self._name)


class IapAssertion:
    """The signed header of the Identity-Aware Proxy.

    :param keys: see ``SigningKeys``. :param now: Unix seconds.
    """

    def __init__(self, audience: str, keys: FindsKeys, now: Callable[[], float]) -> None:
        self.keys = keys
        self._audience = audience
        self._now = now

    async def email(self, scope: Scope) -> str | None:
        """:raises SigningKeysUnavailable: the keys of Google cannot be had."""
        from modelmux.admin.iap import email_of, key_id, unknown_key  # google-auth is slow to import

        assertion = _only(scope, IAP_HEADER.encode("ascii"))
        if assertion is None:
            return None
        key = await self.keys.find(key_id(assertion))
        if key is None:
            raise unknown_key()
        return email_of(assertion, key, self._audience, self._now())


class FindsKeys(Protocol):
    async def find(self, kid: str) -> str | None:
        """A public key in PEM; None if there is none of this id."""
        ...


class ProxySignIn:
    """
    :param issuer: reads the peppers, and makes none. CSRF tokens follow from them: all nodes of a database take those
        of each other.
    :param roles: see ``subject_of``.
    :param hosts: names besides those of this machine under which proxies reach it by loopback.
    """

    def __init__(
        self,
        source: AddressSource,
        issuer: Callable[[], Issuer],
        roles: Roles = NO_ROLES,
        hosts: frozenset[str] = frozenset(),
    ) -> None:
        self.source = source
        self._hosts = HostAndOriginCheck(hosts, host_hint=_HOST_HINT)
        self._issuer = issuer
        self._roles = roles

    async def email(self, scope: Scope) -> str | None:
        """See ``AddressSource``. :raises MisdirectedRequest: it may come from a page whose name was made to resolve to
        this machine.
        """
        email = await self.source.email(scope)
        if email is not None:  # the listener checks only where it is on loopback alone
            hosts = [(name, value) for name, value in scope["headers"] if name == b"host"]
            self._hosts.check({**scope, "headers": hosts}, scope["path"])
        return email

    def subject(self, directory: Directory, email: str) -> Subject:
        """Who has an address, with the role of now. :raises NotPermitted: the person is unknown or disabled."""
        person = person_of_email(directory, email)
        subject = None if person is None else subject_of(directory, person.id, self._roles)
        if person is None:
            raise PersonUnknown(
                "The proxy has signed you in, but this gateway does not know your e-mail address.",
                code="person_unknown",
                hint="Ask the owner of this gateway to add you: `modelmux people create ADDRESS`.",
            )
        if subject is None:
            raise NotPermitted(
                "The proxy has signed you in, but you are disabled here.", code="person_disabled",
                hint="Ask the owner of this gateway to enable you: `modelmux people edit ADDRESS --enable`.",
            )  # fmt: skip
        return subject

    async def csrf_tokens(self, subject: Subject) -> tuple[str, ...]:
        """The CSRF tokens of a person's writes, which no other person knows: that which pages send, and those by other
        peppers. :raises StoreFailed, ConfigError:
        """
        issuer = await asyncio.to_thread(self._issuer)
        return tuple(_token(key, subject) for key in issuer.derived(_PURPOSE))


def _token(key: bytes, subject: Subject) -> str:
    digest = hmac.digest(key, (subject.person or "").encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _only(scope: Scope, name: bytes) -> str | None:
    """The value of a header; None without one. :raises Unauthorized: there are several."""
    values = [value.strip() for one, value in scope["headers"] if one == name]
    if len(values) > 1:
        raise Unauthorized(
            f"The header {name.decode()} was sent more than once.", code="header_repeated",
            hint="The proxy has to remove the header from what clients send, and to set it once.",
        )  # fmt: skip
    if not values or not values[0]:
        return None
    return str(values[0], "latin-1")
