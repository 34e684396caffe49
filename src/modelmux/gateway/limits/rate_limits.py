"""Rate limits of one process: its counters, a gate for each configuration, and who corrects what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from modelmux.accounts.rate_limits import tick_at
from modelmux.accounts.rates import MAX_RATE
from modelmux.config.accounts_check import header_names
from modelmux.config.limits_check import limit_wait
from modelmux.config.schema import Config
from modelmux.errors import GatewayError
from modelmux.gateway.concurrency import ignore_wait, limits_of
from modelmux.gateway.large_requests import LargeRequests
from modelmux.gateway.limits.admitted import Admitted, Expected
from modelmux.gateway.limits.limit_queue import LimitQueue
from modelmux.gateway.limits.rate_gate import RateGate, Waits
from modelmux.gateway.limits.usual_output import UsualOutput
from modelmux.runtime import Runtime
from modelmux.store.counters.base import Counters
from modelmux.store.counters.leased import LeasedCounters
from modelmux.store.counters.memory import MemoryCounters
from modelmux.store.counters.shared import CounterTable, SharedCounters
from modelmux.store.directory.feed import Feed
from modelmux.store.redis.limit_exchange import LimitExchange
from modelmux.store.redis.open_redis import redis_connection
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, null_logger
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.records import AttemptRecord, ExchangeRecord

#: Characters of a token, at least.
_CHARACTERS = 3
#: One byte of so many that bodies may have may be one of a request that waits: the others are for those that do not.
_PART_OF_MEMORY = 2


class RateLimits:
    """
    :param feed: of the directory; None without accounts.
    :param table: the memory that workers share; None for a process that counts alone.
    :param worker: its number, from 1 to ``server.workers``.
    :param live_nodes: returns how many nodes share the accounts, by which limits are divided while nothing else is
        known of the others; None where there is one.
    :param is_draining: returns whether the process is about to end: then no request waits for room.
    :ivar read_body_memory: returns how many bytes of bodies there may be at the same time.
    :ivar observers: those that correct what requests were expected to use.
    :raises ConfigError: ``limits.redis`` cannot be used.
    """

    def __init__(
        self,
        config: Config,
        feed: Feed | None,
        table: CounterTable | None,
        worker: int,
        runtime: Runtime,
        log: Log | None = None,
        metrics: Metrics | None = None,
        live_nodes: Callable[[], int] | None = None,
        is_draining: Callable[[], bool] = lambda: False,
    ) -> None:
        self._feed = feed
        self._runtime = runtime
        self._outputs = UsualOutput()
        self._workers = config.server.workers
        on_wait = ignore_wait if metrics is None else metrics.count_wait
        self.read_body_memory: Callable[[], float] = lambda: math.inf
        self._queue = LimitQueue(runtime.clock, is_draining, on_wait)
        own = MemoryCounters(config.server.workers) if table is None else SharedCounters(table, worker)
        self._counters: Counters = own
        self._exchange: LimitExchange | None = None
        connect = redis_connection(config)
        if connect is not None and feed is not None:
            leased = LeasedCounters(own, live_nodes or (lambda: 1))
            node = runtime.new_id(16) if table is None else table.node
            on_problem = log_limit_problems(log or null_logger())
            exchange = LimitExchange(leased, connect, f"{node}:{worker}", node, runtime, on_problem)
            self._counters, self._exchange, leased.on_touch = leased, exchange, exchange.start
            if metrics is not None:
                metrics.read_limits_shared = lambda: exchange.is_shared
        elif live_nodes is not None:
            self._counters = LeasedCounters(own, live_nodes, most=0)
        self.observers = () if feed is None else (UsageObserver(self._counters, self._outputs, runtime),)

    def start(self) -> None:
        """Share limits with other nodes, if that is configured. Idempotent."""
        if self._exchange is not None:
            self._exchange.start()

    async def aclose(self) -> None:
        """Give back what no request needs any more. Idempotent."""
        if self._exchange is not None:
            await self._exchange.aclose()

    def gates(self, config: Config, large: LargeRequests) -> tuple[RateGate | None, tuple[RateGate, ...]]:
        """The admission step of a configuration, and the same as gates; none without accounts.

        :param large: for requests that take long.
        :raises ConfigError: ``limits.wait`` cannot be used.
        """
        feed, wait = self._feed, limit_wait(config)
        if feed is None:
            return None, ()
        headers = header_names(config.accounts.end_user_headers)
        waits = None
        if wait:
            most, total = limits_of(config.limits, self._workers)["queue"], float(config.timeouts.total)
            waits = Waits(self._queue, wait, most, lambda: self.read_body_memory() / _PART_OF_MEMORY, total, large)
        gate = RateGate(self._counters, self._outputs, lambda: feed.current, self._runtime, headers, waits)
        return gate, (gate,)


def log_limit_problems(log: Log) -> Callable[[str | None], None]:
    """What an exchange calls when it begins to fail, and with None when it works again."""

    def on_problem(problem: str | None) -> None:
        if problem is None:
            log.info(names.EVENT_LIMITS, message="rate limits are shared with other nodes again")
        else:
            message = f"each node takes its part of the rate limits, because they cannot be shared: {problem}"
            log.error(names.EVENT_LIMITS, message=message)

    return on_problem


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
