"""Whether a request comes from a page of this listener: a cookie alone does not say so.

``SameSite=Strict`` is not enough: a page of another port of the same machine is of the same site. What tells is headers
that no page can set: ``Origin``, and ``Sec-Fetch-Site`` where a browser leaves the origin out. It writes ``null`` for
it in forms of pages with ``Referrer-Policy: no-referrer``, as those of the dashboard are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modelmux.errors import GatewayError, OriginNotAllowed

_SAME: Final = b"same-origin"
#: Of ``Sec-Fetch-Site``: a person has typed the address, or opened a bookmark.
_TYPED: Final = b"none"
_HINT: Final = (
    "Open the dashboard under one address. A proxy in front of it has to pass the headers Host, Origin and "
    "Sec-Fetch-Site on."
)


def origin_problem(headers: Iterable[tuple[bytes, bytes]]) -> GatewayError | None:
    """Why a write that a session authenticates is refused; None if it comes from a page of this listener."""
    values = _values(headers)
    origins, sites, hosts = (values.get(name, []) for name in (b"origin", b"sec-fetch-site", b"host"))
    if len(hosts) == 1 and all(site == _SAME for site in sites):
        if origins in ([b"http://" + hosts[0]], [b"https://" + hosts[0]]):
            return None
        if sites and origins in ([], [b"null"]):
            return None
    return OriginNotAllowed("This does not come from a page of this dashboard.", hint=_HINT)


def foreign_read(headers: Iterable[tuple[bytes, bytes]], *, is_page: bool) -> GatewayError | None:
    """Why a read is refused to whom a proxy signs in, by a cookie that browsers may send for any site; None if no other
    site has caused it. Programs and old browsers do not send what tells.

    :param is_page: it has no effect, and may be shown to a person who follows a link.
    """
    values = _values(headers)
    if all(site in (_SAME, _TYPED) for site in values.get(b"sec-fetch-site", [])):
        return None
    kind = [values.get(name) for name in (b"sec-fetch-mode", b"sec-fetch-dest")]
    if is_page and kind == [[b"navigate"], [b"document"]]:
        return None
    return OriginNotAllowed("A page of another site asks for this.", hint="Open the dashboard, and go there from it.")


def _values(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value.strip().lower())
    return values
