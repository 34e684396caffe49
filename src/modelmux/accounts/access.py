"""Whether a key may be used: decided in one order for every key, status first.

Each refusal names what is not allowed. Nothing here depends on how a key was made, or on whose it is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.name_pattern import matches_any, matches_model
from modelmux.accounts.records import Key, Secret
from modelmux.errors import NotPermitted, Unauthorized

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Where IPv6 has the addresses of IPv4.
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
#: An address with a port, as some proxies write it, or in brackets.
_WITH_PORT: Final = re.compile(r"\[([^\[\]]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")
_ASK: Final = "Ask {} for a new one."
_OPERATOR: Final = "the operator of this gateway"


def check_key(directory: Directory, secret: Secret, now: int, address: str | None) -> Key:
    """The key of a secret, if it may be used now and from here.

    :param now: microseconds in UTC.
    :param address: of the client; None if it is not known.
    :raises Unauthorized: it is revoked, disabled or has expired.
    :raises NotPermitted: not from this address.
    """
    key = directory.keys[secret.key]
    _check_status(directory, key)
    if key.expires is not None and now >= key.expires:
        raise _refused(directory, key, "has expired", "key_expired")
    if secret.valid_until is not None and now >= secret.valid_until:
        hint = "Use the secret that its rotation returned."
        raise Unauthorized(f"This secret of the API key {key.name!r} has expired.", code="key_expired", hint=hint)
    if key.addresses and not is_within(address, key.addresses):
        raise NotPermitted(
            f"The API key {key.name!r} may not be used from the address {address or 'of this client'}.",
            code="address_not_allowed",
            hint=f"It may be used from {', '.join(key.addresses)}.",
        )
    return key


def check_api(key: Key, api: str) -> None:
    """:raises NotPermitted: the key may not use this API."""
    if key.apis and api not in key.apis:
        raise NotPermitted(
            f"The API key {key.name!r} may not use the API {api!r}.",
            code="api_not_allowed",
            hint=f"It may use {', '.join(key.apis)}.",
        )


def allowed_models(patterns: Iterable[str], route: str, models: Iterable[str]) -> set[str] | None:
    """Which models of a route a key may use. Models are compared as ``normalise`` writes their names.

    :param patterns: of the key, with the targets of aliases that they match; empty for all.
    :param models: ids of the models of the route itself, without its fallbacks.
    :returns: None for all of them: the pattern is that of the route.
    """
    patterns = tuple(patterns)
    if not patterns or matches_any(route, patterns):
        return None
    return {model for model in models if any(matches_model(model, pattern) for pattern in patterns)}


def is_within(address: str | None, networks: tuple[str, ...]) -> bool:
    """Whether an address is in one of the networks. What of IPv4 was mapped to IPv6, counts as what it is:
    addresses and networks.

    :param address: also with a port, as some proxies write it: ``10.0.0.5:443``, ``[::1]:443``.
    """
    if address is None:
        return False
    try:
        parsed = ipaddress.ip_address(_without_port(address).partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return any((mapped or parsed) in network for network in _parsed(networks))


def _without_port(address: str) -> str:
    match = _WITH_PORT.fullmatch(address)
    return (match[1] or match[2]) if match else address


@lru_cache(1024)
def _parsed(networks: tuple[str, ...]) -> tuple[_Network, ...]:
    return tuple(_unmapped(ipaddress.ip_network(network, strict=False)) for network in networks)


def _unmapped(network: _Network) -> _Network:
    """A network of mapped addresses as that of IPv4, since clients count as what they are."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        first = network.network_address.ipv4_mapped
        assert first is not None, "all of the network are mapped"
        return ipaddress.IPv4Network((first, network.prefixlen - _MAPPED.prefixlen))
    return network


def _check_status(directory: Directory, key: Key) -> None:
    if key.status == "revoked":
        raise revocation(directory, key)
    if key.status == "disabled":
        raise _refused(directory, key, "is disabled", "key_disabled")
    if key.person is not None and directory.people[key.person].status != "active":
        raise _refused(directory, key, "belongs to a person who is disabled", "key_disabled")
    for team in directory.team_path(key.team):
        if team.status != "active":
            raise _refused(directory, key, f"belongs to the team {team.name!r}, which is disabled", "key_disabled")


def revocation(directory: Directory, key: Key) -> Unauthorized:
    """What a client is told whose key was revoked, before a request or while it runs."""
    return _refused(directory, key, "was revoked", "key_revoked")


def _refused(directory: Directory, key: Key, what: str, code: str) -> Unauthorized:
    return Unauthorized(f"The API key {key.name!r} {what}.", code=code, hint=_ASK.format(contact_of(directory, key)))


def contact_of(directory: Directory, key: Key) -> str:
    """Whom the holder of a key asks: the contact of the nearest team that has one, else the operator."""
    contacts = (team.contact for team in reversed(directory.team_path(key.team)))
    return next(filter(None, contacts), _OPERATOR)
