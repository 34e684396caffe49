"""Helpers for tests of credentials: recorded events, an environment without Google's settings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

_VARIABLES = (
    "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT",
    "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP",
    "NO_GCE_CHECK", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy",
    "no_proxy", "APPENGINE_RUNTIME",
)  # fmt: skip


def clean_environment(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Remove the machine's own Google and proxy settings."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(home))


class Events:
    """Records the calls of ``on_event``."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str | float | bool]]] = []

    def __call__(self, name: str, detail: Mapping[str, str | float | bool]) -> None:
        self.seen.append((name, dict(detail)))

    def named(self, name: str) -> list[dict[str, str | float | bool]]:
        return [detail for seen, detail in self.seen if seen == name]


async def until(condition: Callable[[], object], within: float = 30.0) -> None:
    """Wait for work in another thread; fails after ``within`` seconds."""
    deadline = asyncio.get_running_loop().time() + within
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "did not happen in time"
        await asyncio.sleep(0.005)
