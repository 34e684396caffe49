"""Time in tests: a clock that a test sets, and retries that do not wait. The fixtures are available everywhere."""

from __future__ import annotations

import dataclasses

import pytest

from modelmux.runtime import Runtime


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


#: What ``support.gateway.gateway`` gives a gateway unless a test passes another one; fixtures replace it.
RUNTIME = Runtime()


def use_runtime(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Runtime:
    """Gateways of this test get these clocks, sleep, jitter or ids."""
    runtime = dataclasses.replace(current_runtime(), **changes)
    monkeypatch.setattr("support.clock.RUNTIME", runtime)
    return runtime


def current_runtime() -> Runtime:
    return RUNTIME


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Gateways do not wait between attempts; the list holds the seconds they would have waited."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    use_runtime(monkeypatch, sleep=sleep)
    return waits
