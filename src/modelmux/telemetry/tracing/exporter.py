"""Sends spans by the SDK of OpenTelemetry, in a thread of its own; what it cannot send is dropped and counted.

The SDK reads ``OTEL_EXPORTER_OTLP_*``, ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_BSP_*`` itself,
from the environment of the process; the size of its queue is set here. Threads do not survive a fork: it is opened
after that.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final, Literal

from modelmux.telemetry.resource import SERVICE, resource
from modelmux.telemetry.tracing.spans import Span
from modelmux.version import __version__

#: Spans that wait to be sent at most. The SDK's own queue has twice that, so it never drops one without a count.
MOST_WAITING: Final = 2048
QUEUE: Final = 2 * MOST_WAITING
#: Seconds that the end of the process waits for what is left.
_FLUSH: Final = 3.0


class Exporter:
    """:param kind: where spans go."""

    def __init__(self, kind: Literal["otlp", "console"]) -> None:
        self._kind = kind
        self._sender: _Sender | None = None
        #: Spans that were not sent.
        self.dropped = 0

    def open(self) -> None:
        """Import the SDK and start its thread, which takes half a second; otherwise the first span does. Idempotent."""
        if self._sender is None:
            self._sender = _Sender(self._kind)

    def add(self, trace_id: str, spans: Sequence[Span]) -> None:
        """Send the spans of a request soon.

        :param trace_id: 32 hexadecimal digits.
        """
        self.open()
        assert self._sender is not None
        if self._sender.waiting + len(spans) > MOST_WAITING:
            self.dropped += len(spans)
            return
        self._sender.add(trace_id, spans)

    @property
    def lost(self) -> int:
        """Spans that were dropped, or that the endpoint did not take."""
        return self.dropped + (0 if self._sender is None else self._sender.failed)

    def close(self) -> None:
        """Send what waits, for three seconds at most. Idempotent. It blocks."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.close()
            self.dropped += sender.failed


class _Sender:
    """The SDK's batches and exporter, and a count of what became of the spans."""

    def __init__(self, kind: str) -> None:
        from opentelemetry.sdk.trace import export
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._lock = threading.Lock()
        self._added = self._ended = 0
        self.failed = 0
        self._resource = resource()
        self._scope = InstrumentationScope(SERVICE, __version__)
        self._processor = export.BatchSpanProcessor(_counting(self._exporter(kind), self._on_end), max_queue_size=QUEUE)

    @staticmethod
    def _exporter(kind: str) -> Any:
        if kind == "console":
            from opentelemetry.sdk.trace.export import ConsoleSpanExporter

            return ConsoleSpanExporter()
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()

    @property
    def waiting(self) -> int:
        return self._added - self._ended

    def add(self, trace_id: str, spans: Sequence[Span]) -> None:
        with self._lock:
            self._added += len(spans)
        for span in spans:
            self._processor.on_end(_readable(trace_id, span, self._resource, self._scope))

    def _on_end(self, count: int, *, delivered: bool) -> None:
        with self._lock:
            self._ended += count
            self.failed += 0 if delivered else count

    def close(self) -> None:
        """The SDK's own end has a timeout of half a minute."""
        ending = threading.Thread(target=self._processor.shutdown, name="modelmux-traces-end", daemon=True)
        ending.start()
        ending.join(_FLUSH)


def _counting(exporter: Any, on_end: Any) -> Any:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Counting(SpanExporter):
        """Tells how many spans were delivered."""

        def export(self, spans: Sequence[Any]) -> SpanExportResult:
            result: SpanExportResult = SpanExportResult.FAILURE
            try:
                result = exporter.export(spans)
            finally:
                on_end(len(spans), delivered=result is SpanExportResult.SUCCESS)
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    return Counting()


def _readable(trace_id: str, span: Span, resource: Any, scope: Any) -> Any:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
    from opentelemetry.trace.status import Status, StatusCode

    trace = int(trace_id, 16)
    flags = TraceFlags(TraceFlags.SAMPLED)
    is_root = span.kind == "server"
    parent = None if span.parent is None else SpanContext(trace, int(span.parent, 16), is_root, flags)
    return ReadableSpan(
        name=span.name,
        context=SpanContext(trace, int(span.id, 16), is_remote=False, trace_flags=flags),
        parent=parent,
        resource=resource,
        attributes=span.attributes,
        kind=SpanKind[span.kind.upper()],
        status=Status(StatusCode.ERROR if span.error else StatusCode.UNSET),
        start_time=span.start,
        end_time=span.end,
        instrumentation_scope=scope,
    )
