"""Metrics by OTLP, as the environment of the process asks for them; one exporter for all configurations of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from modelmux.config.telemetry_schema import GenAi
from modelmux.gateway.metering.background_loop import BackgroundLoop
from modelmux.runtime import Runtime
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.otlp_metrics.exporter import MetricSender
from modelmux.telemetry.otlp_metrics.series import Series, series_of
from modelmux.telemetry.otlp_metrics.settings import read_metric_settings
from modelmux.telemetry.token_sizes import TokenSizes
from modelmux.telemetry.worker_metrics import MetricValues

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(MetricValues).decode


class MetricExport:
    """Sends the numbers of this process now and then, in a thread of its own; in the event loop they are only copied.

    :param genai: version of the conventions whose names are sent.
    :raises ValueError: a variable of OpenTelemetry has a value that cannot be used, or packages are missing.
    """

    def __init__(self, environment: Mapping[str, str], runtime: Runtime, metrics: Metrics, genai: GenAi) -> None:
        self._settings = read_metric_settings(environment)
        self._genai: GenAi = genai
        if self._settings is not None and genai == "1.37":
            metrics.token_sizes = TokenSizes()
        self._runtime = runtime
        self._metrics = metrics
        self._loop = BackgroundLoop()
        self._sender: MetricSender | None = None

    def start(self) -> None:
        """Idempotent. After a fork."""
        if self._settings is not None:
            self._loop.start(self._run)

    async def aclose(self) -> None:
        """Send the last numbers, for three seconds at most. Idempotent."""
        await self._loop.aclose()
        sender, self._sender = self._sender, None
        if sender is not None:
            await _in_thread(sender.close, self._series(self._copied()))

    async def _run(self) -> None:
        assert self._settings is not None
        await _in_thread(self._open)
        while True:
            await self._runtime.sleep(self._settings.interval)
            await _in_thread(self._send, self._copied())

    def _open(self) -> None:
        assert self._settings is not None
        self._sender = MetricSender(self._settings, self._runtime.now)

    def _send(self, values: bytes) -> None:
        if self._sender is not None:
            self._sender.send(self._series(values))

    def _copied(self) -> bytes:
        values, sizes = self._metrics.values(), self._metrics.token_sizes
        if sizes is not None:
            values = msgspec.structs.replace(values, histograms=values.histograms | sizes.values)
        return _encode(values)

    def _series(self, values: bytes) -> list[Series]:
        sizes = self._metrics.token_sizes
        bounds = self._metrics.bounds if sizes is None else self._metrics.bounds | sizes.bounds
        return list(series_of(_decode(values), bounds, self._genai))


async def _in_thread(function: Callable[..., None], *arguments: object) -> None:
    """Run it in a thread that does not keep the process from ending: a collector may take long to answer."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        try:
            function(*arguments)
        finally:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="modelmux-metrics", daemon=True).start()
    await done.wait()
