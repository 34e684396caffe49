"""The HTTP transport of google-auth: a timeout for every exchange, and the certificate authorities of everything else.

Blocks, like google-auth itself.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from google.auth.transport.requests import Request
from requests.adapters import HTTPAdapter

from modelmux.upstream.trust import NO_TRUST, Trust, tls_context

#: Timeout in seconds for connecting, and for each read, of one HTTP exchange; the default of google-auth is 120.
HTTP_TIMEOUT = 10.0


class _RequestWithTimeout(Request):
    """The requests transport of google-auth with a timeout for every exchange. Uses the proxies of the environment."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:
        limited = HTTP_TIMEOUT if timeout is None else min(timeout, HTTP_TIMEOUT)
        exchange: Any = super().__call__  # not annotated by google-auth
        return exchange(url, method, body, headers, limited, **kwargs)


class _TrustAdapter(HTTPAdapter):
    """Connections of requests with the authorities of all other connections, to which requests adds its own."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **{**kwargs, "ssl_context": self._context()})

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(*args, **{**kwargs, "ssl_context": self._context()})

    def _context(self) -> ssl.SSLContext:
        return self._trust.context() or tls_context()

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """``REQUESTS_CA_BUNDLE`` is in ``Trust``, if it can be used; requests would use nothing else."""
        super().cert_verify(conn, url, verify is not False, cert)

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        return super().get_connection_with_tls_context(request, verify is not False, proxies=proxies, cert=cert)


@contextmanager
def http_transport(trust: Trust = NO_TRUST) -> Iterator[Request]:
    """A transport for one attempt. With a refresh every 45 minutes there is no open connection to reuse."""
    transport = _RequestWithTimeout()
    transport.session.mount("https://", _TrustAdapter(trust))
    try:
        yield transport
    finally:
        transport.session.close()
