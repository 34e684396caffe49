"""What is written down once an exchange is over, exactly once, however it ended."""

from __future__ import annotations

from typing import Final

from modelmux.claude.notices import header_value
from modelmux.errors import GatewayError, RequestError, UpstreamError, UpstreamRefused
from modelmux.gateway.exchange import Answer, Exchange, Services
from modelmux.gateway.thinking_store import remember
from modelmux.telemetry import names

_UNRESOLVED: Final = "unknown"
#: Refusals (translate.errors) of what a request holds: Vertex AI's sentence may quote it.
_QUOTING: Final = frozenset({"invalid_request", "context_length", "too_large", "thinking_refused", "conflict"})


def loggable(error: GatewayError) -> str | None:
    """What an error says, unless it is about what the client sent: then only the client reads it."""
    quotes = isinstance(error, RequestError) or (isinstance(error, UpstreamRefused) and error.kind in _QUOTING)
    return None if quotes else error.message


def finish(answer: Answer, services: Services, *, client_gone: bool) -> None:
    """Settle an answered exchange; ``client_gone`` when the client left before its end."""
    exchange, error = answer.exchange, None
    if exchange.settled:
        return
    if answer.relay is not None:
        stream = answer.relay.stream
        exchange.usage, exchange.unknown = stream.total_usage, stream.unknown
        error = answer.relay.failure
        if exchange.remembers and stream.done:
            remember(stream.kept, exchange.owner, exchange.model, services.thoughts)
    settle(exchange, services, error=error, client_gone=client_gone)


def settle(exchange: Exchange, services: Services, *, error: GatewayError | None, client_gone: bool = False) -> None:
    """Count and log an ended exchange, once.

    :param error: what the client was told, if it failed.
    :param client_gone: the client left before the end.
    """
    if exchange.settled:
        return
    exchange.settled = True
    outcome = _outcome(error, client_gone=client_gone)
    metrics, took = services.metrics, services.clock() - exchange.started
    route = exchange.route.name if exchange.route else _UNRESOLVED
    metrics.in_flight -= 1
    metrics.requests.add(route, outcome)
    metrics.duration.observe(route, took)
    if outcome == names.OUTCOME_OK:
        metrics.succeeded += 1
    elif outcome != names.OUTCOME_CLIENT_DISCONNECTED:
        metrics.failed += 1
    first = exchange.first_content
    if first is not None:
        metrics.time_to_first_token.observe(route, first - exchange.started)
    _count_tokens(exchange, services, route)
    usage = exchange.usage
    services.log.info(
        names.EVENT_REQUEST,
        request_id=exchange.request_id,
        route=route,
        deployment=exchange.tried[-1].id if exchange.tried else None,
        attempts=len(exchange.tried),
        stream=exchange.stream,
        outcome=outcome,
        status=error.status if error else 200,
        code=error.code if error else None,
        message=loggable(error) if error else None,
        duration_s=round(took, 4),
        request_bytes=exchange.request_bytes,
        response_bytes=exchange.response_bytes,
        time_to_first_token_s=round(first - exchange.started, 4) if first is not None else None,
        input_tokens=usage.input_tokens if usage else None,
        cache_read_tokens=usage.cache_read_input_tokens if usage else None,
        cache_write_tokens=usage.cache_creation_input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        notices=header_value(exchange.notices) or None,
        upstream_request_id=exchange.upstream_request_id,
    )
    if exchange.unknown:
        services.log.warning(
            names.EVENT_UNKNOWN_UPSTREAM_TYPE, request_id=exchange.request_id, types=sorted(exchange.unknown)[:20]
        )


def _outcome(error: GatewayError | None, *, client_gone: bool) -> str:
    if client_gone:
        return names.OUTCOME_CLIENT_DISCONNECTED
    if error is None:
        return names.OUTCOME_OK
    if isinstance(error, RequestError) or (isinstance(error, UpstreamRefused) and error.status in (400, 404, 413)):
        return names.OUTCOME_CLIENT_ERROR
    return names.OUTCOME_UPSTREAM_ERROR if isinstance(error, UpstreamError) else names.OUTCOME_GATEWAY_ERROR


def _count_tokens(exchange: Exchange, services: Services, route: str) -> None:
    usage = exchange.usage
    if usage is None:
        return
    for kind, count in (
        ("input", usage.input_tokens),
        ("cache_read", usage.cache_read_input_tokens),
        ("cache_write", usage.cache_creation_input_tokens),
        ("output", usage.output_tokens),
    ):
        if count and count > 0:  # a counter takes nothing less, and what an upstream counts is not ours to trust
            services.metrics.tokens.add_many(count, route, kind)
