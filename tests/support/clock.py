"""Time in tests: a clock that a test sets, retries that do not wait, and an event loop in which waiting takes no time.

The fixtures and the marker are available everywhere.
"""

from __future__ import annotations

import asyncio
import dataclasses
import selectors
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

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


#: The day on which tests run, whatever the day is: no test depends on the date.
TODAY = date(2026, 12, 1)
#: A time on that day, Unix seconds.
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()
#: What ``support.gateway.gateway`` gives a gateway unless a test passes another one; fixtures replace it.
RUNTIME = Runtime(now=lambda: NOW)


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


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Instead of waiting until a timer is due, moves the time there."""

    now = 1_000.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout is not None:
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while anything runs, and jumps to the next timer when nothing does.

    For tests that use neither sockets nor threads: nothing but a timer can be waited for, so timers that are seconds
    apart fire in their order whatever else the machine does.
    """

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def loop_time() -> float:
    """Seconds on the clock of the running event loop."""
    return asyncio.get_running_loop().time()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_time: run the test in an event loop in which waiting takes no time")


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """How pytest-asyncio makes the event loop of a test."""
    virtual = item.get_closest_marker("virtual_time") is not None
    return {"virtual": VirtualTimeLoop} if virtual else {"real": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def _clock_of_the_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In virtual time the gateway's clock is the loop's."""
    if request.node.get_closest_marker("virtual_time") is not None:
        use_runtime(monkeypatch, now=lambda: 1_800_000_000.0, clock=loop_time)
