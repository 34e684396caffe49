"""The record of a request that is over -> its spans: that of the request, one of waiting for admission, if it waited,
that of the call to the model with all its attempts, and one of each attempt.

The names are those of OpenTelemetry's GenAI conventions, see ``genai_names.py``, and of its stable HTTP conventions;
``modelmux.*`` is our own. Only the span of the model has ``gen_ai.usage.*``: who adds up has to add up one kind of
span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from modelmux.claude.notices import log_value
from modelmux.telemetry import names
from modelmux.telemetry.loggable import first_word, loggable_word
from modelmux.telemetry.observers import result_label
from modelmux.telemetry.records import AttemptRecord, ExchangeRecord
from modelmux.telemetry.trace_context import TraceContext
from modelmux.wire.anthropic import Usage
from modelmux.wire.http import find_raw_header

PROVIDER: Final = "gcp.vertex_ai"
_NANO: Final = 10**9
SPAN_DIGITS: Final = 16
TRACE_DIGITS: Final = 32
_SERVER_ERROR: Final = 500
#: What HTTP said of a response inside which an error came.
_OK: Final = 200
#: Seconds; a wait for admission that is shorter has no span.
_MIN_WAIT: Final = 0.001
#: The finish reason of a reply that had none, because it was cut or given up.
_NO_REASON: Final = "error"

Value = str | int | float | bool | Sequence[str]


class Span(Struct, frozen=True, kw_only=True):
    """One span. Times are Unix nanoseconds; ids are hexadecimal digits.

    :param error: the status ERROR; otherwise the status is unset.
    """

    name: str
    kind: Literal["server", "client", "internal"]
    id: str
    parent: str | None
    start: int
    end: int
    attributes: dict[str, Value]
    error: bool = False


class Parameters(Struct, frozen=True):
    """What the body of the last call asks for, as it is sent to Vertex AI."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    output_config: dict[str, Any] | None = None


_read_parameters: Final = msgspec.json.Decoder(Parameters).decode


class Settled(Struct, frozen=True, kw_only=True):
    """A request that is over.

    :param clock: monotonic seconds of its end. :param now: Unix seconds of the same.
    :param method, path: of the request; the path as a template.
    :param key: id of its key; None without one.
    :param body: of the last call, as it was sent.
    :param cost: in USD, a decimal; None if it is unknown.
    """

    record: ExchangeRecord
    clock: float
    now: float
    method: str
    path: str
    key: str | None
    body: bytes | None
    cost: str | None

    def at(self, clock: float) -> int:
        """Unix nanoseconds of monotonic seconds."""
        return round((self.now - (self.clock - clock)) * _NANO)


def spans_of(
    settled: Settled,
    parent: TraceContext | None,
    new_id: Callable[[int], str],
    redact: Callable[[str], str],
    sent_as: Mapping[str, str | None],
) -> list[Span]:
    """All spans of a request, each after its parent.

    :param new_id: N random hexadecimal digits.
    :param sent_as: see ``genai_names.span_names``.
    """
    record = settled.record
    request = Span(
        name=f"{settled.method} {settled.path}",
        kind="server",
        id=record.span_id or new_id(SPAN_DIGITS),
        parent=None if parent is None else parent.parent_id,
        start=settled.at(settled.clock - record.duration),
        end=settled.at(settled.clock),
        attributes=_clean(_of_request(settled, redact)),
        error=record.status >= _SERVER_ERROR or record.failed_inside,
    )
    spans = [request, *_admission_span(settled, request.id, new_id)]
    if record.attempts:
        above = request.id
        if record.operation == "generate":
            model = _model_span(settled, above, new_id, redact, sent_as)
            spans.append(model)
            above = model.id
        spans += (_attempt_span(settled, one, above, new_id) for one in record.attempts)
    return spans


def _of_request(settled: Settled, redact: Callable[[str], str]) -> Iterator[tuple[str, Value | None]]:
    record = settled.record
    agent = find_raw_header(record.headers, b"user-agent")
    yield "http.request.method", settled.method
    yield "http.route", settled.path
    yield "http.response.status_code", _OK if record.failed_inside else record.status
    yield "user_agent.original", None if agent is None else first_word(agent, redact)
    if record.error is not None:
        yield "error.type", record.error.code or record.error.kind.name
    yield "modelmux.request_id", record.request_id
    yield "modelmux.dialect", record.dialect
    yield "modelmux.operation", record.operation
    yield "modelmux.outcome", record.outcome
    yield "modelmux.route", record.route
    yield "modelmux.key", settled.key
    yield "modelmux.team", record.caller.team or None
    yield "user.id", record.caller.person
    yield "modelmux.tags", [f"{name}={value}" for name, value in record.caller.tags] or None
    yield "modelmux.notices", log_value(record.notices) or None
    yield "modelmux.client_gone", record.outcome == names.OUTCOME_CLIENT_DISCONNECTED or None


def _admission_span(settled: Settled, parent: str, new_id: Callable[[int], str]) -> Iterator[Span]:
    """Of a request that waited for a slot; also of one that got none."""
    admission = settled.record.admission
    if admission.queued_at is None:
        return
    end = settled.clock if admission.admitted_at is None else admission.admitted_at
    if end - admission.queued_at > _MIN_WAIT:
        yield Span(
            name="modelmux.admission",
            kind="internal",
            id=new_id(SPAN_DIGITS),
            parent=parent,
            start=settled.at(admission.queued_at),
            end=settled.at(end),
            attributes={},
            error=admission.admitted_at is None and settled.record.error is not None,
        )


def _model_span(
    settled: Settled,
    parent: str,
    new_id: Callable[[int], str],
    redact: Callable[[str], str],
    sent_as: Mapping[str, str | None],
) -> Span:
    """Its name has the model that was asked for first, as the conventions want it; another may have answered."""
    record = settled.record
    gone = record.outcome == names.OUTCOME_CLIENT_DISCONNECTED
    return Span(
        name=f"chat {record.attempts[0].card.id}",
        kind="client",
        id=new_id(SPAN_DIGITS),
        parent=parent,
        start=settled.at(record.attempts[0].started_at),
        end=settled.at(settled.clock),
        attributes=_renamed(_clean(_of_model(settled, redact)), sent_as),
        error=record.error is not None and not gone,
    )


def _of_model(settled: Settled, redact: Callable[[str], str]) -> Iterator[tuple[str, Value | None]]:
    record, last = settled.record, settled.record.attempts[-1]
    yield "gen_ai.operation.name", "chat"
    yield "gen_ai.provider.name", PROVIDER
    yield "gen_ai.request.model", record.attempts[0].card.id
    yield "gen_ai.response.model", last.card.id
    yield "gen_ai.response.id", last.message_id
    yield "gen_ai.request.stream", record.stream or None
    yield "gen_ai.response.finish_reasons", [last.stop_reason or _NO_REASON]
    if record.stream and record.time_to_first_token is not None:
        yield "gen_ai.response.time_to_first_chunk", record.time_to_first_token
    yield "server.address", last.server
    if record.error is not None:
        yield "error.type", result_label(record.error)
    yield from _of_parameters(settled.body)
    yield from _of_usage(record.usage)
    yield "modelmux.requested_model", record.requested_model and loggable_word(record.requested_model, redact)
    yield "modelmux.attempts", len(record.attempts)
    yield "modelmux.cost.usd", settled.cost


def _of_parameters(body: bytes | None) -> Iterator[tuple[str, Value | None]]:
    try:
        sent = _read_parameters(body or b"{}")
    except msgspec.DecodeError:  # a native request with what Vertex AI has to judge
        return
    for name in ("max_tokens", "temperature", "top_p", "top_k", "stop_sequences"):
        yield f"gen_ai.request.{name}", getattr(sent, name)
    effort = (sent.output_config or {}).get("effort")
    yield "gen_ai.request.reasoning.level", effort if isinstance(effort, str) else None
    yield "gen_ai.output.type", "json" if (sent.output_config or {}).get("format") else None


def _of_usage(usage: Usage | None) -> Iterator[tuple[str, Value | None]]:
    """Anthropic counts the tokens of the cache apart; these conventions count them as input as well."""
    if usage is None:
        return
    parts = (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens)
    details = usage.output_tokens_details
    yield "gen_ai.usage.input_tokens", sum(part or 0 for part in parts)
    yield "gen_ai.usage.output_tokens", usage.output_tokens
    yield "gen_ai.usage.cache_read.input_tokens", usage.cache_read_input_tokens
    yield "gen_ai.usage.cache_write.input_tokens", usage.cache_creation_input_tokens
    yield "gen_ai.usage.reasoning.output_tokens", details.thinking_tokens if details is not None else None


def _attempt_span(settled: Settled, attempt: AttemptRecord, parent: str, new_id: Callable[[int], str]) -> Span:
    return Span(
        name="POST",
        kind="client",
        id=new_id(SPAN_DIGITS) if attempt.sent_context is None else attempt.sent_context.span_id,
        parent=parent,
        start=settled.at(attempt.started_at),
        end=settled.at(settled.clock if attempt.ended_at is None else attempt.ended_at),
        attributes=_clean(_of_attempt(attempt)),
        error=attempt.error is not None,
    )


def _of_attempt(attempt: AttemptRecord) -> Iterator[tuple[str, Value | None]]:
    yield "http.request.method", "POST"
    yield "server.address", attempt.server
    yield "http.response.status_code", attempt.status
    yield "http.request.resend_count", attempt.number - 1 if attempt.is_retry else None
    if attempt.error is not None:
        yield "error.type", result_label(attempt.error)
    yield "modelmux.deployment", attempt.deployment
    yield "modelmux.location", attempt.location or None
    yield "modelmux.upstream_request_id", attempt.upstream_request_id


def _renamed(attributes: dict[str, Value], sent_as: Mapping[str, str | None]) -> dict[str, Value]:
    return {new: value for name, value in attributes.items() if (new := sent_as.get(name, name)) is not None}


def _clean(attributes: Iterator[tuple[str, Value | None]]) -> dict[str, Value]:
    """Without those that have no value."""
    return {name: value for name, value in attributes if value is not None}
