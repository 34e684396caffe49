"""Writes records for ``modelmux trace`` in the background: see ``store/background_writer.py``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from modelmux.store.background_writer import BackgroundWriter, WrittenFile
from modelmux.store.traces.record import Trace
from modelmux.store.traces.sqlite_traces import TracesFile, add

#: Requests that wait at most, and bytes of their bodies. Further ones are dropped.
MOST_WAITING: Final = 2_000
MOST_BYTES: Final = 64 * 1024 * 1024

MakeTrace = Callable[[], Trace]


class TraceWriter(BackgroundWriter[Trace]):
    """That of one process, for ``path``."""

    def __init__(
        self,
        path: Path,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        on_problem: Callable[[str], None],
        on_recovered: Callable[[str], None],
    ) -> None:
        self.path = path
        written = WrittenFile("traces of requests", "modelmux-traces", TracesFile(path), add, MOST_WAITING, MOST_BYTES)
        super().__init__(written, now, sleep, on_problem, on_recovered)
