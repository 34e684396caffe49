"""Endpoints that call an upstream: makes an ``Inbound`` of a request and runs the gateway with a ``ClientStream``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from modelmux.dialects.base import Caller, CountingDialect, Inbound
from modelmux.dialects.registry import Surface
from modelmux.errors import InvalidRequest
from modelmux.gateway.count_tokens import count_tokens
from modelmux.gateway.run import run
from modelmux.gateway.services import Services
from modelmux.server.body import BodyReader, check_headers
from modelmux.server.body_memory import BodyMemory
from modelmux.server.client_stream import AsgiClientStream
from modelmux.server.health import Readiness
from modelmux.server.responses import Receive, Scope, Send

#: Values of ``x-modelmux-strict``, in lower case.
_STRICT: Final = {b"true": True, b"1": True, b"false": False, b"0": False, b"": False}
_SECONDS: Final = re.compile(rb"\d{1,9}(\.\d{1,9})?")


class Endpoint:
    """Answers the requests of one surface.

    :param surface: the served path.
    """

    def __init__(
        self,
        surface: Surface,
        services: Services,
        readiness: Readiness,
        max_body_bytes: int,
        memory: BodyMemory,
    ) -> None:
        dialect = surface.calls_upstream
        assert dialect is not None
        self._surface = surface
        self._dialect = dialect
        self._services = services
        self._readiness = readiness
        self._max_body_bytes = max_body_bytes
        self._memory = memory

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        request_id: str,
        caller: Caller,
        path_params: Mapping[str, str],
    ) -> None:
        """:raises GatewayError: before anything was sent; the caller sends it."""
        self._readiness.loop_lag.check()
        headers = dict(scope["headers"])
        check_headers(headers)
        inbound = Inbound(
            request_id,
            self._services.runtime.clock(),
            self._surface.operation,
            scope["headers"],
            path_params,
            caller,
            _strict(headers.get(b"x-modelmux-strict", b"")),
            _timeout(headers.get(b"x-modelmux-timeout")),
            self._services.dialect_options,
            self._surface.path,
        )
        reader = BodyReader(self._max_body_bytes, self._memory)
        client = AsgiClientStream(scope, receive, send, headers, reader, self._readiness)
        try:
            if self._surface.operation == "count_tokens":
                assert isinstance(self._dialect, CountingDialect)
                await count_tokens(inbound, self._dialect, client, self._services)
            else:
                await run(inbound, self._dialect, client, self._services)
        finally:
            reader.release()


def _strict(value: bytes) -> bool:
    """Whether the client asks for strict mode. An empty value is as good as no header.

    :raises InvalidRequest: any other value, so that a misspelled one does not silently turn it off.
    """
    try:
        return _STRICT[value.strip().lower()]
    except KeyError:
        raise InvalidRequest(
            "The header 'x-modelmux-strict' is not one of true, false, 1 and 0.",
            hint="Write true or 1 to reject requests that would be changed; false or 0 is the default.",
        ) from None


def _timeout(value: bytes | None) -> float:
    """Seconds that the client allows.

    :raises InvalidRequest: not a number.
    """
    if value is None:
        return math.inf
    if not _SECONDS.fullmatch(value.strip()):
        raise InvalidRequest("The header 'x-modelmux-timeout' is not a number of seconds.", hint="Write 30, or 2.5.")
    return float(value)
