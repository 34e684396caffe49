"""Traces of the requests that one configuration serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from modelmux.accounts.entry import KEYLESS
from modelmux.config.telemetry_check import KeepRules
from modelmux.runtime import Runtime
from modelmux.telemetry.records import AttemptRecord, ExchangeRecord
from modelmux.telemetry.trace_context import SentContext, TraceContext, read_trace_context, read_trace_state
from modelmux.telemetry.tracing.exporter import Exporter
from modelmux.telemetry.tracing.keep import keeps
from modelmux.telemetry.tracing.sampling import Sampler
from modelmux.telemetry.tracing.spans import SPAN_DIGITS, TRACE_DIGITS, Settled, spans_of


class Tracer:
    """Makes the spans of requests that are sampled, once they are over. For all others it decides that, and no more.

    :param paths: dialect and operation -> method and path, as a template.
    :param keys: owner of a caller, see ``Caller`` -> id of the key, where the owner is not the id.
    :param cost_of: what attempts cost together, in USD as a decimal; None if it is unknown.
    :param redact: removes secrets from what clients chose.
    :param sent_as: see ``genai_names.span_names``. :param keep: what is kept beside what the sampler chooses.
    :param propagates: calls to Vertex AI say which trace they belong to.
    """

    def __init__(
        self,
        sampler: Sampler,
        exporter: Exporter,
        runtime: Runtime,
        *,
        paths: Mapping[tuple[str, str], tuple[str, str]],
        keys: Mapping[str, str],
        cost_of: Callable[[Sequence[AttemptRecord], int], str | None],
        redact: Callable[[str], str],
        sent_as: Mapping[str, str | None],
        keep: KeepRules | None = None,
        propagates: bool = False,
    ) -> None:
        self._sampler = sampler
        self._exporter = exporter
        self._runtime = runtime
        self._paths = paths
        self._keys = keys
        self._cost_of = cost_of
        self._redact = redact
        self._sent_as = sent_as
        self._keep = keep
        self.propagates = propagates

    def context_of_call(self, headers: Sequence[tuple[bytes, bytes]], attempts: Sequence[AttemptRecord]) -> SentContext:
        """For the call of an attempt. :param headers: of the request. :param attempts: so far, all of one trace."""
        span_id = self.new_span_id()
        before = next((one.sent_context for one in attempts if one.sent_context is not None), None)
        if before is not None:
            return replace(before, span_id=span_id)
        parent = read_trace_context(headers)
        if parent is None:
            trace_id = self._runtime.new_id(TRACE_DIGITS)
            return SentContext(trace_id, span_id, self.is_sampled(trace_id, None))
        sampled = self.is_sampled(parent.trace_id, parent)
        return SentContext(parent.trace_id, span_id, sampled, read_trace_state(headers))

    def is_sampled(self, trace_id: str, parent: TraceContext | None) -> bool:
        """Whether the spans of a request are made. :param parent: as its client sent it."""
        return self._sampler.is_sampled(trace_id, parent)

    def new_span_id(self) -> str:
        return self._runtime.new_id(SPAN_DIGITS)

    def keeps(self, record: ExchangeRecord, ended_at: float) -> bool:
        """Whether a request that the sampler did not choose is kept, now that it is over.

        :param ended_at: monotonic seconds.
        """
        return self._keep is not None and keeps(self._keep, record, lambda: self._cost(record, ended_at))

    def settled(self, record: ExchangeRecord, parent: TraceContext | None, body: bytes | None, ended_at: float) -> None:
        """A request is over.

        :param record: with the id of its trace. :param parent: as its client sent it.
        :param body: of the last call. :param ended_at: monotonic seconds.
        """
        trace = record.trace_id
        if trace is None or not record.is_sampled:
            return
        method, path = self._paths.get((record.dialect, record.operation), ("POST", record.dialect))
        owner = record.caller.owner
        settled = Settled(
            record=record,
            clock=ended_at,
            now=self._unix(ended_at),
            method=method,
            path=path,
            key=None if owner == KEYLESS else self._keys.get(owner, owner),
            body=body,
            cost=self._cost(record, ended_at),
        )
        spans = spans_of(settled, parent, self._runtime.new_id, self._redact, self._sent_as)
        self._exporter.add(trace, spans)

    def _cost(self, record: ExchangeRecord, ended_at: float) -> str | None:
        return self._cost_of(record.attempts, round((self._unix(ended_at) - record.duration) * 1_000_000))

    def _unix(self, clock: float) -> float:
        """Unix seconds of monotonic ones."""
        return self._runtime.now() - (self._runtime.clock() - clock)
