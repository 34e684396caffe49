"""What this process is for OpenTelemetry."""

from __future__ import annotations

import os
from typing import Any, Final

from modelmux.version import __version__

SERVICE: Final = "modelmux"


def resource() -> Any:
    """The resource of the SDK, with what ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` say. After a fork: each
    process has an id of its own, whatever they say."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    named = OTELResourceDetector().detect().attributes
    own = {"service.name": SERVICE, "service.version": __version__} | dict(named)
    return Resource.create(own | {"service.instance.id": f"{os.uname().nodename}:{os.getpid()}"})
