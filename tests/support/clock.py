"""Time in tests: a clock that a test sets, and retries that do not wait. The fixtures are available everywhere."""

from __future__ import annotations

import asyncio
import types

import pytest


class Clock:
    """Time that passes only when a test advances it or the code under test sleeps on it.

    Call it where a clock is expected, and pass ``sleep`` where a sleep function is.
    """

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The gateway does not wait between attempts; the list holds the seconds it would have waited."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("modelmux.app.asyncio", types.SimpleNamespace(**vars(asyncio) | {"sleep": sleep}))
    return waits
