"""Observers of exchanges: the log and the metrics. Each gets the same records; others can be added to the tuple that
``app.py`` passes to the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from modelmux.accounts.entry import KEYLESS
from modelmux.claude.notices import log_value
from modelmux.errors import GatewayError, UpstreamRefused
from modelmux.telemetry import names
from modelmux.telemetry.client_tags import client_tags
from modelmux.telemetry.log import Log
from modelmux.telemetry.loggable import loggable_word
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.records import AttemptRecord, ExchangeRecord
from modelmux.telemetry.unread_cache import UnreadCache
from modelmux.wire.anthropic import Usage
from modelmux.wire.redaction import redacted

_UNRESOLVED_ROUTE = "unknown"
_MAX_UNKNOWN_TYPES = 20


class ExchangeObserver(Protocol):
    """Called by the gateway, never concurrently. Must not raise and must not block."""

    def started(self) -> None:
        """A request arrived."""
        ...

    def attempted(self, request_id: str, record: AttemptRecord) -> None:
        """An attempt failed before the client got any content, or gave content."""
        ...

    def error_sent(self, error: GatewayError, status: int) -> None:
        """A client was sent an error inside its stream.

        :param status: in the client's dialect.
        """
        ...

    def store_failed(self, request_id: str, error: Exception) -> None:
        """A response could not be stored. It is complete nevertheless, and says that it is not stored.

        :param error: its message is for the log.
        """
        ...

    def settled(self, record: ExchangeRecord) -> None:
        """An exchange is over; exactly once each."""
        ...


class LogObserver:
    """A line for each request, and a warning for each failed attempt and each unknown upstream type.

    :param redact: removes secrets from what clients chose.
    :param keys: owner of a caller, see ``Caller`` -> id of the key, where the owner is not the id.
    :param of_accounts: id of a key -> the fields that accounts add to the line of the request that was settled last;
        None without accounts.
    """

    def __init__(
        self,
        log: Log,
        redact: Callable[[str], str] = redacted,
        keys: Mapping[str, str] = MappingProxyType({}),
        of_accounts: Callable[[str], Mapping[str, str | None]] | None = None,
    ) -> None:
        self._log = log
        self._redact = redact
        self._keys = keys
        self._of_accounts = of_accounts

    def started(self) -> None:
        pass

    def attempted(self, request_id: str, record: AttemptRecord) -> None:
        error = record.error
        if error is not None:
            self._log.warning(
                names.EVENT_ATTEMPT_FAILED,
                request_id=request_id,
                deployment=record.deployment,
                attempt=record.number,
                kind=result_label(error),
                message=error.loggable_message,
                detail=error.detail,
            )

    def error_sent(self, error: GatewayError, status: int) -> None:
        pass

    def store_failed(self, request_id: str, error: Exception) -> None:
        self._log.error(
            names.EVENT_RESPONSE_STORE,
            request_id=request_id,
            message="the response could not be stored; the client was told so",
            detail=str(error),
        )

    def settled(self, record: ExchangeRecord) -> None:
        error, usage, first = record.error, record.usage or _NO_USAGE, record.time_to_first_token
        last = record.attempts[-1] if record.attempts else None
        caller, of_accounts = record.caller, self._of_accounts
        key = None if caller.owner == KEYLESS else self._keys.get(caller.owner, caller.owner)
        self._log.info(
            names.EVENT_REQUEST,
            request_id=record.request_id,
            operation=record.operation,
            route=record.route or _UNRESOLVED_ROUTE,
            requested_model=None if (asked := record.requested_model) is None else loggable_word(asked, self._redact),
            deployment=last.deployment if last is not None else None,
            model=last.card.id if last is not None else None,
            attempts=len(record.attempts),
            stream=record.stream,
            estimate=record.is_estimate or None,
            outcome=record.outcome,
            refused=record.refused or None,
            status=record.status,
            code=error.code if error else None,
            message=error.loggable_message if error else None,
            retry_stopped=record.stop_reason if error else None,
            duration_s=round(record.duration, 4),
            request_bytes=record.request_bytes,
            response_bytes=record.response_bytes,
            time_to_first_token_s=round(first, 4) if first is not None else None,
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cache_read_input_tokens,
            cache_write_tokens=usage.cache_creation_input_tokens,
            cache_write_1h_tokens=usage.cache_creation.ephemeral_1h_input_tokens or None
            if usage.cache_creation
            else None,
            output_tokens=usage.output_tokens,
            web_searches=usage.server_tool_use.web_search_requests or None if usage.server_tool_use else None,
            notices=log_value(record.notices) or None,
            upstream_request_id=record.upstream_request_id,
            key=key,
            team=caller.team or None,
            person=caller.person,
            trace_id=record.trace_id,
            span_id=record.span_id,
            **(_NO_FIELDS if of_accounts is None else of_accounts(key or "")),
            **client_tags(record.headers, self._redact),
        )
        types = {type for attempt in record.attempts for type in attempt.unknown_types}
        if types:
            self._log.warning(
                names.EVENT_UNKNOWN_UPSTREAM_TYPE,
                request_id=record.request_id,
                types=sorted(types)[:_MAX_UNKNOWN_TYPES],
            )


class MetricsObserver:
    """Counts requests, attempts and tokens."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._cache = UnreadCache()

    def started(self) -> None:
        self._metrics.total += 1
        self._metrics.in_flight += 1

    def attempted(self, request_id: str, record: AttemptRecord) -> None:
        del request_id
        metrics, error = self._metrics, record.error
        metrics.retries += record.is_retry
        metrics.attempts.add(record.deployment, "ok" if error is None else result_label(error))
        metrics.quota_errors += error is not None and error.kind.name == "rate_limit"

    def error_sent(self, error: GatewayError, status: int) -> None:
        self._metrics.count_error(error, status)

    def store_failed(self, request_id: str, error: Exception) -> None:
        del request_id, error
        self._metrics.store_failures.add()

    def settled(self, record: ExchangeRecord) -> None:
        metrics, route = self._metrics, record.route or _UNRESOLVED_ROUTE
        metrics.in_flight -= 1
        metrics.requests.add(route, record.outcome)
        metrics.duration.observe(route, record.duration)
        if record.outcome == names.OUTCOME_OK:
            metrics.succeeded += 1
        elif record.outcome != names.OUTCOME_CLIENT_DISCONNECTED:
            metrics.failed += 1
        if record.time_to_first_token is not None:
            metrics.time_to_first_token.observe(route, record.time_to_first_token)
        if record.is_sampled and record.trace_id is not None:
            metrics.duration.remember(route, record.duration, record.trace_id)
        usage, tag = record.usage, metrics.by_tag.ended(record)
        if usage is not None:
            self._count_tokens(route, usage, record.caller.team, tag)
            if metrics.token_sizes is not None:
                metrics.token_sizes.observe(route, usage)
            written, read = usage.cache_creation_input_tokens or 0, usage.cache_read_input_tokens or 0
            unread = self._cache.settled(record.caller.owner, route, written, read)
            if unread:
                metrics.cache_unread.add_many(unread, route)
        if record.outcome == names.OUTCOME_OK:
            self._observe_times(route, record, usage)

    def _observe_times(self, route: str, record: ExchangeRecord, usage: Usage | None) -> None:
        metrics, first, overhead = self._metrics, record.time_to_first_token, record.overhead
        if overhead is not None:
            metrics.overhead.observe(route, overhead)
        output = usage.output_tokens if usage is not None else None
        if record.stream and first is not None and output is not None and output > 1:
            metrics.time_per_output_token.observe(route, (record.duration - first) / (output - 1))

    def _count_tokens(self, route: str, usage: Usage, team: str, tag: str | None) -> None:
        teams = self._metrics.teams
        for type, count in (
            ("input", usage.input_tokens),
            ("cache_read", usage.cache_read_input_tokens),
            ("cache_write", usage.cache_creation_input_tokens),
            ("output", usage.output_tokens),
        ):
            if count and count > 0:  # a counter only rises, and an upstream's counts are not trusted
                self._metrics.tokens.add_many(count, route, type)
                if teams is not None:
                    self._metrics.team_tokens.add_many(count, teams.of_path(team), type)
                if tag is not None:
                    self._metrics.by_tag.tokens.add_many(count, tag, type)


_NO_USAGE = Usage()
_NO_FIELDS: Mapping[str, str | None] = MappingProxyType({})


def result_label(error: GatewayError) -> str:
    """The label ``result`` of a failed attempt: the kind of an upstream's error, else the code of ours."""
    return error.kind.name if isinstance(error, UpstreamRefused) else error.code or "error"
