"""``/metrics`` on the listener of the admin API: the sums over all workers, for the holder of a token that may read how
the gateway is.

No address is exempt: programs on this machine may read it only with a token, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modelmux.accounts.roles import may
from modelmux.admin.callers import Callers, is_read
from modelmux.errors import MethodNotAllowed, NotPermitted
from modelmux.server.exposition import content_type, wants_open_metrics
from modelmux.server.responses import Receive, Scope, Send

PATH: Final = "/metrics"
#: The numbers as text; the argument is whether in the format of OpenMetrics.
ReadMetrics = Callable[[bool], bytes]


class MetricsPage:
    """An ASGI application. :param read: must not wait."""

    def __init__(self, callers: Callers, read: ReadMetrics) -> None:
        self._callers = callers
        self._read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """:raises GatewayError: nothing was sent."""
        del receive
        if not is_read(scope["method"]):
            raise MethodNotAllowed(f"{PATH} does not accept {scope['method'][:20]}.", allow="GET, HEAD")
        principal = await self._callers.token_holder(scope)
        if not may(principal, "status.read"):
            raise NotPermitted(
                f"The role {principal.role} may not read {PATH}.",
                code="role_not_allowed", hint="A token of admin.tokens with the role viewer may.",
            )  # fmt: skip
        self._callers.count(principal)
        accept = next((value for name, value in scope["headers"] if name == b"accept"), b"").decode("latin-1")
        open_metrics = wants_open_metrics(accept)
        body = self._read(open_metrics)
        headers = [
            (b"content-type", content_type(open_metrics=open_metrics).encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
