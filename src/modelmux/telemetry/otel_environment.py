"""The standard variables of OpenTelemetry, as far as they decide what is sent, and where to."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Final, Literal

Signal = Literal["TRACES", "METRICS"]
Exporter = Literal["otlp", "console"]
#: What has to be installed.
_PACKAGE: Final = "opentelemetry.exporter.otlp.proto.http"
_EXPORTERS: Final = ("otlp", "console", "none")
_PROTOCOL: Final = "http/protobuf"
_MISSING: Final = (
    "{} need packages that are not installed; install modelmux-gateway[otel], or set OTEL_{}_EXPORTER=none"
)
_OTHER_PROTOCOL: Final = "{}: {!r} is not spoken here; set it to http/protobuf, which collectors take at port 4318"


def read_exporter(environment: Mapping[str, str], signal: Signal) -> Exporter | None:
    """Where a signal goes: to an OTLP endpoint, or to stderr. None without an endpoint, or if it is switched off.

    :raises ValueError: a variable has a value that cannot be used.
    """
    variable = f"OTEL_{signal}_EXPORTER"
    exporter = environment.get(variable, "").strip()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return None
    if exporter not in ("", *_EXPORTERS):
        raise ValueError(f"{variable}: {exporter!r} is none of {', '.join(_EXPORTERS)}")
    if not exporter and not first_set(environment, signal, "ENDPOINT")[1]:
        return None
    if exporter == "console":
        return "console"
    name, protocol = first_set(environment, signal, "PROTOCOL")
    if protocol not in ("", _PROTOCOL):
        raise ValueError(_OTHER_PROTOCOL.format(name, protocol))
    return "otlp"


def check_installed(signal: Signal) -> None:
    """:raises ValueError: packages are missing."""
    try:
        is_installed = importlib.util.find_spec(_PACKAGE) is not None
    except ModuleNotFoundError:  # of a package above it
        is_installed = False
    if not is_installed:
        raise ValueError(_MISSING.format(signal.lower(), signal))


def first_set(environment: Mapping[str, str], signal: Signal, suffix: str) -> tuple[str, str]:
    """Name and value of the variable for a signal, else of that for all signals."""
    name = f"OTEL_EXPORTER_OTLP_{signal}_{suffix}"
    value = environment.get(name, "").strip()
    if value:
        return name, value
    name = f"OTEL_EXPORTER_OTLP_{suffix}"
    return name, environment.get(name, "").strip()
