"""The outcome of an exchange, and the trace it belongs to, for its record."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from modelmux.errors import GatewayDraining, GatewayError, RequestError, UpstreamError, UpstreamRefused
from modelmux.telemetry import names
from modelmux.telemetry.records import AttemptRecord, ExchangeRecord, Outcome
from modelmux.telemetry.trace_context import TraceContext, read_trace_context
from modelmux.telemetry.tracing.spans import TRACE_DIGITS
from modelmux.telemetry.tracing.tracer import Tracer

#: Statuses of an upstream's error that the client caused.
_CLIENT_STATUSES = (400, 404, 413)


def outcome_of(error: GatewayError | None, *, client_disconnected: bool) -> Outcome:
    """How an exchange ended.

    :param error: the error sent to the client, if it failed.
    :param client_disconnected: the client left before the end.
    """
    if client_disconnected:
        return names.OUTCOME_CLIENT_DISCONNECTED
    if error is None:
        return names.OUTCOME_OK
    if isinstance(error, RequestError) or (isinstance(error, UpstreamRefused) and error.status in _CLIENT_STATUSES):
        return names.OUTCOME_CLIENT_ERROR
    if isinstance(error, GatewayDraining):
        return names.OUTCOME_DRAINED
    return names.OUTCOME_UPSTREAM_ERROR if isinstance(error, UpstreamError) else names.OUTCOME_GATEWAY_ERROR


def with_kept_trace(record: ExchangeRecord, tracer: Tracer | None, ended_at: float) -> ExchangeRecord:
    """The record, of a trace that is kept if the tracer keeps it because of how the request went; with the id of its
    span, if it gets one.

    :param ended_at: monotonic seconds.
    """
    if tracer is None or not (record.is_sampled or tracer.keeps(record, ended_at)):
        return record
    return replace(record, is_sampled=True, span_id=tracer.new_span_id())


def trace_of(
    headers: Sequence[tuple[bytes, bytes]],
    tracer: Tracer | None,
    new_id: Callable[[int], str],
    attempts: Sequence[AttemptRecord] = (),
) -> tuple[TraceContext | None, str | None, bool]:
    """The trace of a request: as its client sent it, its id, and whether it is kept.

    :param headers: of the request. :param tracer: None where nothing is traced: then only clients begin traces.
    :param attempts: whose calls may have said already which trace they belong to.
    """
    parent = read_trace_context(headers)
    if tracer is None:
        return (None, None, False) if parent is None else (parent, parent.trace_id, parent.sampled)
    sent = next((one.sent_context for one in attempts if one.sent_context is not None), None)
    if sent is not None:
        return parent, sent.trace_id, sent.sampled
    trace_id = new_id(TRACE_DIGITS) if parent is None else parent.trace_id
    return parent, trace_id, tracer.is_sampled(trace_id, parent)
