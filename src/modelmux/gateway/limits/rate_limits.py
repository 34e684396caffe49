"""Rate limits of one process: its counters, a gate for each configuration, and who corrects what was expected."""

from __future__ import annotations

from collections.abc import Sequence

from modelmux.accounts.rate_limits import tick_at
from modelmux.accounts.rates import MAX_RATE
from modelmux.config.accounts_check import header_names
from modelmux.config.schema import Config
from modelmux.errors import GatewayError
from modelmux.gateway.limits.admitted import Admitted, Expected
from modelmux.gateway.limits.rate_gate import RateGate
from modelmux.gateway.limits.usual_output import UsualOutput
from modelmux.runtime import Runtime
from modelmux.store.counters.base import Counters
from modelmux.store.counters.memory import MemoryCounters
from modelmux.store.counters.shared import CounterTable, SharedCounters
from modelmux.store.directory.feed import Feed
from modelmux.telemetry.records import AttemptRecord, ExchangeRecord

#: Characters of a token, at least.
_CHARACTERS = 3


class RateLimits:
    """
    :param feed: of the directory; None without accounts.
    :param table: the memory that workers share; None for a process that counts alone.
    :param worker: its number, from 1 to ``workers``.
    :ivar observers: those that correct what requests were expected to use.
    """

    def __init__(
        self, feed: Feed | None, table: CounterTable | None, worker: int, workers: int, runtime: Runtime
    ) -> None:
        self._feed = feed
        self._runtime = runtime
        self._outputs = UsualOutput()
        self._counters: Counters = MemoryCounters(workers) if table is None else SharedCounters(table, worker)
        self.observers = () if feed is None else (UsageObserver(self._counters, self._outputs, runtime),)

    def gates(self, config: Config) -> tuple[RateGate | None, tuple[RateGate, ...]]:
        """The admission step of a configuration, and the same as gates; none without accounts."""
        feed = self._feed
        if feed is None:
            return None, ()
        headers = header_names(config.accounts.end_user_headers)
        gate = RateGate(self._counters, self._outputs, lambda: feed.current, self._runtime, headers)
        return gate, (gate,)


class UsageObserver:
    """An ``ExchangeObserver``."""

    def __init__(self, counters: Counters, outputs: UsualOutput, runtime: Runtime) -> None:
        self._counters = counters
        self._outputs = outputs
        self._clock = runtime.clock

    def started(self) -> None:
        pass

    def attempted(self, request_id: str, record: AttemptRecord) -> None:
        pass

    def error_sent(self, error: GatewayError, status: int) -> None:
        pass

    def store_failed(self, request_id: str, error: Exception) -> None:
        pass

    def settled(self, record: ExchangeRecord) -> None:
        admitted = record.admission.limits
        if not isinstance(admitted, Admitted) or not admitted.counts_tokens:
            return
        actual = used_by(record.attempts, admitted.expected)
        if any(attempt.is_complete for attempt in record.attempts):
            self._outputs.add(record.caller.owner, actual.output)
        admitted.correct(self._counters, actual, tick_at(self._clock()))


def used_by(attempts: Sequence[AttemptRecord], expected: Expected) -> Expected:
    """Tokens that calls have used, without those that were read from the cache.

    :param expected: what counts for the prompt of a call that the upstream may have read, and reported nothing of.
    """
    prompt = output = 0
    for attempt in attempts:
        usage = attempt.usage
        if usage is not None:
            prompt += _tokens(usage.input_tokens) + _tokens(usage.cache_creation_input_tokens)
            output += max(_tokens(usage.output_tokens), -(-attempt.characters // _CHARACTERS))
        elif attempt.may_be_billed:
            prompt += expected.input
    return Expected(prompt, output)


def _tokens(reported: int | None) -> int:
    """No more than fills any limit, so that sums stay within 64 bits whatever an upstream reports."""
    return min(max(reported or 0, 0), MAX_RATE)
