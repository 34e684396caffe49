"""The data plane: ``POST /v1/chat/completions``."""

from __future__ import annotations

import hashlib

from modelmux.errors import GatewayError, UpstreamRefused
from modelmux.gateway.exchange import Answer, Exchange, Services
from modelmux.gateway.run import run
from modelmux.gateway.settle import finish, settle
from modelmux.server.body import ClientGone, WhileConnected, check_headers, read_body
from modelmux.server.respond import STREAM_HEADERS, HeaderList, Receive, Scope, Send, send_json
from modelmux.telemetry import names
from modelmux.telemetry.logs import where
from modelmux.translate.notices import header_value


class ChatEndpoint:
    """Reads the body, lets the gateway answer, sends the answer, and settles exactly once, whatever happens."""

    def __init__(self, services: Services, max_body_bytes: int) -> None:
        self._services = services
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        """Answer one request.

        :raises GatewayError: before anything was sent; the caller sends it.
        """
        services = self._services
        check_headers(scope)
        services.metrics.total += 1
        services.metrics.in_flight.inc()
        owner, strict = _who_and_how(scope)
        exchange = Exchange(request_id, services.clock(), owner, strict, scope["headers"])
        try:
            body = await read_body(scope, receive, self._max_body_bytes)
            async with WhileConnected(receive, scope):
                answer = await run(body, exchange, services)
                await self._send(answer, send)
        except GatewayError as error:
            if isinstance(error, UpstreamRefused) and error.upstream_status == 404:
                self._explain(error, exchange)
            settle(exchange, services, error=error)
            raise
        except (ClientGone, OSError):  # OSError: how some servers report a send to a client that left
            finish(Answer(exchange), services, client_gone=True)
        except Exception:
            settle(exchange, services, error=GatewayError("The gateway failed."))
            raise
        finally:
            if not exchange.settled:  # cancelled from outside: the server is going down
                finish(Answer(exchange), services, client_gone=True)

    def _explain(self, error: GatewayError, exchange: Exchange) -> None:
        """A model that is not found may have been retired: then the client is told."""
        warning = self._services.routes.warning(exchange.tried[-1].card) if exchange.tried else None
        if warning is not None:
            error.hint = f"{error.hint} {warning}." if error.hint else f"{warning}."

    def _warning(self, exchange: Exchange) -> HeaderList:
        """The header that tells of a retirement, on every answer of a model that has one ahead or behind it."""
        warning = self._services.routes.warning(exchange.tried[-1].card)
        return [(b"x-modelmux-warning", " ".join(warning.split()).encode("ascii", "replace"))] if warning else []

    async def _send(self, answer: Answer, send: Send) -> None:
        headers = _headers(answer.exchange) + self._warning(answer.exchange)
        relay, complete = answer.relay, False
        try:
            if relay is None and not answer.events:
                await send_json(send, 200, answer.body, headers)
            else:
                await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS + headers})
                while relay is not None and (data := await relay.read()):
                    await send({"type": "http.response.body", "body": data, "more_body": True})
                await send({"type": "http.response.body", "body": answer.body})
            complete = True
        except Exception as error:
            if relay is None or isinstance(error, OSError):
                raise
            # A fault of ours in the middle of a stream: too late for a status, so the client is told in-band.
            self._services.log.error(
                names.EVENT_INTERNAL_ERROR, request_id=answer.exchange.request_id, where=where(error)
            )
            await send({"type": "http.response.body", "body": relay.fail(GatewayError("The gateway failed."))})
            complete = True
        finally:
            if relay is not None:
                await relay.aclose()
            finish(answer, self._services, client_gone=not complete)


def _who_and_how(scope: Scope) -> tuple[str, bool]:
    """A digest of the caller's key, and whether strict mode is asked for."""
    digest, strict = hashlib.sha256(), False
    for name, value in scope["headers"]:
        if name in (b"authorization", b"x-api-key"):
            digest.update(value)
        elif name == b"x-modelmux-strict":
            strict = value.strip().lower() in (b"1", b"true")
    return digest.hexdigest(), strict


def _headers(exchange: Exchange) -> HeaderList:
    answering = exchange.tried[-1]
    headers = [
        (b"x-request-id", exchange.request_id.encode()),
        (b"x-modelmux-model", answering.card.id.encode("ascii", "replace")),  # the body says what the client asked for
        (b"x-modelmux-deployment", answering.id.encode("ascii", "replace")),
        (b"x-modelmux-attempts", str(len(exchange.tried)).encode()),
    ]
    if exchange.mode != "standard":
        headers.append((b"x-modelmux-stream-mode", exchange.mode.encode()))
    if exchange.notices:
        headers.append((b"x-modelmux-notices", header_value(exchange.notices).encode()))
    return headers
