"""Whether a write comes from a page of this listener: a cookie alone does not say so.

``SameSite=Strict`` is not enough: a page of another port of the same machine is of the same site. What tells is headers
that no page can set: ``Origin``, and ``Sec-Fetch-Site`` where a browser leaves the origin out. It writes ``null`` for
it in forms of pages with ``Referrer-Policy: no-referrer``, as those of the dashboard are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modelmux.errors import GatewayError, OriginNotAllowed

_SAME: Final = b"same-origin"
_HINT: Final = (
    "Open the dashboard under one address. A proxy in front of it has to pass the headers Host, Origin and "
    "Sec-Fetch-Site on."
)


def origin_problem(headers: Iterable[tuple[bytes, bytes]]) -> GatewayError | None:
    """Why a write that a session authenticates is refused; None if it comes from a page of this listener."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value.strip().lower())
    origins, sites, hosts = (values.get(name, []) for name in (b"origin", b"sec-fetch-site", b"host"))
    if len(hosts) == 1 and all(site == _SAME for site in sites):
        if origins in ([b"http://" + hosts[0]], [b"https://" + hosts[0]]):
            return None
        if sites and origins in ([], [b"null"]):
            return None
    return OriginNotAllowed("This does not come from a page of this dashboard.", hint=_HINT)
