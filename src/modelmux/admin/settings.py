"""``/settings``: the configuration in force, with the origin of each value and without secrets."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from modelmux.admin.operation import Call, Operation, Reply
from modelmux.telemetry.otel_environment import Signal, read_exporter
from modelmux.version import __version__


class SettingView(Struct, frozen=True, kw_only=True):
    """:param name: as in the documentation, ``server.port``. :param origin: ``default`` if nothing sets it."""

    name: str
    value: Any
    origin: str


class SettingsView(Struct, frozen=True, kw_only=True):
    """
    :param traces, metrics: where OpenTelemetry sends them: ``off``, ``otlp`` or ``console``.
    :param warnings: what should be changed.
    """

    version: str
    python: str
    traces: str
    metrics: str
    warnings: list[str]
    settings: list[SettingView]


async def read_settings(call: Call) -> Reply:
    shown, environment = call.backend.settings, call.backend.environment
    return Reply(
        SettingsView(
            version=__version__,
            python=platform.python_version(),
            traces=_exporter(environment, "TRACES"),
            metrics=_exporter(environment, "METRICS"),
            warnings=list(shown.warnings),
            settings=[SettingView(name=one.name, value=one.value, origin=one.origin) for one in shown.values],
        )
    )


def _exporter(environment: Mapping[str, str], signal: Signal) -> str:
    try:
        return read_exporter(environment, signal) or "off"
    except ValueError:  # a gateway with such a variable does not start
        return "off"


OPERATIONS: Final = (
    Operation(
        "GET", "/settings", "Read the configuration in force, with origins and without secrets", "settings.read",
        SettingsView, read_settings, without_accounts=True,
    ),
)  # fmt: skip
