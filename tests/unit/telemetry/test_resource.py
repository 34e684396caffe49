"""Risk: the gateway is not called what its operator calls it, or two of its processes are taken for one."""

from __future__ import annotations

import os

import pytest

from modelmux.version import __version__

pytest.importorskip("opentelemetry.sdk.resources", reason="the extra otel is not installed")
from modelmux.telemetry.resource import resource


@pytest.mark.parametrize(
    ("variables", "name", "version"),
    [
        ({}, "modelmux", __version__),
        ({"OTEL_RESOURCE_ATTRIBUTES": "aws.ecs.service.name=a,team=b"}, "modelmux", __version__),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name = gateway, service.version=7"}, "gateway", "7"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a", "OTEL_SERVICE_NAME": "gateway"}, "gateway", __version__),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=pod-1"}, "modelmux", __version__),
    ],
)
def test_what_the_environment_says_counts_but_each_process_has_its_own_id(
    variables: dict[str, str], name: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    attributes = resource().attributes
    assert (attributes["service.name"], attributes["service.version"]) == (name, version)
    assert attributes["service.instance.id"] == f"{os.uname().nodename}:{os.getpid()}"
