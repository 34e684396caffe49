"""The record of a request as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from textwrap import wrap

from modelmux.cli.sanitize import one_line
from modelmux.store.traces.prompt_cache import duration, sentences
from modelmux.store.traces.record import Tokens, Trace, TracedAttempt, TracedRequest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LABEL = 10
_TIME = 10


def explained(trace: Trace, previous: Trace | None, width: int) -> Iterator[str]:
    """All that is known of a request.

    :param previous: the turn of its conversation before it. :param width: columns of the terminal.
    """
    request = trace.request
    for label, text in _facts(request):
        yield f"{label:<{_LABEL}}{one_line(text)}"
    yield ""
    for at, text in sorted(_events(request), key=lambda event: event[0]):
        yield f"{at:>{_TIME},.1f} ms  {one_line(text)}"
    texts = sentences(trace, previous)
    if texts:
        yield ""
        yield f"{'cache':<{_LABEL}}{_cache(request.tokens)}"
        for text in texts:
            indent = " " * _LABEL
            yield from wrap(one_line(text), width, initial_indent=indent, subsequent_indent=indent)
    if previous is not None:
        ago = duration((request.at - previous.request.at) / 1_000_000)
        yield f"{'':<{_LABEL}}previous turn: {one_line(previous.request.request_id)}, {ago} before"


def listed(traces: list[Trace]) -> Iterator[str]:
    """A line for each request."""
    for trace in traces:
        one = trace.request
        model = one.route or one.requested or "-"
        tries = f" {len(one.attempts)} attempts" if len(one.attempts) > 1 else ""
        why = f" {one.code}" if one.code else ""
        tokens = f" {_tokens(one.tokens)}" if one.tokens is not None else ""
        yield one_line(
            f"{_when(one.at)[:19]}Z {one.request_id}  {one.status} {one.outcome}{why} {model} "
            f"{one.duration_ms:,.0f} ms{tries}{tokens}"
        )


def _facts(request: TracedRequest) -> Iterator[tuple[str, str]]:
    yield "request", request.request_id
    key = f", key {request.key}" if request.key else ""
    stream = ", stream" if request.stream else ""
    yield "arrived", f"{_when(request.at)}, {request.dialect} {request.operation}{stream}{key}"
    if request.requested is not None and request.requested != request.route:
        yield "asked for", request.requested
    if request.route is not None:
        yield "route", request.route
    yield "outcome", _outcome(request)
    if request.message:
        yield "", request.message
    if request.retry_stopped:
        yield "", f"no further attempt: {request.retry_stopped}"
    if request.tokens is not None:
        yield "tokens", _tokens(request.tokens)
    if request.cost is not None:
        yield "cost", f"${request.cost}"
    yield "bytes", f"{request.request_bytes:,} in, {request.response_bytes:,} out"
    yield from _ids(request)
    for label, notice in zip(["notices"] + [""] * len(request.notices), request.notices, strict=False):
        yield label, f"{notice.action} {notice.field or '(a field of its own)'}: {notice.reason}"
    if request.missing_notices:
        yield "", f"and {request.missing_notices} more"


def _outcome(request: TracedRequest) -> str:
    code = f" {request.code}" if request.code else ""
    first = "" if request.first_content_ms is None else f", first content after {request.first_content_ms:,.1f} ms"
    reason = f", {request.stop_reason}" if request.stop_reason else ""
    return f"{request.outcome} {request.status}{code}, {request.duration_ms:,.1f} ms{first}{reason}"


def _ids(request: TracedRequest) -> Iterator[tuple[str, str]]:
    named = {
        "reply": request.message_id,
        "upstream": request.upstream_request_id,
        "ledger": request.row_id,
        "trace": request.trace_id,
    }
    for label, id in named.items():
        if id:
            yield label, id


def _events(request: TracedRequest) -> Iterator[tuple[float, str]]:
    """Milliseconds after the arrival, and what happened."""
    yield 0.0, "the request arrived"
    if request.missing_attempts:
        yield (
            request.attempts[0].started_ms if request.attempts else 0.0,
            f"({request.missing_attempts} attempts before)",
        )
    for number, attempt in enumerate(request.attempts, request.missing_attempts + 1):
        retry = ", a retry" if attempt.retry else ""
        yield attempt.started_ms, f"attempt {number}{retry}: called {attempt.deployment}"
        if attempt.first_content_ms is not None:
            yield attempt.first_content_ms, f"attempt {number}: the client got the first content"
        if attempt.ended_ms is not None:
            yield attempt.ended_ms, f"attempt {number}: {_end(attempt)}"
    yield request.duration_ms, f"the request ended: {request.outcome} {request.status}"


def _end(attempt: TracedAttempt) -> str:
    status = "no status" if attempt.status is None else f"status {attempt.status}"
    reason = f", {attempt.stop_reason}" if attempt.stop_reason else ""
    message = f": {attempt.message}" if attempt.message else ""
    return f"{attempt.result}, {status}{reason}{message}"


def _tokens(tokens: Tokens) -> str:
    total = tokens.input + tokens.cache_read + tokens.cache_write
    cached = f" ({tokens.cache_read:,} from the cache)" if tokens.cache_read else ""
    return f"{total:,} in{cached}, {tokens.output:,} out"


def _cache(tokens: Tokens | None) -> str:
    if tokens is None:
        return "no usage was reported"
    return f"{tokens.cache_read:,} tokens read, {tokens.cache_write:,} written, {tokens.input:,} not cached"


def _when(at: int) -> str:
    time = _EPOCH + timedelta(microseconds=at)
    return f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d}Z"
