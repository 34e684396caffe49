"""An OTLP/HTTP receiver for traces and metrics, with the classes of the protocol."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Receiver:
    """What arrived.

    :ivar status: of the answers.
    """

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[ExportTraceServiceRequest] = []
        self.metric_requests: list[ExportMetricsServiceRequest] = []
        self.port = 0

    @property
    def environment(self) -> dict[str, str]:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}", "OTEL_BSP_SCHEDULE_DELAY": "20"}

    @property
    def resources(self) -> list[dict[str, Any]]:
        return [
            {one.key: value_of(one.value) for one in group.resource.attributes}
            for request in self.requests
            for group in request.resource_spans
        ]

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for request in self.requests
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    @property
    def steady_spans(self) -> list[Any]:
        """All but those of a wait for admission, which requests on a busy machine have."""
        return [span for span in self.spans if span.name != "modelmux.admission"]

    @property
    def metric_groups(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Of each request and process: its resource, and name -> metric."""
        return [
            (
                {one.key: value_of(one.value) for one in group.resource.attributes},
                {metric.name: metric for scope in group.scope_metrics for metric in scope.metrics},
            )
            for request in self.metric_requests
            for group in request.resource_metrics
        ]

    @contextlib.contextmanager
    def listening(self) -> Iterator[Receiver]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if receiver.status == 200 and self.path == "/v1/traces":
                    receiver.requests.append(ExportTraceServiceRequest.FromString(body))
                if receiver.status == 200 and self.path == "/v1/metrics":
                    receiver.metric_requests.append(ExportMetricsServiceRequest.FromString(body))
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def value_of(value: Any) -> Any:
    """An ``AnyValue``."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(one) for one in value.array_value.values]
    return getattr(value, kind)


def numbers(metric: Any) -> dict[tuple[str, ...], float]:
    """Of a sum or a gauge: values of the attributes, in their order by name -> number."""
    data = getattr(metric, metric.WhichOneof("data"))
    return {_labels(point): point.as_double or point.as_int for point in data.data_points}


def counts(metric: Any) -> dict[tuple[str, ...], int]:
    """Of a histogram: values of the attributes -> how many values."""
    return {_labels(point): point.count for point in metric.histogram.data_points}


def _labels(point: Any) -> tuple[str, ...]:
    return tuple(value for _, value in sorted((one.key, value_of(one.value)) for one in point.attributes))


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: value_of(one.value) for one in span.attributes}
