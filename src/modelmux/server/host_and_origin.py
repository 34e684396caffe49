"""What protects a gateway without keys from web pages: a check of ``Host`` and ``Origin``.

A page in a browser on this machine reaches a listener on loopback. The browser itself stops neither a page whose name
resolves to 127.0.0.1 (DNS rebinding: the page is of the same origin then) nor a POST of a content type for which it
asks no permission first. Both are told by headers that a page cannot set: ``Host`` has the name of the page's site,
``Origin`` its origin. Other programs send no ``Origin``, and the name that they were told to call as ``Host``.

With keys there is no need for it, but for paths that are served without one: a page does not know them. On a public
address ``Host`` may be any name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelmux.config import Config
from modelmux.config.allowed_hosts import read_hosts
from modelmux.config.cors_origins import ANY, read_origins
from modelmux.errors import GatewayError, MisdirectedRequest, OriginNotAllowed, UnsupportedMediaType
from modelmux.server.auth import is_loopback
from modelmux.server.body import check_media_type

#: Names by which containers reach the machine they run on.
CONTAINER_HOSTS: Final = frozenset({"host.docker.internal", "host.containers.internal"})
#: Schemes of applications that embed a browser; no page that was loaded from the network has one of them.
APP_SCHEMES: Final = frozenset({"vscode-webview", "vscode-file", "app", "tauri"})
#: Probes are answered under any name: orchestrators call them by address, and they reveal nothing.
EXEMPT_PATHS: Final = frozenset({"/livez", "/readyz", "/healthz"})

_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?")
_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#@\s]*)")
#: Accepted values of ``Host`` that are remembered, and the length of the longest.
_MAX_ACCEPTED: Final = 64
_MAX_ACCEPTED_LENGTH: Final = 100

#: Of ``Sec-Fetch-Site``: no page can set it.
_SAME_ORIGIN: Final = b"same-origin"

_HOST_HINT: Final = (
    "Without API keys it is served only under names of this machine: use localhost or 127.0.0.1, or add the name to "
    "server.allowed_hosts, or set server.api_keys."
)
_ORIGIN_HINT: Final = "Its operator can add the origin to server.cors_origins."

_Headers = Sequence[tuple[bytes, bytes]]


class HostAndOriginCheck:
    """The check of one listener.

    :param hosts: further names under which it is served, as returned by ``config.allowed_hosts``.
    :param origins: of pages that may call it, as returned by ``config.cors_origins``.
    :param host_hint, origin_hint: what to do about a refusal.
    :param reads_forms: other bodies than JSON are read, so that they are not what is wrong with a request.
    """

    def __init__(
        self,
        hosts: frozenset[str] = frozenset(),
        origins: frozenset[str] = frozenset(),
        *,
        host_hint: str = _HOST_HINT,
        origin_hint: str = _ORIGIN_HINT,
        reads_forms: bool = False,
    ) -> None:
        self._hosts = hosts | CONTAINER_HOSTS
        self._host_hint = host_hint
        self._origin_hint = origin_hint
        self._origins = origins
        self._reads_forms = reads_forms
        self._accepted: set[bytes] = set()

    @classmethod
    def of(cls, config: Config, listens_on: str) -> HostAndOriginCheck | None:
        """The check that a configuration needs; None if every request needs a key, or on a public address.

        :param listens_on: the host of the listener, whatever the configuration says by now.
        :raises ConfigError: entries that are not hosts or origins.
        """
        server = config.server
        hosts, origins = read_hosts(server.allowed_hosts), read_origins(server.cors_origins)
        needs_keys = server.api_keys and not server.keyless_vertex_paths
        return None if needs_keys or not is_loopback(listens_on) else cls(hosts, origins)

    def check(self, scope: Mapping[str, Any], path: str) -> None:
        """Refuse a request of a page that may not call this gateway.

        An application that another server serves on a public address, or on a Unix socket, is not on loopback,
        whatever its configuration says.

        :param path: of the request, inside the application.
        :raises GatewayError: see ``refusal``.
        """
        error = self.refusal(scope["method"], scope["headers"])
        if error is not None and path not in EXEMPT_PATHS and _is_on_loopback(scope):
            raise error

    def refusal(self, method: str, headers: _Headers) -> GatewayError | None:
        """Why a request is refused; None if it is not.

        A request without ``Host``, as HTTP/1.0 allows it, is not of a browser.
        """
        origins: list[bytes] | None = None
        for name, value in headers:
            if name == b"host":
                if value not in self._accepted and not self._accepts(value):
                    return _misdirected(value, self._host_hint)
            elif name == b"origin":
                origins = [*(origins or ()), value]
        if origins is None or all(is_allowed_origin(origin, self._origins) for origin in origins):
            return None
        if origins == [b"null"] and [value for name, value in headers if name == b"sec-fetch-site"] == [_SAME_ORIGIN]:
            return None  # a form of a page of ours that sends no referrer: the browser says that the page is ours
        error = None if self._reads_forms else _media_type_error(method, headers)
        return error or _origin_not_allowed(origins[0], self._origin_hint)

    def _accepts(self, value: bytes) -> bool:
        if not is_local_host(value, self._hosts):
            return False
        if len(self._accepted) < _MAX_ACCEPTED and len(value) <= _MAX_ACCEPTED_LENGTH:
            self._accepted.add(value)
        return True


def is_local_host(value: bytes, hosts: frozenset[str]) -> bool:
    """Whether a value of ``Host`` is a loopback name or address, or one of ``hosts``, with any port."""
    match = _HOST.fullmatch(value.decode("latin-1").strip().lower())
    return match is not None and (_is_loopback_name(match[1]) or match[1].removesuffix(".") in hosts)


def is_allowed_origin(value: bytes, origins: frozenset[str]) -> bool:
    """Whether requests with this ``Origin`` are served: of pages of this machine, of applications, of ``origins``.

    :param origins: ``*`` stands for any. ``null`` is the origin of sandboxed pages, which any site can make.
    """
    text = value.decode("latin-1").strip().lower()
    if ANY in origins or text in origins:
        return True
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return False
    if match[1] in APP_SCHEMES:
        return True
    host = _HOST.fullmatch(match[2])
    return match[1] in ("http", "https") and host is not None and _is_loopback_name(host[1])


def _is_loopback_name(host: str) -> bool:
    name = host.removesuffix(".")
    return name.endswith(".localhost") or is_loopback(name)


def _is_on_loopback(scope: Mapping[str, Any]) -> bool:
    """Whether the connection came in on a loopback address; assumed where the server does not tell."""
    server = scope.get("server")
    return server is None or is_loopback(str(server[0]).removeprefix("::ffff:"))  # of a socket for IPv6 and IPv4


def _media_type_error(method: str, headers: _Headers) -> UnsupportedMediaType | None:
    """A body that a page can send to any site without asking is refused as such, whoever sends it."""
    if method != "POST":
        return None
    try:
        check_media_type(next((value for name, value in headers if name == b"content-type"), b""))
    except UnsupportedMediaType as error:
        return error
    return None


def _misdirected(value: bytes, hint: str) -> MisdirectedRequest:
    return MisdirectedRequest(f"This gateway is not served under the host name '{_shown(value)}'.", hint=hint)


def _origin_not_allowed(value: bytes, hint: str) -> OriginNotAllowed:
    return OriginNotAllowed(f"Web pages of the origin '{_shown(value)}' may not call this gateway.", hint=hint)


def _shown(value: bytes) -> str:
    """A header's value for a message: short, and printable."""
    return ascii(value[:100].decode("latin-1"))[1:-1]
