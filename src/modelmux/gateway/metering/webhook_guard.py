"""Where webhooks of the admin API may lead: whoever manages accounts must not reach the network of the gateway."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from modelmux.accounts.fields import FieldError
from modelmux.upstream.connect import Resolve
from modelmux.upstream.downloads.url_guard import DownloadRefused, Target, UrlGuard, parse_url
from modelmux.upstream.name_lookups import NameLookUps

#: Names that are looked up at the same time.
_LOOK_UPS: Final = 8
_PORTS: Final = range(1, 65_536)
_ALLOW: Final = "or an owner may allow its network in accounts.webhook_networks"


def guard(networks: Sequence[str], resolver: Resolve | None = None) -> UrlGuard:
    """:param networks: that count as public. :raises ValueError: one of them is not a network."""
    looks_up = resolver or NameLookUps(_LOOK_UPS, "modelmux-webhook-dns")
    return UrlGuard(resolver=looks_up, allow_private=networks, ports=_PORTS)


def checked_target(url: str, networks: Sequence[str]) -> Target:
    """A URL that may be called, as far as its text says. What its name leads to is checked with each connection.

    :raises FieldError: it may not; the message does not quote it, as it may be a secret.
    """
    rules = guard(networks)
    try:
        target = parse_url(url)
        rules.check(target)
    except DownloadRefused as error:
        if error.reason == "malformed":
            problem, expected = "it is not a plain https URL", "expected one without user, password and fragment"
        else:
            problem, expected = "its host is not public", f"expected one that is, {_ALLOW}"
        raise FieldError("url", problem, expected) from None
    if "#" in url:
        raise FieldError("url", "it has a fragment, which is never sent", "expected one without")
    if target.origin.scheme != "https" and not _is_loopback(target.origin.host):
        raise FieldError("url", "it is not https", "expected https; http is for allowed loopback addresses alone")
    return target


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
