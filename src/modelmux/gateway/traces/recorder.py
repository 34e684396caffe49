"""Which configurations keep records of requests, and what notes a request that is over."""

from __future__ import annotations

import functools
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING

from modelmux.accounts.directory import Directory
from modelmux.accounts.own_prices import CurrentPrices
from modelmux.config import Config
from modelmux.config.keeps_traces import keeps_traces
from modelmux.gateway.metering.entry_of import cost_of_attempts
from modelmux.gateway.metering.metering import static_keys
from modelmux.gateway.traces.trace_of import Ended, TraceRules, trace_of
from modelmux.runtime import Runtime
from modelmux.store.directory.feed import Feed
from modelmux.store.file_kinds import has_sqlite
from modelmux.store.local_state import LocalState
from modelmux.store.open_responses import seal_keys
from modelmux.store.traces.record import Trace
from modelmux.telemetry import names
from modelmux.telemetry.log import Log
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.records import ExchangeRecord

if TYPE_CHECKING:
    from modelmux.store.traces.writer import TraceWriter


class TraceRecorder:
    """Notes requests that are over. What takes longer is done in the background."""

    def __init__(self, add: Callable[[Callable[[], Trace], int], None], rules: TraceRules, runtime: Runtime) -> None:
        self._add = add
        self._rules = rules
        self._now = runtime.now

    def settled(self, record: ExchangeRecord, body: bytes | None, session: str | None, clock: float) -> None:
        """
        :param body: of the last call. :param session: what the client's body calls the conversation.
        :param clock: monotonic seconds of now.
        """
        ended = Ended(record, clock, self._now(), body, session)
        self._add(functools.partial(trace_of, ended, self._rules), 0 if body is None else len(body))


class RequestTraces:
    """The writer of a process, if records are kept, and what notes the requests of each configuration."""

    def __init__(self, config: Config, state: LocalState, runtime: Runtime, log: Log, metrics: Metrics) -> None:
        self._state = state
        self._runtime = runtime
        self._log = log
        self._writer: TraceWriter | None = None
        metrics.read_trace_drops = lambda: self.dropped
        #: Where records are kept, for people.
        self.notice: str | None = None
        if state.directory is None or not keeps_traces(config) or not has_sqlite():
            return
        from modelmux.store.traces.sqlite_traces import FILE_NAME  # a Python may have been built without SQLite
        from modelmux.store.traces.writer import TraceWriter

        path = state.directory / FILE_NAME
        self.notice = f"the latest requests are in {path} without their text, for `modelmux trace`"
        self._writer = TraceWriter(path, runtime.now, runtime.sleep, self._on_problem, self._on_recovered)

    def recorder(self, config: Config, redact: Callable[[str], str], feed: Feed | None) -> TraceRecorder | None:
        """That of a configuration; None if no records are kept. :param feed: of prices."""
        if self._writer is None:
            return None
        prices = CurrentPrices(config.build_prices(), (lambda: feed.current) if feed is not None else Directory)
        rules = TraceRules(
            secret=hmac.digest(seal_keys(config, self._state)[0], b"modelmux prompt digests", "sha256"),
            keys=static_keys(config),
            cost_of=lambda attempts, at: cost_of_attempts(attempts, at, prices()),
            redact=redact,
        )
        return TraceRecorder(self._writer.add, rules, self._runtime)

    @property
    def dropped(self) -> int:
        """Records that could not be written."""
        return 0 if self._writer is None else self._writer.dropped

    async def aclose(self) -> None:
        """Write what waits. Idempotent."""
        if self._writer is not None:
            await self._writer.aclose()

    def _on_problem(self, message: str) -> None:
        self._log.error(names.EVENT_TRACES, message=message)

    def _on_recovered(self, message: str) -> None:
        self._log.info(names.EVENT_TRACES, message=message)
