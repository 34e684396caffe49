"""Which configurations keep records of requests, and bodies of some; and what notes a request that is over."""

from __future__ import annotations

import asyncio
import functools
import hmac
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.own_prices import CurrentPrices
from modelmux.config import Config, ConfigError
from modelmux.config.captures import captured_days, captured_whose, captures
from modelmux.config.keeps_traces import keeps_traces
from modelmux.dialects.base import Inbound
from modelmux.gateway.capture.body_capture import BodyCapture
from modelmux.gateway.metering.entry_of import cost_of_attempts
from modelmux.gateway.metering.metering import static_keys
from modelmux.gateway.traces.trace_of import Ended, TraceRules, request_of, trace_of
from modelmux.runtime import Runtime
from modelmux.store.captures.record import CaptureBounds, EncodedCapture, Exchanged, encode
from modelmux.store.directory.feed import Feed
from modelmux.store.file_kinds import CAPTURES_FILE, has_sqlite
from modelmux.store.local_state import KEY_REMEDY, LocalState
from modelmux.store.open_responses import seal_keys
from modelmux.store.traces.record import Trace, TracedRequest
from modelmux.telemetry import names
from modelmux.telemetry.log import Log
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.records import ExchangeRecord

if TYPE_CHECKING:
    from modelmux.store.captures.writer import CaptureWriter
    from modelmux.store.traces.writer import TraceWriter

#: Seconds between two looks for bodies that are too old.
_DROP_INTERVAL: Final = 3600.0


class TraceRecorder:
    """Notes requests that are over. What takes longer is done in the background.

    :param captures: where bodies are written; None if none are kept.
    :param keyless: bodies of requests without a virtual key are kept, too.
    """

    def __init__(
        self,
        add: Callable[[Callable[[], Trace], int], None],
        rules: TraceRules,
        runtime: Runtime,
        captures: CaptureWriter | None = None,
        *,
        keyless: bool = False,
    ) -> None:
        self._add = add
        self._rules = rules
        self._now = runtime.now
        self._captures = captures
        self._keyless = keyless

    def capture_of(self, inbound: Inbound) -> BodyCapture | None:
        """See ``gateway.services.Traces``."""
        if self._captures is None:
            return None
        caller = inbound.caller
        if not (caller.is_captured if caller.is_account else self._keyless):
            return None
        return BodyCapture(inbound, self._captures.bounds.max_body_bytes)

    def settled(
        self,
        record: ExchangeRecord,
        body: bytes | None,
        session: str | None,
        clock: float,
        capture: BodyCapture | None = None,
    ) -> None:
        """See ``gateway.services.Traces``."""
        ended = Ended(record, clock, self._now(), body, session, is_captured=capture is not None)
        self._add(functools.partial(trace_of, ended, self._rules), 0 if body is None else len(body))
        if capture is not None and self._captures is not None:
            exchanged = capture.exchanged()
            make = functools.partial(_encoded, ended, self._rules, exchanged, self._captures.bounds)
            self._captures.add(make, exchanged.held_bytes)


def _encoded(
    ended: Ended, rules: TraceRules, exchanged: Exchanged, bounds: CaptureBounds
) -> tuple[TracedRequest, EncodedCapture]:
    request = request_of(ended, rules)
    return request, encode(request, exchanged, bounds)


class RequestTraces:
    """The writers of a process, if records are kept, and what notes the requests of each configuration."""

    def __init__(self, config: Config, state: LocalState, runtime: Runtime, log: Log, metrics: Metrics) -> None:
        self._state = state
        self._runtime = runtime
        self._log = log
        self._writer: TraceWriter | None = None
        self._captures: CaptureWriter | None = None
        self._is_capturing = captures(config)
        self._timer: asyncio.TimerHandle | None = None
        metrics.read_trace_drops = lambda: self.dropped
        #: Where records are kept, for people.
        self.notices: list[str] = []
        if state.directory is None or not has_sqlite():
            problem = state.problem if has_sqlite() else "this Python has no module sqlite3"
            if self._is_capturing and problem is not None:
                raise ConfigError([f"capture.enabled: bodies cannot be kept ({problem})"], hint=KEY_REMEDY)
            return
        if keeps_traces(config):
            self._open_traces(state.directory)
        self._open_captures(config, state.directory)

    def _open_traces(self, directory: Path) -> None:
        from modelmux.store.traces.sqlite_traces import FILE_NAME  # a Python may have been built without SQLite
        from modelmux.store.traces.writer import TraceWriter

        path = directory / FILE_NAME
        self.notices.append(f"the latest requests are in {path} without their text, for `modelmux trace`")
        self._writer = TraceWriter(path, *self._of_runtime())

    def _open_captures(self, config: Config, directory: Path) -> None:
        """Also where capture was turned off: what there is from before is dropped when its time is over."""
        path = directory / CAPTURES_FILE
        if not self._is_capturing and not path.exists():
            return
        from modelmux.store.captures.writer import CaptureWriter

        self._captures = CaptureWriter(path, bounds_of(config), *self._of_runtime())
        if self._is_capturing:
            whose, days = captured_whose(config), captured_days(config)
            self.notices.append(f"bodies are captured {whose}: they are in {path} for {days}")

    def _of_runtime(self) -> tuple[Any, ...]:
        return self._runtime.now, self._runtime.sleep, self._on_problem, self._on_recovered

    def start(self) -> None:
        """Drop bodies that are too old, now and from time to time."""
        if self._captures is not None:
            self._captures.drop_old()
            self._timer = asyncio.get_running_loop().call_later(_DROP_INTERVAL, self.start)

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
        writer = self._captures if self._is_capturing and config.capture.enabled else None
        return TraceRecorder(self._writer.add, rules, self._runtime, writer, keyless=config.capture.without_account)

    @property
    def dropped(self) -> int:
        """Records, and bodies of requests, that could not be written."""
        return sum(writer.dropped for writer in (self._writer, self._captures) if writer is not None)

    async def aclose(self) -> None:
        """Write what waits. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        for writer in (self._writer, self._captures):
            if writer is not None:
                await writer.aclose()

    def _on_problem(self, message: str) -> None:
        self._log.error(names.EVENT_TRACES, message=message)

    def _on_recovered(self, message: str) -> None:
        self._log.info(names.EVENT_TRACES, message=message)


def bounds_of(config: Config) -> CaptureBounds:
    """Those of ``[capture]``."""
    capture = config.capture
    return CaptureBounds(
        int(capture.max_body_bytes), int(capture.max_bytes), capture.max_requests, capture.days, capture.files
    )
