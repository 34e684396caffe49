"""Logging: one line an event, for people or as JSON. Never a prompt, a key, a token or a project id."""

from __future__ import annotations

import functools
import logging
import sys
import traceback
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import structlog

from modelmux.telemetry import names
from modelmux.telemetry.logfiles import LogFiles

_LEVELS: Final = {"trace": 0, "debug": 10, "info": 20, "warn": 30, "error": 40}


class Log(Protocol):
    """The part of a structlog logger that we use."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


def make_log(
    level: str, style: str, stream: TextIO | None = None, *, directory: Path | None = None, keep: int = 30
) -> Log:
    """A logger that writes to ``stream`` (stderr by default) and to the log files in ``directory``, if there is one.

    :param style: ``console`` or ``json``, on the stream; files always hold JSON.
    :param keep: how many daily files stay.
    """
    out = stream or sys.stderr
    console = _logger(level, out, [_renderer(style, out)])
    if directory is None:
        return console
    files = LogFiles(directory, keep, lambda problem: console.warning(names.EVENT_LOG_FILES, message=problem))
    to_files = functools.partial(_to_files, files)
    return _logger(level, out, [_json, to_files] if style == "json" else [to_files, _renderer(style, out)])


def _logger(level: str, out: TextIO, last: list[Any]) -> Log:
    log: Log = structlog.wrap_logger(
        _Lines(out),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _one_line,
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return log


def _renderer(style: str, out: TextIO) -> Any:
    """Text of upstreams may stand in a field: both renderers escape line breaks, so no line can be forged."""
    return _json if style == "json" else structlog.dev.ConsoleRenderer(colors=out.isatty())


#: Whatever is not JSON is written as its repr, which masks what is secret.
_json: Final = structlog.processors.JSONRenderer()


def _to_files(files: LogFiles, log: Any, method: str, event: Any) -> Any:
    """:param event: what to log, or the JSON text of it."""
    files.write(event if isinstance(event, str) else str(_json(log, method, event)))
    return event


class _Lines:
    """The last step of a log line: onto a stream."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def msg(self, line: str) -> None:
        try:
            self._out.write(line + "\n")
            self._out.flush()
        except OSError:  # a full disk behind it, or a pipe nobody reads: no reason to fail a request, nowhere to say it
            return

    debug = info = warning = error = msg


def _one_line(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key, value in list(event.items()):
        if value is None:  # nothing to say
            del event[key]
        elif isinstance(value, str) and not value.isprintable():
            event[key] = value.encode("unicode_escape").decode("ascii")
    return event


def where(error: BaseException) -> str:
    """What went wrong and where, innermost last: types and lines only, because messages may quote a request."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    lines = " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {lines}"


def quiet() -> Log:
    """A logger that says nothing: for library use and tests."""
    log: Log = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr), wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )
    return log
