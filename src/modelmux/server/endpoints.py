"""The data plane: ``POST /v1/chat/completions``."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import re
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Final

from modelmux.claude.notices import header_value
from modelmux.errors import GatewayDraining, GatewayError, InvalidRequest, UpstreamRefused
from modelmux.gateway.concurrency import Admission
from modelmux.gateway.exchange import Answer, Exchange, Services
from modelmux.gateway.relay import in_band
from modelmux.gateway.run import run
from modelmux.gateway.settle import finish, settle
from modelmux.server.body import ClientGone, WhileConnected, check_headers, read_body
from modelmux.server.client_stream import Outgoing
from modelmux.server.health import Readiness
from modelmux.server.responses import HeaderList, Receive, Scope, Send
from modelmux.telemetry import names
from modelmux.telemetry.log import error_location

_SECONDS: Final = re.compile(rb"\d{1,9}(\.\d{1,9})?")


class ChatEndpoint:
    """Reads the body, lets the gateway answer, sends the answer, and settles exactly once, whatever happens."""

    def __init__(
        self, services: Services, max_body_bytes: int, readiness: Readiness, admission: Admission, keep_alive: float
    ) -> None:
        self._services = services
        self._admission = admission
        self._keep_alive = keep_alive
        self._max_body_bytes = max_body_bytes
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        """Answer one request.

        :raises GatewayError: before anything was sent; the caller sends it.
        """
        services = self._services
        headers = dict(scope["headers"])
        check_headers(headers)
        owner, strict, timeout = _who_and_how(headers)
        services.metrics.total += 1
        services.metrics.in_flight += 1
        answer = Answer(Exchange(request_id, services.clock(), owner, strict, timeout, headers=scope["headers"]))
        exchange, out = answer.exchange, Outgoing(send, answer.exchange)
        try:
            body = await read_body(headers, receive, self._max_body_bytes)
            exchange.request_bytes = len(body)
            async with WhileConnected(receive, scope, timeout) as connected, self._admission:
                answer = await run(body, exchange, services, partial(self._set_clocks, exchange, out, connected))
                await self._tell(answer, out)
            finish(answer, services, client_gone=False)
        except GatewayError as error:
            await self._give_up(error, answer, out)
        except (ClientGone, OSError):  # OSError: how some servers report a send to a client that left
            pass
        except asyncio.CancelledError:
            if not self._readiness.ending:  # somebody else's word, not ours to soften
                raise
            _uncancel()
            await self._give_up(GatewayDraining("The gateway is shutting down."), answer, out)
        except Exception as error:
            if out.started:  # too late for a status, so the client is told in-band
                services.log.error(names.EVENT_INTERNAL_ERROR, request_id=request_id, traceback=error_location(error))
                await self._give_up(GatewayError("The gateway failed."), answer, out)
            settle(exchange, services, error=GatewayError("The gateway failed."))
            if not out.started:
                raise
        finally:
            try:
                await out.stop_comments()
                if answer.relay is not None:
                    await answer.relay.aclose()
                    answer.relay.go_on = None  # it leads to the attempts, and they to the relay
            finally:
                finish(answer, services, client_gone=True)  # unless it is settled: then nothing happens

    def _set_clocks(self, exchange: Exchange, out: Outgoing, connected: WhileConnected) -> None:
        """It is known now how the request is answered, and until when."""
        connected.end_in(exchange.deadline - self._services.clock())
        if self._keep_alive and exchange.stream and exchange.mode != "json":
            out.comment_every(self._keep_alive, lambda: _early_headers(exchange))

    async def _tell(self, answer: Answer, out: Outgoing) -> None:
        headers = _headers(answer.exchange) + self._warning(answer.exchange)
        relay = answer.relay
        if relay is None and not answer.events:
            await out.whole(answer.body, headers)
            return
        if not out.started:
            await out.start(headers)
        last = answer.body
        while relay is not None:
            last = await relay.read()
            if relay.ended:
                break
            await out.write(last)
        await out.end(last)

    async def _give_up(self, error: GatewayError, answer: Answer, out: Outgoing) -> None:
        """Tell the client that it failed: in-band, where the head of its stream is out.

        :raises GatewayError: ``error`` itself, where nothing was sent.
        """
        if isinstance(error, UpstreamRefused) and error.upstream_status == 404:
            self._explain(error, answer.exchange)
        data = b"" if out.ended else in_band(error) if answer.relay is None else answer.relay.fail(error)
        if answer.relay is not None:
            finish(answer, self._services, client_gone=False)
        else:
            settle(answer.exchange, self._services, error=error)
        if not out.started:
            raise error
        with contextlib.suppress(OSError):  # who has left is not told
            await out.end(data)

    def _explain(self, error: GatewayError, exchange: Exchange) -> None:
        """A model that is not found may have been retired: then the client is told."""
        warning = self._services.routes.warning(exchange.tried[-1].card) if exchange.tried else None
        if warning is not None:
            error.hint = f"{error.hint} {warning}." if error.hint else f"{warning}."

    def _warning(self, exchange: Exchange) -> HeaderList:
        """The header that tells of a retirement, on every answer of a model that has one ahead or behind it."""
        warning = self._services.routes.warning(exchange.tried[-1].card)
        return [(b"x-modelmux-warning", " ".join(warning.split()).encode("ascii", "replace"))] if warning else []


def _uncancel() -> None:
    """Go on after a cancellation that has done what it was for."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def _who_and_how(headers: Mapping[bytes, bytes]) -> tuple[str, bool, float]:
    """A digest of the caller's key, whether strict mode is asked for, and how many seconds the request is given.

    :raises InvalidRequest: not a number of seconds.
    """
    keys = headers.get(b"authorization", b"") + headers.get(b"x-api-key", b"")
    strict = headers.get(b"x-modelmux-strict", b"").strip().lower() in (b"1", b"true")
    timeout = headers.get(b"x-modelmux-timeout")
    if timeout is not None and not _SECONDS.fullmatch(timeout.strip()):
        raise InvalidRequest("The header 'x-modelmux-timeout' is not a number of seconds.", hint="Write 30, or 2.5.")
    return _digest(keys), strict, math.inf if timeout is None else float(timeout)


@lru_cache(maxsize=1024)
def _digest(keys: bytes) -> str:
    return hashlib.sha256(keys).hexdigest()


def _early_headers(exchange: Exchange) -> HeaderList:
    """What is known before there is an answer."""
    headers = [
        (b"x-request-id", exchange.request_id.encode()),
        (b"x-modelmux-model", exchange.model.encode("ascii", "replace")),  # the body says what the client asked for
    ]
    if exchange.mode != "standard":
        headers.append((b"x-modelmux-stream-mode", exchange.mode.encode()))
    return headers


def _headers(exchange: Exchange) -> HeaderList:
    headers = [
        *_early_headers(exchange),
        (b"x-modelmux-deployment", exchange.tried[-1].id.encode("ascii", "replace")),
        (b"x-modelmux-attempts", str(len(exchange.tried)).encode()),
    ]
    if exchange.notices:
        headers.append((b"x-modelmux-notices", header_value(exchange.notices).encode()))
    return headers
