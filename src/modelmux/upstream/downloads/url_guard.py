"""SSRF guard: decides which URLs of a client the gateway may download.

A URL passes three checks, initially and at every redirect:

    parse_url          the text is unambiguous: no userinfo, no unusual spelling of a host or an address, no fragment
    UrlGuard.check     scheme, port and host name are allowed
    UrlGuard.resolve   every address of the name is public; the connection uses exactly these addresses

Addresses must match an allow rule. Deny lists have been evaded by 0.0.0.0, by IPv4 addresses inside IPv6 and by every
new private range. Not in this module: connections, HTTP, caching.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Container, Iterable, Sequence
from typing import Final, Literal, NamedTuple, Self
from urllib.parse import quote, urljoin

from modelmux.errors import InvalidRequest
from modelmux.upstream.connect import AddressInfo, Resolve
from modelmux.wire.http import Origin

#: Limit in characters; signed URLs of object stores have up to about 2000.
MAX_URL: Final = 8192

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Why a URL was not downloaded; a closed set, suitable as a metric label.
Reason = Literal[
    "disabled", "malformed", "host", "port", "not_allowed", "downgrade", "unresolved", "unreachable", "timeout",
    "too_large", "too_many", "status", "redirects", "broken",
]  # fmt: skip

_DATA_URL: Final = "Send the file itself as a data URL instead."
_OPEN: Final = "Check that the URL opens from the public internet without a login, or send the file as a data URL."
#: Reason -> message and hint for the client. They contain nothing that was resolved or received.
_MESSAGES: Final[dict[Reason, tuple[str, str]]] = {
    "disabled": ("This gateway does not download URLs.", _DATA_URL),
    "malformed": (
        "The URL is malformed.",
        "Use a plain http or https URL without user name or password, and an ASCII host (xn--… for other scripts).",
    ),
    "host": ("The host of the URL is not public.", _DATA_URL),
    "port": ("The port of the URL is not allowed.", "Use port 80 or 443, or send the file as a data URL."),
    "not_allowed": ("This gateway does not download from the host of the URL.", _DATA_URL),
    "downgrade": ("The URL redirects from https to http.", "Use a URL that serves the file over https."),
    "unresolved": ("The host name of the URL could not be resolved.", "Check the host name."),
    "unreachable": (
        "Could not connect to the host of the URL.",
        "Check that the URL opens from the public internet, with a valid certificate if it is https.",
    ),
    "timeout": ("The URL could not be downloaded in time.", _DATA_URL),
    "too_large": ("The file at the URL exceeds the size limit.", "Use a smaller file."),
    "too_many": ("The request refers to more than 100 URLs.", _DATA_URL),
    "status": ("The server of the URL did not return the file.", _OPEN),
    "redirects": ("The URL redirects too many times.", "Use the URL that the redirects lead to."),
    "broken": ("The server of the URL sent an invalid HTTP reply.", _OPEN),
}


class DownloadRefused(InvalidRequest):
    """400: a URL of the request was not downloaded. The caller that knows its field sets ``param``.

    :param url: as in the request. It may contain a signature, so no message contains it.
    :param own_message: replaces the default message of the reason, and ``own_hint`` its hint.
    :param detail: for the operator's log: host and addresses, never path or query.
    """

    def __init__(
        self,
        reason: Reason,
        *,
        url: str = "",
        own_message: str | None = None,
        own_hint: str | None = None,
        detail: str | None = None,
    ) -> None:
        message, hint = _MESSAGES[reason]
        super().__init__(own_message or message, hint=own_hint or hint, detail=detail)
        self.reason = reason
        self.url = url

    def copy_for(self, url: str) -> DownloadRefused:
        """A new exception with the same content, for one of the callers that waited for ``url``."""
        return DownloadRefused(self.reason, url=url, own_message=self.message, own_hint=self.hint, detail=self.detail)


# Check 1: the text

_URL: Final = re.compile(r"(?P<scheme>[a-z]+)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?:#.*)?", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[0-9a-z._-]+))(?::(?P<port>[0-9]{1,5}))?")
_NAME: Final = re.compile(r"(?=.{1,253}$)[0-9a-z_]([0-9a-z_-]{0,62})(\.[0-9a-z_]([0-9a-z_-]{0,62}))*")
#: A last label that other parsers would read as part of an IPv4 address: 127.1, 0x7f.1, 2130706433.
_NUMERIC_END: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Target(NamedTuple):
    """A parsed URL: ``origin.host`` is a lower-case name without trailing dot, or an address in normal form."""

    origin: Origin
    path: str

    def redirected(self, location: str) -> Target:
        """The target of a Location header.

        :raises DownloadRefused: its text does not pass ``parse_url``, or it downgrades to http.
        """
        here = f"{self.origin.scheme}://{self.origin.authority}{self.path}"
        try:
            # urljoin would drop some control characters; parse_url rejects them.
            target = parse_url(location if _has_controls(location) else urljoin(here, location.strip(" ")))
        except (DownloadRefused, ValueError):
            message = "The URL redirects to a malformed URL."
            raise DownloadRefused("malformed", own_message=message, detail=self.origin.host) from None
        if self.origin.scheme == "https" and target.origin.scheme == "http":
            raise DownloadRefused("downgrade", detail=target.origin.host)
        return target


def parse_url(url: str) -> Target:
    """Parse a URL without guessing.

    :raises DownloadRefused: ``malformed``, for any text that two parsers could read differently.
    """
    url = url.strip(" ")
    match = None if len(url) > MAX_URL or _has_controls(url) else _URL.fullmatch(url)
    if match is None or match["scheme"].lower() not in _DEFAULT_PORTS:
        raise DownloadRefused("malformed")
    scheme = match["scheme"].lower()
    authority = _AUTHORITY.fullmatch(match["authority"].lower()) if match["authority"].isascii() else None
    if authority is None:
        raise DownloadRefused("malformed")
    port = int(authority["port"] or _DEFAULT_PORTS[scheme])
    if not 0 < port < 65536:
        raise DownloadRefused("malformed")
    host = _address(authority["v6"], 6) if authority["v6"] else normal_host(authority["name"])
    target = match["target"]
    return Target(Origin(scheme, host, port), _percent_encoded(target if target.startswith("/") else f"/{target}"))


def normal_host(name: str) -> str:
    """A host name in normal form, or a dotted-quad address.

    :raises DownloadRefused: ``malformed``.
    """
    name = name.lower().removesuffix(".")
    if _NUMERIC_END.fullmatch(name):
        return _address(name, 4)
    if not _NAME.fullmatch(name):
        raise DownloadRefused("malformed")
    return name


def _address(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)  # strict: no octal, hex, short or scoped forms
    except ValueError:
        address = None
    if address is None or address.version != version:
        raise DownloadRefused("malformed")
    return str(address)


def _has_controls(text: str) -> bool:
    return any(character < " " or character == "\x7f" for character in text)


def _percent_encoded(target: str) -> str:
    """Path and query as allowed in a request line; existing percent-encoding is not changed."""
    try:
        return quote(target, safe="%/?:@!$&'()*+,;=-._~[]|^")
    except UnicodeEncodeError:  # a lone surrogate
        raise DownloadRefused("malformed") from None


# Checks 2 and 3: the destination

#: Names of metadata servers and of this machine, blocked whatever they resolve to.
_BLOCKED_NAMES: Final = frozenset({"localhost", "metadata", "instance-data", "internal"})
_BLOCKED_SUFFIXES: Final = (".localhost", ".internal")


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


#: Blocked even inside a network that the operator allows: metadata services and special-purpose ranges.
_ALWAYS_BLOCKED: Final = _networks(
    "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "ff00::/8",
    "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32",  # Azure, Alibaba, Oracle
    "fd00:ec2::/32", "fd20:ce::/32", "fd00:c1::/32",  # AWS, Google Cloud, Oracle
)  # fmt: skip
#: Not public although ``is_global`` is true in some versions of ``ipaddress``: protocol assignments (including
#: Teredo), 6to4 relays, documentation.
_NOT_PUBLIC: Final = _networks("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
#: The only part of IPv6 that is allocated to networks, and NAT64, through which IPv6-only networks reach IPv4.
_ALLOCATED: Final = (ipaddress.IPv6Network("2000::/3"), _NAT64)


class UrlGuard:
    """The rules of one gateway.

    :param resolver: host, port -> addresses.
    :param allow: allowed hosts: ``example.com`` or ``*.example.com`` (subdomains only); empty for all.
    :param deny: denied hosts; takes precedence over ``allow``.
    :param allow_private: networks (``10.20.0.0/16``) that count as public.
    :param ports: allowed ports.
    :raises ValueError: an invalid host or network; the message names it.
    """

    def __init__(
        self,
        *,
        resolver: Resolve,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        allow_private: Iterable[str] = (),
        ports: Container[int] = (80, 443),
    ) -> None:
        self._allow = [_Pattern.parse(text, "fetch.allow") for text in allow]
        self._deny = [_Pattern.parse(text, "fetch.deny") for text in deny]
        self._private = [_parse_network(text) for text in allow_private]
        self._ports = ports
        self._resolver = resolver

    def check(self, target: Target) -> None:
        """:raises DownloadRefused: the name or port is not allowed, or the host is an address that is not public."""
        host = target.origin.host
        if host in _BLOCKED_NAMES or host.endswith(_BLOCKED_SUFFIXES):
            raise DownloadRefused("host", detail=host)
        if (literal := _literal(host)) is not None and not self.permits(literal):
            raise DownloadRefused("host", detail=host)
        if any(pattern.matches(host) for pattern in self._deny):
            raise DownloadRefused("not_allowed", detail=host)
        if self._allow and not any(pattern.matches(host) for pattern in self._allow):
            raise DownloadRefused("not_allowed", detail=host)
        if target.origin.port not in self._ports:
            raise DownloadRefused("port", detail=f"{host}:{target.origin.port}")

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """The addresses of ``host`` (a ``connect.Resolve``).

        All of them must be allowed: with one that is not, the connection could go there sooner or later.

        :raises DownloadRefused: ``unresolved`` or ``host``.
        """
        if (literal := _literal(host)) is not None:
            addresses: Sequence[AddressInfo] = [_address_info(literal, port)]
        else:
            try:
                addresses = await self._resolver(host, port)
            except (OSError, UnicodeError) as error:
                raise DownloadRefused("unresolved", detail=f"{host}: {error}") from None
        if not addresses:
            raise DownloadRefused("unresolved", detail=f"{host}: no address")
        for info in addresses:
            text = info[4][0]
            address = _literal(text) if isinstance(text, str) else None
            if address is None or not self.permits(address):
                raise DownloadRefused("host", detail=f"{host} has the address {text!r}")
        return addresses

    def permits(self, address: Address) -> bool:
        """Whether a connection may go to ``address``."""
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        embedded = _embedded_ipv4(address)
        if _within(address, _ALWAYS_BLOCKED) or (embedded is not None and _within(embedded, _ALWAYS_BLOCKED)):
            return False
        return _within(address, self._private) or _is_public(address)


def _is_public(address: Address) -> bool:
    """For an address outside of _ALWAYS_BLOCKED."""
    if _within(address, _NOT_PUBLIC) or not address.is_global:
        return False
    embedded = _embedded_ipv4(address)
    if embedded is not None and not _is_public(embedded):
        return False
    return address.version == 4 or _within(address, _ALLOCATED)


def _embedded_ipv4(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to an IPv6 address are sent to by NAT64 or 6to4."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else address.sixtofour


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _address_info(address: Address, port: int) -> AddressInfo:
    if address.version == 4:
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port))
    return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port, 0, 0))


def _parse_network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"fetch.allow_private: {text!r} is not a network such as 10.20.0.0/16 ({error})") from None


class _Pattern(NamedTuple):
    """A host, or with ``suffix`` all its subdomains."""

    host: str
    suffix: bool

    @classmethod
    def parse(cls, text: str, setting: str) -> Self:
        suffix = text.startswith("*.")
        plain = text.removeprefix("*.")
        try:
            literal = _literal(plain.strip("[]"))
            return cls(str(literal) if literal is not None else normal_host(plain), suffix)
        except DownloadRefused:
            raise ValueError(f"{setting}: {text!r} is not a host such as example.com or *.example.com") from None

    def matches(self, host: str) -> bool:
        return host.endswith("." + self.host) if self.suffix else host == self.host
