"""``[admin]``: sign-in by a proxy that has authenticated a person. Whose word is believed, and what cannot be meant."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from modelmux.config.admin_schema import AdminConfig
from modelmux.config.check import Problem
from modelmux.config.errors import ConfigError
from modelmux.config.schema import Config

#: The signed header of Google's Identity-Aware Proxy.
IAP_HEADER: Final = "x-goog-iap-jwt-assertion"
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: No underscores: some proxies take ``x_a`` and ``x-a`` for the same name, and remove only one of them.
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
#: Headers with another meaning, most of which a client sets itself.
_OTHERS: Final = frozenset({
    "accept", "authorization", "connection", "content-length", "content-type", "cookie", "forwarded", "from", "host",
    "idempotency-key", "if-match", "origin", "referer", "transfer-encoding", "user-agent", "x-csrf-token",
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-request-id",
})  # fmt: skip
#: Of Google's proxy, which are not signed.
_UNSIGNED: Final = "x-goog-authenticated-user-"
_LOOPBACK: Final[tuple[_Network, ...]] = tuple(ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1/128"))
#: Of all: machines take link-local addresses by themselves, and platforms send the requests of all from them; the
#: other one has all of IPv4 (NAT64).
_OF_ALL: Final[tuple[_Network, ...]] = tuple(ipaddress.ip_network(text) for text in ("169.254.0.0/16", "64:ff9b::/96"))
#: Addresses of IPv4 in IPv6. Those of peers are compared as IPv4.
_MAPPED: Final[_Network] = ipaddress.ip_network("::ffff:0:0/96")
#: The shortest prefix of a network in which there may be proxies alone, by version. Private networks have others, too.
_SHORTEST: Final = {4: 24, 6: 64}
#: Longest value that is repeated in a message.
_MAX_SHOWN: Final = 100
_HEADER_HINT: Final = 'Write admin.trusted_header = "x-forwarded-email", or the name that the proxy sets.'
_PEERS_HINT: Final = (
    'Set admin.trusted_peers to the addresses of the proxies, as in ["10.0.3.7/32"], or to networks of theirs, at most '
    "/24 (IPv6: /64), and let the proxy remove the header from what clients send."
)
_IAP_HINT: Final = (
    "Copy the audience from the page of the Identity-Aware Proxy: it begins with /projects/ and the number of the "
    "project. See docs/admin-api.md, 'Sign-in by a proxy'."
)


def signs_in_by_proxy(admin: AdminConfig) -> bool:
    """Whether the word of a proxy is believed at all."""
    return admin.trusted_header is not None or admin.iap_audience is not None


def check_proxy_sign_in(config: Config) -> None:
    """:raises ConfigError: what is set cannot be used, or would let anybody be anyone."""
    admin = config.admin
    if not signs_in_by_proxy(admin):
        return
    name = "trusted_header" if admin.trusted_header is not None else "iap_audience"
    if not config.accounts.enabled:
        problem = Problem(("admin", name), "people sign in, and without accounts there are none")
        raise ConfigError([str(problem)], hint=f"Set accounts.enabled = true, or remove admin.{name}.")
    if admin.trusted_header is not None and admin.iap_audience is not None:
        problem = Problem(("admin", "trusted_header"), "admin.iap_audience is set, too")
        raise ConfigError([str(problem)], hint="Remove one of them: the address of a person has one source.")
    for problems, hint in (
        (_header_problems(admin), _HEADER_HINT),
        (_peer_problems(admin), _PEERS_HINT),
        (_iap_problems(admin), _IAP_HINT),
    ):
        texts = [str(problem) for problem in problems]
        if texts:
            raise ConfigError(texts, hint=hint)


def too_wide(peers: list[str]) -> list[str]:
    """Networks in which there are not only proxies. Others than valid ones are passed over."""
    return [text for text in peers if (network := _network(text)) is not None and _is_too_wide(network)]


def more_than_hosts(peers: list[str]) -> list[str]:
    """Networks of more than one address."""
    return [text for text in peers if (network := _network(text)) is not None and network.num_addresses > 1]


def check_peers_of_public_listener(admin: AdminConfig) -> None:
    """For a listener that other machines reach. :raises ConfigError: any of them could be anyone."""
    wide = too_wide(admin.trusted_peers) if admin.trusted_header is not None else []
    if wide:
        where = f"admin.listen = {admin.listen!r} can be reached from other machines"
        problem = f"admin.trusted_peers has {', '.join(wide)}, from where anybody could send {admin.trusted_header}"
        raise ConfigError([f"{where}, and {problem}"], hint=_PEERS_HINT)


def _header_problems(admin: AdminConfig) -> Iterator[Problem]:
    if admin.trusted_header is None:
        return
    name = admin.trusted_header.strip().lower()
    path = ("admin", "trusted_header")
    if "_" in name:
        yield Problem(path, "a proxy may not tell _ and - apart in the name of a header, so it has none")
    elif not _NAME.fullmatch(name):
        yield Problem(path, f"{admin.trusted_header[:_MAX_SHOWN]!r} is not the name of a header")
    elif name in _OTHERS or name.startswith("sec-"):
        yield Problem(path, f"{name} has another meaning, and clients send it")
    elif name == IAP_HEADER or name.startswith(_UNSIGNED):
        yield Problem(path, f"{name} is of Google's Identity-Aware Proxy: set admin.iap_audience instead")


def _peer_problems(admin: AdminConfig) -> Iterator[Problem]:
    if admin.trusted_header is None:
        return
    path = ("admin", "trusted_peers")
    if not admin.trusted_peers:
        yield Problem(path, f"it is empty, so {admin.trusted_header[:_MAX_SHOWN]} would never be believed")
    for index, text in enumerate(admin.trusted_peers):
        network = _network(text)
        if isinstance(network, ipaddress.IPv6Network) and _is_part(network, _MAPPED):
            written = f"{network.network_address.ipv4_mapped}/{network.prefixlen - _MAPPED.prefixlen}"
            yield Problem((*path, index), f"{text[:_MAX_SHOWN]!r} would never be believed: write {written}")
        elif network is None:
            yield Problem((*path, index), f"{text[:_MAX_SHOWN]!r} is not a network such as 10.0.3.0/24")


def _iap_problems(admin: AdminConfig) -> Iterator[Problem]:
    if admin.iap_audience is None:
        return
    if not admin.iap_audience.startswith("/projects/"):
        yield Problem(("admin", "iap_audience"), f"{admin.iap_audience[:_MAX_SHOWN]!r} is not an audience")
    if not _is_safe(admin.iap_keys_url):
        yield Problem(("admin", "iap_keys_url"), "it is neither https nor http on this machine: others could send keys")


def _is_safe(url: str) -> bool:
    """Whether what comes from a URL cannot be changed on its way."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in ("127.0.0.1", "::1")))


def _network(text: str) -> _Network | None:
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError:
        return None


def _is_too_wide(network: _Network) -> bool:
    if any(_is_part(network, one) for one in _LOOPBACK):
        return False
    return network.prefixlen < _SHORTEST[network.version] or any(_is_part(network, one) for one in _OF_ALL)


def _is_part(network: _Network, of: _Network) -> bool:
    return network.version == of.version and network.subnet_of(of)  # type: ignore[arg-type]
