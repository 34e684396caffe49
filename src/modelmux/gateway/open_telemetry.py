"""Traces and metrics as the environment of the process asks for them; one exporter of each for all configurations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from modelmux.accounts.directory import Directory
from modelmux.accounts.own_prices import CurrentPrices
from modelmux.config import Config
from modelmux.config.errors import ConfigError
from modelmux.config.telemetry_check import check_telemetry, keep_rules
from modelmux.dialects.registry import SURFACES
from modelmux.gateway.metering.entry_of import cost_of_attempts
from modelmux.gateway.metering.metering import static_keys
from modelmux.gateway.metric_export import MetricExport
from modelmux.runtime import Runtime
from modelmux.store.directory.feed import Feed
from modelmux.telemetry.genai_names import span_names
from modelmux.telemetry.log import Log
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.sdk_messages import SdkMessages, hear, hear_no_more
from modelmux.telemetry.tracing.exporter import Exporter
from modelmux.telemetry.tracing.settings import read_trace_settings
from modelmux.telemetry.tracing.tracer import Tracer

#: Dialect and operation -> method and path of its first surface.
_PATHS = {(one.dialect.name, str(one.operation)): (one.method, one.path) for one in reversed(SURFACES)}


class OpenTelemetry:
    """
    :param log: gets what the SDK says; None leaves that to ``logging``.
    :raises ConfigError: a variable of OpenTelemetry, or a value of ``[telemetry]``, cannot be used, or packages are
        missing.
    """

    def __init__(
        self, config: Config, environment: Mapping[str, str], runtime: Runtime, metrics: Metrics, log: Log | None = None
    ) -> None:
        check_telemetry(config.telemetry)
        self._genai = config.telemetry.genai  # of the process: names change with a restart only
        try:
            self._settings = read_trace_settings(environment)
            self._metric_export = MetricExport(environment, runtime, metrics, self._genai)
        except ValueError as error:
            raise ConfigError([str(error)]) from None
        self._runtime = runtime
        self._log = log
        self._messages: SdkMessages | None = None
        self._exporter = None if self._settings is None else Exporter(self._settings.exporter)
        metrics.read_span_drops = lambda: self.dropped

    def tracer(self, config: Config, redact: Callable[[str], str], feed: Feed | None = None) -> Tracer | None:
        """That of a configuration; None if nothing is traced.

        :param feed: of prices. :raises ConfigError: a value of ``[telemetry]`` cannot be used.
        """
        check_telemetry(config.telemetry)
        if self._settings is None or self._exporter is None:
            return None
        prices = CurrentPrices(config.build_prices(), (lambda: feed.current) if feed is not None else Directory)
        return Tracer(
            self._settings.sampler,
            self._exporter,
            self._runtime,
            paths=_PATHS,
            keys=static_keys(config),
            cost_of=lambda attempts, at: cost_of_attempts(attempts, at, prices()),
            redact=redact,
            sent_as=span_names(replace(config.telemetry, genai=self._genai)),
            keep=keep_rules(config.telemetry),
            propagates=config.telemetry.propagate,
        )

    @property
    def dropped(self) -> int:
        """Spans that were not sent."""
        return 0 if self._exporter is None else self._exporter.lost

    def start(self) -> None:
        """Open the exporters, so that no request waits for them. In the event loop, after a fork."""
        if self._log is not None:
            self._messages = hear(self._log, self._runtime.clock)
        self._metric_export.start()
        if self._exporter is not None:
            self._exporter.open()

    async def aclose(self) -> None:
        """Send what waits, for three seconds at most. Idempotent."""
        await asyncio.gather(self._metric_export.aclose(), self._close_traces())
        hear_no_more(self._messages)

    async def _close_traces(self) -> None:
        if self._exporter is not None:
            await asyncio.to_thread(self._exporter.close)
