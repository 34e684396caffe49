"""Which URLs of a client the gateway may open: the rules that keep a download from reaching what only the gateway can.

A URL passes three gates, at first and again at every redirect:

    parse_url       the text means one thing only: no userinfo, no odd spelling of a host or an address, no fragment
    Guard.check     scheme, port and name are allowed
    Guard.resolve   every address the name has is public; the connection goes to these very addresses

Addresses pass by an allow rule, never by a list of bad ones: lists of bad ones have been evaded by 0.0.0.0, by IPv4
inside IPv6 and by each new private range. What must not come in here: connections, HTTP, caching.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, Self
from urllib.parse import quote, urljoin

from modelmux.errors import InvalidRequest
from modelmux.upstream.connect import AddressInfo, Resolve
from modelmux.wire.http import Origin

#: Longest URL in characters: signed URLs of object stores have up to about 2000.
MAX_URL: Final = 8192

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Why a URL was not fetched; a closed set, fit for a metric's label.
Reason = Literal[
    "disabled", "malformed", "host", "port", "not_allowed", "downgrade", "unresolved", "unreachable", "timeout",
    "too_large", "status", "redirects", "broken",
]  # fmt: skip

_DATA_URL: Final = "Send the file itself as a data URL instead."
_OPEN: Final = "Check that the URL opens from the public internet without a login, or send the file as a data URL."
#: Reason -> what the client reads. Nothing of what was resolved or received stands in it.
_WORDS: Final[dict[Reason, tuple[str, str]]] = {
    "disabled": ("This gateway does not fetch URLs.", _DATA_URL),
    "malformed": (
        "The URL cannot be fetched as it is written.",
        "Use a plain http or https URL without user name or password, its host in ASCII (xn--… for other scripts).",
    ),
    "host": ("The URL's host is not public.", _DATA_URL),
    "port": ("The URL's port is not allowed.", "Use port 80 or 443, or send the file as a data URL."),
    "not_allowed": ("This gateway does not fetch URLs of this host.", _DATA_URL),
    "downgrade": ("The URL redirects from https to http.", "Use the URL that serves the file over https itself."),
    "unresolved": ("The URL's host name could not be resolved.", "Check the host name."),
    "unreachable": (
        "No connection to the URL's host could be made.",
        "Check that the URL opens from the public internet, with a valid certificate if it is https.",
    ),
    "timeout": ("The URL could not be fetched in time.", _DATA_URL),
    "too_large": ("The URL's content is larger than can be sent to the model.", "Use a smaller file."),
    "status": ("The URL's server did not answer with the file.", _OPEN),
    "redirects": ("The URL redirects too many times.", "Use the URL that the redirects lead to."),
    "broken": ("The URL's server sent no proper HTTP reply.", _OPEN),
}


class NotFetched(InvalidRequest):
    """400: a URL of the request cannot be fetched. Whoever knows where it stood sets ``param``.

    :param url: as the client gave it. It may hold a signature, so it stands in no message.
    :param said: replaces the reason's own message.
    :param detail: for the operator's log: host and addresses, never path or query.
    """

    def __init__(self, reason: Reason, *, url: str = "", said: str | None = None, detail: str | None = None) -> None:
        message, hint = _WORDS[reason]
        super().__init__(said or message, hint=hint, detail=detail)
        self.reason = reason
        self.url = url

    def again(self, url: str) -> NotFetched:
        """The same as a new exception, for each of those who waited for ``url``."""
        return NotFetched(self.reason, url=url, said=self.message, detail=self.detail)


# Gate 1: what the text means

_URL: Final = re.compile(r"(?P<scheme>[a-z]+)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?:#.*)?", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[0-9a-z._-]+))(?::(?P<port>[0-9]{1,5}))?")
_NAME: Final = re.compile(r"(?=.{1,253}$)[0-9a-z_]([0-9a-z_-]{0,62})(\.[0-9a-z_]([0-9a-z_-]{0,62}))*")
#: A last label that other parsers would take for part of an IPv4 address: 127.1, 0x7f.1, 2130706433.
_NUMERIC_END: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Target(NamedTuple):
    """One place to go: ``origin.host`` is a lower-case name without trailing dot, or an address in normal form."""

    origin: Origin
    path: str

    def redirected(self, location: str) -> Target:
        """Where a Location header leads from here.

        :raises NotFetched: nowhere it may lead, as far as its text tells.
        """
        here = f"{self.origin.scheme}://{self.origin.authority}{self.path}"
        try:
            # urljoin would drop some control characters, parse_url refuses them.
            target = parse_url(location if _has_controls(location) else urljoin(here, location.strip(" ")))
        except (NotFetched, ValueError):
            said = "The URL redirects to one that cannot be fetched."
            raise NotFetched("malformed", said=said, detail=self.origin.host) from None
        if self.origin.scheme == "https" and target.origin.scheme == "http":
            raise NotFetched("downgrade", detail=target.origin.host)
        return target


def parse_url(url: str) -> Target:
    """Take a URL apart, without ever guessing.

    :raises NotFetched: ``malformed``, for anything that two parsers could read in two ways.
    """
    url = url.strip(" ")
    found = None if len(url) > MAX_URL or _has_controls(url) else _URL.fullmatch(url)
    if found is None or found["scheme"].lower() not in _DEFAULT_PORTS:
        raise NotFetched("malformed")
    scheme = found["scheme"].lower()
    authority = _AUTHORITY.fullmatch(found["authority"].lower()) if found["authority"].isascii() else None
    if authority is None:
        raise NotFetched("malformed")
    port = int(authority["port"] or _DEFAULT_PORTS[scheme])
    if not 0 < port < 65536:
        raise NotFetched("malformed")
    host = _address(authority["v6"], 6) if authority["v6"] else normal_host(authority["name"])
    target = found["target"]
    return Target(Origin(scheme, host, port), _encoded(target if target.startswith("/") else f"/{target}"))


def normal_host(name: str) -> str:
    """A host name in the one form it has here, or a dotted-quad address.

    :raises NotFetched: ``malformed``.
    """
    name = name.lower().removesuffix(".")
    if _NUMERIC_END.fullmatch(name):
        return _address(name, 4)
    if not _NAME.fullmatch(name):
        raise NotFetched("malformed")
    return name


def _address(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)  # strict: no octal, hex, short or scoped forms
    except ValueError:
        address = None
    if address is None or address.version != version:
        raise NotFetched("malformed")
    return str(address)


def _has_controls(text: str) -> bool:
    return any(character < " " or character == "\x7f" for character in text)


def _encoded(target: str) -> str:
    """Path and query as they may stand in a request line; what is encoded already stays as it is."""
    try:
        return quote(target, safe="%/?:@!$&'()*+,;=-._~[]|^")
    except UnicodeEncodeError:  # half a surrogate pair
        raise NotFetched("malformed") from None


# Gates 2 and 3: where it may lead

#: Names of metadata servers and of this machine, whatever they resolve to.
_REFUSED_NAMES: Final = frozenset({"localhost", "metadata", "instance-data", "internal"})
_REFUSED_SUFFIXES: Final = (".localhost", ".internal")


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


#: Refused even if the operator permits a range around them: metadata services, and what is no place of its own.
_NEVER: Final = _networks(
    "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "ff00::/8",
    "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32",  # Azure, Alibaba, Oracle
    "fd00:ec2::/32", "fd20:ce::/32", "fd00:c1::/32",  # AWS, Google Cloud, Oracle
)  # fmt: skip
#: Not public although some versions of ``ipaddress`` say is_global: protocol assignments (Teredo among them), relays
#: of 6to4, documentation.
_NOT_PUBLIC: Final = _networks("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
#: The only part of IPv6 that is given out to networks, and the way from IPv6-only networks to IPv4.
_GIVEN_OUT: Final = (ipaddress.IPv6Network("2000::/3"), _NAT64)


class Guard:
    """The rules of one gateway.

    :param allow: hosts that may be fetched from: ``example.com`` or ``*.example.com`` (subdomains only); empty for
        all. :param deny: hosts that may not; it wins over ``allow``.
    :param allow_private: networks (``10.20.0.0/16``) that count as public.
    :param ports: ports that may be connected to.
    :param resolver: host, port -> addresses.
    :raises ValueError: a pattern or network that is none; the message names it.
    """

    def __init__(
        self,
        *,
        resolver: Resolve,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        allow_private: Iterable[str] = (),
        ports: Iterable[int] = (80, 443),
    ) -> None:
        self._allow = [_Pattern.parse(text, "fetch.allow") for text in allow]
        self._deny = [_Pattern.parse(text, "fetch.deny") for text in deny]
        self._private = [_parse_network(text) for text in allow_private]
        self._ports = frozenset(ports)
        self._resolver = resolver

    def check(self, target: Target) -> None:
        """:raises NotFetched: name or port are not allowed, or the host is an address that is not public."""
        host = target.origin.host
        if host in _REFUSED_NAMES or host.endswith(_REFUSED_SUFFIXES):
            raise NotFetched("host", detail=host)
        if (literal := _literal(host)) is not None and not self.permits(literal):
            raise NotFetched("host", detail=host)
        if any(pattern.matches(host) for pattern in self._deny):
            raise NotFetched("not_allowed", detail=host)
        if self._allow and not any(pattern.matches(host) for pattern in self._allow):
            raise NotFetched("not_allowed", detail=host)
        if target.origin.port not in self._ports:
            raise NotFetched("port", detail=f"{host}:{target.origin.port}")

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """The addresses of ``host``, all of them permitted: a ``dial.Resolve``. One bad address refuses the host, or
        a name with a good and a bad one would lead to the bad one sooner or later.

        :raises NotFetched: ``unresolved`` or ``host``.
        """
        if (literal := _literal(host)) is not None:
            found: Sequence[AddressInfo] = [_row(literal, port)]
        else:
            try:
                found = await self._resolver(host, port)
            except (OSError, UnicodeError) as error:
                raise NotFetched("unresolved", detail=f"{host}: {error}") from None
        if not found:
            raise NotFetched("unresolved", detail=f"{host}: no address")
        for info in found:
            text = info[4][0]
            address = _literal(text) if isinstance(text, str) else None
            if address is None or not self.permits(address):
                raise NotFetched("host", detail=f"{host} has the address {text!r}")
        return found

    def permits(self, address: Address) -> bool:
        """Whether a connection may go to ``address``."""
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        carried = _carried(address)
        if _within(address, _NEVER) or (carried is not None and _within(carried, _NEVER)):
            return False
        return _within(address, self._private) or _is_public(address)


def _is_public(address: Address) -> bool:
    """Of an address that is in none of _NEVER."""
    if _within(address, _NOT_PUBLIC) or not address.is_global:
        return False
    carried = _carried(address)
    if carried is not None and not _is_public(carried):
        return False
    return address.version == 4 or _within(address, _GIVEN_OUT)


def _carried(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to an IPv6 address end up at, by NAT64 or 6to4."""
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


def _row(address: Address, port: int) -> AddressInfo:
    if address.version == 4:
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port))
    return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port, 0, 0))


def _parse_network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"fetch.allow_private: {text!r} is no network like 10.20.0.0/16 ({error})") from None


class _Pattern(NamedTuple):
    """A host, or with ``suffix`` all names below it."""

    host: str
    suffix: bool

    @classmethod
    def parse(cls, text: str, setting: str) -> Self:
        suffix = text.startswith("*.")
        plain = text.removeprefix("*.")
        try:
            literal = _literal(plain.strip("[]"))
            return cls(str(literal) if literal is not None else normal_host(plain), suffix)
        except NotFetched:
            raise ValueError(f"{setting}: {text!r} is no host like example.com or *.example.com") from None

    def matches(self, host: str) -> bool:
        return host.endswith("." + self.host) if self.suffix else host == self.host
