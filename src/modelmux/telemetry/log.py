"""Logging: one line an event, for people or as JSON. Never a prompt, a key, a token or a project id.

Every request writes a line, so the way of a line is short and nothing is done for one that nobody wants.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from modelmux.telemetry import names
from modelmux.telemetry.log_files import LogFiles
from modelmux.telemetry.log_format import Event, Said, json_line, line_maker, make_event

_LEVELS: Final = {"trace": 0, "debug": 10, "info": 20, "warn": 30, "error": 40}
_SILENT: Final = 100
#: Events that are held back at most: making their lines together is cheaper, but may not hold anybody up.
_MOST_HELD: Final = 64


class Log(Protocol):
    """What the gateway asks of a logger; one of structlog's does too."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


class EventLog:
    """Makes events of what is said and hands them on.

    :param least: the level, as a number, below which nothing is done.
    :param out: where they go; None for nowhere.
    :param now: Unix seconds.
    """

    def __init__(self, least: int, out: Outlets | None, now: Callable[[], float] = time.time) -> None:
        self._least = least
        self._out = out
        self._now = now

    def debug(self, event: str, **fields: Any) -> None:
        if self._least <= 10:
            self._say("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        if self._least <= 20:
            self._say("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        if self._least <= 30:
            self._say("warning", event, fields, at_once=True)

    def error(self, event: str, **fields: Any) -> None:
        if self._least <= 40:
            self._say("error", event, fields, at_once=True)

    def _say(self, level: str, event: str, fields: dict[str, Any], *, at_once: bool = False) -> None:
        if self._out is not None:
            self._out.write(Said(self._now(), level, event, fields), at_once=at_once)

    def flush(self) -> None:
        """Write what is held back."""
        if self._out is not None:
            self._out.flush()


class Outlets:
    """Where lines go: a stream and, as JSON, the files of the day.

    :param hold: seconds for which what a running event loop says may be held, to become lines together with what
        follows; warnings and errors are not, and take along what is held. 0 writes every line at once.
    """

    def __init__(
        self, out: TextIO, make: Callable[[Event], str], files: LogFiles | None = None, hold: float = 0.0
    ) -> None:
        self._out = out
        self._make = make
        self._files = files
        self._hold = hold
        self._held: list[Said] = []
        self._timer: asyncio.TimerHandle | None = None
        if hold:
            atexit.register(self.flush)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(before=self.flush)  # else both processes would write what is held

    def write(self, said: Said, *, at_once: bool) -> None:
        self._held.append(said)
        if at_once or not self._hold or len(self._held) >= _MOST_HELD or not self._wait():
            self.flush()

    def _lines(self, held: Iterable[Said]) -> tuple[str, str]:
        """For the stream, and for the files if there are any."""
        events = [make_event(said) for said in held]
        shown = "\n".join(map(self._make, events))
        same = self._files is None or self._make is json_line
        return shown, shown if same else "\n".join(map(json_line, events))

    def _lines_of_one(self, said: Said) -> tuple[str, str]:
        try:
            return self._lines([said])
        except Exception:  # noqa: BLE001
            return self._lines([said._replace(fields={"message": "this event cannot be shown"})])

    def _wait(self) -> bool:
        """Whether somebody will flush soon."""
        if self._timer is None:
            try:
                self._timer = asyncio.get_running_loop().call_later(self._hold, self.flush)
            except RuntimeError:
                return False
        return True

    def flush(self) -> None:
        """Write what is held. Never raises for the disk's or the reader's sake."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        held, self._held = self._held, []
        if not held:
            return
        try:
            shown, filed = self._lines(held)
        except Exception:  # noqa: BLE001 - what one event holds must not cost the others their lines
            shown, filed = map("\n".join, zip(*map(self._lines_of_one, held), strict=True))
        if self._files is not None:
            self._files.write(filed)
        try:
            self._out.write(f"{shown}\n")
            self._out.flush()
        except (OSError, ValueError):  # a full disk, a pipe nobody reads, closed: no reason to fail a request
            return


def make_log(
    level: str,
    style: str,
    stream: TextIO | None = None,
    *,
    directory: Path | None = None,
    keep: int = 30,
    hold: float = 0.0,
) -> EventLog:
    """A logger that writes to ``stream`` (stderr by default) and to the log files in ``directory``, if there is one.

    :param style: ``console`` or ``json``, on the stream; files always hold JSON.
    :param keep: how many daily files stay.
    :param hold: see ``Outlets``.
    """
    out = stream or sys.stderr
    least, make = _LEVELS[level], line_maker(style, colours=out.isatty())
    if directory is None:
        return EventLog(least, Outlets(out, make, hold=hold))
    console = EventLog(least, Outlets(out, make))
    files = LogFiles(directory, keep, lambda problem: console.warning(names.EVENT_LOG_FILES, message=problem))
    return EventLog(least, Outlets(out, make, files, hold))


def where(error: BaseException) -> str:
    """What went wrong and where, innermost last: types and lines only, because messages may quote a request."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    lines = " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {lines}"


def quiet() -> Log:
    """A logger that says nothing: for library use and tests."""
    return EventLog(_SILENT, None)
