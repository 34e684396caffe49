"""The standard variables of OpenTelemetry, as far as they decide whether there are traces, and which."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from modelmux.telemetry.otel_environment import Exporter, check_installed, read_exporter
from modelmux.telemetry.otel_values import check_batches, check_otlp
from modelmux.telemetry.tracing.exporter import QUEUE
from modelmux.telemetry.tracing.sampling import Sampler, sampler_of


class TraceSettings(Struct, frozen=True):
    """Traces are on.

    :param exporter: where they go: to an OTLP endpoint, or to stderr.
    """

    exporter: Exporter
    sampler: Sampler


def read_trace_settings(environment: Mapping[str, str]) -> TraceSettings | None:
    """None if there are to be no traces: without an endpoint, or because they are switched off.

    :raises ValueError: a variable has a value that cannot be used, or packages are missing.
    """
    exporter = read_exporter(environment, "TRACES")
    if exporter is None:
        return None
    sampler = sampler_of(
        environment.get("OTEL_TRACES_SAMPLER", "").strip(), environment.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    )
    check_batches(environment, QUEUE)
    if exporter == "otlp":
        check_otlp(environment, "TRACES")
    check_installed("TRACES")
    return TraceSettings(exporter, sampler)
