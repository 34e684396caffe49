"""The standard variables of OpenTelemetry, as far as they decide whether there are traces, and which."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from modelmux.telemetry.tracing.sampling import Sampler, sampler_of

#: What has to be installed for traces.
_PACKAGE: Final = "opentelemetry.exporter.otlp.proto.http"
_EXPORTERS: Final = ("otlp", "console", "none")
_PROTOCOL: Final = "http/protobuf"
_MISSING: Final = (
    "traces need packages that are not installed; install modelmux-gateway[otel], or set OTEL_TRACES_EXPORTER=none"
)
_OTHER_PROTOCOL: Final = "{}: {!r} is not spoken here; set it to http/protobuf, which collectors take at port 4318"


class TraceSettings(Struct, frozen=True):
    """Traces are on.

    :param exporter: where they go: to an OTLP endpoint, or to stderr.
    """

    exporter: Literal["otlp", "console"]
    sampler: Sampler


def read_trace_settings(environment: Mapping[str, str]) -> TraceSettings | None:
    """None if there are to be no traces: without an endpoint, or because they are switched off.

    :raises ValueError: a variable has a value that cannot be used, or packages are missing.
    """
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return None
    if exporter not in ("", *_EXPORTERS):
        raise ValueError(f"OTEL_TRACES_EXPORTER: {exporter!r} is none of {', '.join(_EXPORTERS)}")
    if not exporter and not _first(environment, "ENDPOINT")[1]:
        return None
    if exporter != "console":
        name, protocol = _first(environment, "PROTOCOL")
        if protocol not in ("", _PROTOCOL):
            raise ValueError(_OTHER_PROTOCOL.format(name, protocol))
    sampler = sampler_of(
        environment.get("OTEL_TRACES_SAMPLER", "").strip(), environment.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    )
    if not _is_installed():
        raise ValueError(_MISSING)
    return TraceSettings("console" if exporter == "console" else "otlp", sampler)


def _first(environment: Mapping[str, str], suffix: str) -> tuple[str, str]:
    """Name and value of the variable for traces, else of that for all signals."""
    name = f"OTEL_EXPORTER_OTLP_TRACES_{suffix}"
    value = environment.get(name, "").strip()
    if value:
        return name, value
    name = f"OTEL_EXPORTER_OTLP_{suffix}"
    return name, environment.get(name, "").strip()


def _is_installed() -> bool:
    try:
        return importlib.util.find_spec(_PACKAGE) is not None
    except ModuleNotFoundError:  # of a package above it
        return False
