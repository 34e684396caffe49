"""Writes captured bodies in the background: see ``store/background_writer.py``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from modelmux.store.background_writer import BackgroundWriter, WrittenFile
from modelmux.store.captures.record import CaptureBounds, EncodedCapture
from modelmux.store.captures.sqlite_captures import CapturesFile, adder
from modelmux.store.traces.record import TracedRequest

#: Requests that wait at most, and bytes of their bodies. Further ones are dropped.
MOST_WAITING: Final = 500
MOST_BYTES: Final = 64 * 1024 * 1024


class CaptureWriter(BackgroundWriter[tuple[TracedRequest, EncodedCapture]]):
    """That of one process, for ``path``."""

    def __init__(
        self,
        path: Path,
        bounds: CaptureBounds,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        on_problem: Callable[[str], None],
        on_recovered: Callable[[str], None],
    ) -> None:
        self.path = path
        self.bounds = bounds
        written = WrittenFile(
            "captured bodies", "modelmux-captures", CapturesFile(path), adder(bounds), MOST_WAITING, MOST_BYTES
        )
        super().__init__(written, now, sleep, on_problem, on_recovered)
