"""What this process is for OpenTelemetry."""

from __future__ import annotations

import os
from typing import Any, Final

from modelmux.version import __version__

SERVICE: Final = "modelmux"


def resource() -> Any:
    """The resource of the SDK, which reads ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` itself. After a fork:
    each process has an id of its own."""
    from opentelemetry.sdk.resources import Resource

    attributes = {"service.version": __version__, "service.instance.id": f"{os.uname().nodename}:{os.getpid()}"}
    named = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "") or os.environ.get("OTEL_SERVICE_NAME")
    if not named:
        attributes["service.name"] = SERVICE
    return Resource.create(attributes)
