"""Logging: one line per event, for people or as JSON. Never a prompt, a key, a token or a project id.

Every request writes a line, so the path of a line is short, and an event below the minimum level costs one comparison.
A process that serves writes ``in_background``: then no output, however slow, makes anything else wait.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from modelmux.telemetry import names
from modelmux.telemetry.background import FLUSH_TIMEOUT, BackgroundWriter
from modelmux.telemetry.console import bytes_writer, columns_of
from modelmux.telemetry.log_files import LogFiles
from modelmux.telemetry.log_format import Formatter, LogRecord, formatter_for, json_line, render_fields

_LEVELS: Final = {"trace": 0, "debug": 10, "info": 20, "warn": 30, "error": 40}
_SILENT: Final = 100
#: Most buffered records. Formatting them together is cheaper, but must not block the event loop for long.
_MAX_BUFFERED: Final = 64
#: Most characters of lines that wait for the flush interval to end: a thread that writes interrupts the event loop.
_MAX_READY: Final = 128 * 1024
#: Of the console and of the log files, if there are any.
_Writers = tuple[BackgroundWriter, BackgroundWriter | None]
#: Lines for the stream and for the files; empty: there are none.
_Lines = tuple[str, str]


class Log(Protocol):
    """What the gateway needs of a logger. A logger of structlog has it too."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


class Logger:
    """Makes records of events and passes them to an output.

    :param min_level: the level, as a number, below which events are ignored.
    :param out: the output; None discards everything.
    :param now: Unix seconds.
    """

    def __init__(self, min_level: int, out: LogOutput | None, now: Callable[[], float] = time.time) -> None:
        self._min_level = min_level
        self._out = out
        self._now = now

    def debug(self, event: str, **fields: Any) -> None:
        if self._min_level <= 10:
            self._emit("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        if self._min_level <= 20:
            self._emit("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        if self._min_level <= 30:
            self._emit("warning", event, fields, at_once=True)

    def error(self, event: str, **fields: Any) -> None:
        if self._min_level <= 40:
            self._emit("error", event, fields, at_once=True)

    def _emit(self, level: str, event: str, fields: dict[str, Any], *, at_once: bool = False) -> None:
        if self._out is not None:
            self._out.write(LogRecord(self._now(), level, event, fields), at_once=at_once)

    def flush(self) -> None:
        """Write the buffered records; in the background, this waits for ``FLUSH_TIMEOUT`` seconds at most."""
        if self._out is not None:
            self._out.flush()

    @property
    def console(self) -> BackgroundWriter | None:
        """What writes to the console in the background."""
        return self._out.console_writer if self._out is not None else None

    def reopen_files(self) -> None:
        """Open the log file anew, for example because it was moved. Does not wait."""
        if self._out is not None:
            self._out.reopen_files()

    def dropped(self) -> dict[str, int]:
        """How many lines of this process an output could not take in time, by output."""
        return self._out.dropped() if self._out is not None else {}


class LogOutput:
    """Where lines go: a stream and, as JSON, the daily files.

    :param formatter: makes the line for the stream, if the event has one there.
    :param background: what writes to the stream and to the files without making this thread wait; None: they are
        written at once.
    :param flush_interval: seconds for which records may be buffered while an event loop runs, to be formatted together.
        Warnings and errors are written at once, with everything buffered before them. 0 writes every record at once.
    """

    def __init__(
        self,
        stream: TextIO,
        formatter: Formatter,
        files: LogFiles | None = None,
        flush_interval: float = 0.0,
        background: _Writers | None = None,
    ) -> None:
        self._stream = stream
        self._formatter = formatter
        self._files = files
        self._flush_interval = flush_interval
        self.console_writer = background[0] if background is not None else None
        self._file_writer = background[1] if background is not None else None
        self._buffer: list[LogRecord] = []
        self._ready: list[_Lines] = []  # lines for the stream and for the files, not handed over yet
        self._ready_size = 0
        self._timer: asyncio.TimerHandle | None = None
        if flush_interval:
            atexit.register(self.flush)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(before=self._write_buffer)  # otherwise both processes would write it

    def write(self, record: LogRecord, *, at_once: bool) -> None:
        self._buffer.append(record)
        if at_once or not self._flush_interval or not self._schedule_flush():
            self._write_buffer()
        elif len(self._buffer) >= _MAX_BUFFERED:
            if self.console_writer is None or self._ready_size >= _MAX_READY:
                self._write_buffer()
            else:
                self._format_buffer()

    def _schedule_flush(self) -> bool:
        """Whether a flush is scheduled: there has to be a running event loop."""
        if self._timer is None:
            try:
                self._timer = asyncio.get_running_loop().call_later(self._flush_interval, self._write_buffer)
            except RuntimeError:
                return False
        return True

    def flush(self) -> None:
        """Write the buffer. Errors of the disk or of the stream's reader are not raised."""
        self._write_buffer()
        end = time.monotonic() + FLUSH_TIMEOUT
        for writer in (self.console_writer, self._file_writer):
            if writer is not None:
                writer.flush(max(end - time.monotonic(), 0.0))

    def reopen_files(self) -> None:
        if self._files is None:
            return
        if self._file_writer is not None:
            self._file_writer.call(self._files.close)  # the next line opens it
        else:
            self._files.close()

    def dropped(self) -> dict[str, int]:
        writers = {names.OUTPUT_CONSOLE: self.console_writer, names.OUTPUT_FILES: self._file_writer}
        return {name: writer.dropped for name, writer in writers.items() if writer is not None}

    def _write_buffer(self) -> None:
        """Write the buffer, or have it written in the background."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._format_buffer()
        ready, self._ready, self._ready_size = self._ready, [], 0
        for_files = "\n".join(lines for _, lines in ready if lines)
        for_stream = "\n".join(lines for lines, _ in ready if lines)
        if for_files and self._file_writer is not None:
            self._file_writer.put(_to_bytes(for_files))
        elif for_files and self._files is not None:
            self._files.write(for_files)
        if not for_stream:
            return
        if self.console_writer is not None:
            self.console_writer.put(_to_bytes(for_stream))
            return
        try:
            self._stream.write(f"{for_stream}\n")
            self._stream.flush()
        except (OSError, ValueError):  # a full disk, a pipe without a reader, closed: not a reason to fail a request
            return

    def _format_buffer(self) -> None:
        records, self._buffer = self._buffer, []
        if not records:
            return
        try:
            lines = self._lines(records)
        except Exception:  # noqa: BLE001 - one event that cannot be formatted must not cost the others their lines
            self._ready.extend(map(self._lines_of_one, records))
        else:
            self._ready.append(lines)
            self._ready_size += max(map(len, lines))

    def _lines(self, records: Iterable[LogRecord]) -> _Lines:
        """For the stream, and for the files if there are any."""
        events = [render_fields(record) for record in records]
        for_stream = "\n".join(filter(None, map(self._formatter, events)))
        same = self._files is None or self._formatter is json_line
        return for_stream, for_stream if same else "\n".join(map(json_line, events))

    def _lines_of_one(self, record: LogRecord) -> _Lines:
        try:
            return self._lines([record])
        except Exception:  # noqa: BLE001
            return self._lines([record._replace(fields={"message": "this event cannot be formatted"})])


def _to_bytes(lines: str) -> bytes:
    return f"{lines}\n".encode("utf-8", "backslashreplace")


def make_log(
    level: str,
    style: str,
    stream: TextIO | None = None,
    *,
    directory: Path | None = None,
    retention_days: int = 30,
    flush_interval: float = 0.0,
    in_background: bool = False,
) -> Logger:
    """A logger that writes to ``stream`` (stderr by default) and, if ``directory`` is set, to log files in it.

    :param style: ``console`` or ``json``, for the stream; files always hold JSON. On a terminal, ``console`` is short.
    :param retention_days: how many daily files to keep.
    :param flush_interval: see ``LogOutput``.
    :param in_background: whether threads write, so that no line waits for its output.
    """
    out = stream or sys.stderr
    columns = functools.partial(columns_of, out) if out.isatty() else None
    min_level, formatter = _LEVELS[level], formatter_for(style, columns)
    console_writer = None
    if in_background:
        console_writer = BackgroundWriter(bytes_writer(out), _dropped_notice("the console", formatter))
    background: _Writers | None = (console_writer, None) if console_writer is not None else None
    if directory is None:
        return Logger(min_level, LogOutput(out, formatter, None, flush_interval, background))
    console = Logger(min_level, LogOutput(out, formatter, background=background))
    files = LogFiles(directory, retention_days, lambda problem: console.warning(names.EVENT_LOG_FILES, message=problem))
    if console_writer is not None:
        background = (console_writer, _file_writer(files))
    return Logger(min_level, LogOutput(out, formatter, files, flush_interval, background))


def _file_writer(files: LogFiles) -> BackgroundWriter:
    def write(lines: bytes) -> bool:
        files.append(lines)
        return True  # what the disk refuses is reported by ``files``

    return BackgroundWriter(write, _dropped_notice("the log file", json_line), on_fork=files.after_fork_in_child)


def _dropped_notice(output: str, formatter: Formatter) -> Callable[[int, float], bytes]:
    """Makes the line that tells of dropped lines."""

    def notice(count: int, at: float) -> bytes:
        lines = "1 log line was" if count == 1 else f"{count} log lines were"
        message = f"{lines} dropped: {output} did not take them in time"
        record = _warning(names.EVENT_LOG_DROPPED, at, message=message, dropped=count, pid=os.getpid())
        return _to_bytes(formatter(render_fields(record)) or "")

    return notice


def _warning(event: str, at: float, **fields: Any) -> LogRecord:
    return LogRecord(at, "warning", event, fields)


def error_location(error: BaseException) -> str:
    """The type of an exception and the lines it passed, innermost last. No message, because it may quote a request."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    lines = " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {lines}"


def null_logger() -> Log:
    """A logger that discards everything: for library use and tests."""
    return Logger(_SILENT, None)
