"""Logging: one line an event, for people or as JSON. Never a prompt, a key, a token or a project id."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any, Final, Protocol, TextIO

import structlog

_LEVELS: Final = {"trace": 0, "debug": 10, "info": 20, "warn": 30, "error": 40}


class Log(Protocol):
    """The part of a structlog logger that we use."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


def make_log(level: str, style: str, stream: TextIO | None = None) -> Log:
    """A logger that writes to ``stream`` (stderr by default).

    :param style: ``console`` or ``json``.
    """
    out = stream or sys.stderr
    # Text of upstreams may stand in a field: both renderers escape line breaks, so no line can be forged.
    render: Any = (
        structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    log: Log = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _one_line,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return log


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
