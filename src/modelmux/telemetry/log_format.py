"""A log event as a line of text: JSON for machines, columns for people. No files, no clock.

A field may hold text of an upstream. Line breaks and other control characters are escaped, so no line can be forged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from modelmux.telemetry.loggable import escaped
from modelmux.telemetry.terminal_line import terminal_line

Event = dict[str, Any]
#: Makes the line of an event; None: it has none here.
Formatter = Callable[[Event], str | None]

#: A value that JSON does not have is written as its repr, which masks secrets.
_encode: Final = msgspec.json.Encoder(enc_hook=repr).encode

_EVENT_WIDTH: Final = 20
#: How many items of an event, its first ones, are shown before the fields: time, level and name.
_LEADING: Final = 3
#: Types whose text never has a space or a character that is not printable.
_PLAIN: Final = frozenset({bool, int, float})


class LogRecord(NamedTuple):
    """An event as the logger received it.

    :param time: Unix seconds.
    :param fields: their values must not change afterwards.
    """

    time: float
    level: str
    event: str
    fields: Mapping[str, Any]


def render_fields(record: LogRecord) -> Event:
    """The content of a line: fields without a value are left out, text is escaped so that it fits on one line."""
    event: Event = {"timestamp": _timestamp(record.time), "level": record.level, "event": record.event}
    for key, value in record.fields.items():
        if value is not None:
            event[key] = value if type(value) is not str or value.isprintable() else escaped(value)
    return event


def _timestamp(time: float) -> str:
    second = int(time)
    return f"{_second(second)}.{int((time - second) * 1_000_000):06d}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def json_line(event: Event) -> str:
    """One JSON object."""
    try:
        return _encode(event).decode()
    except (TypeError, ValueError):  # a lone surrogate at some depth, NaN: the slower encoder accepts both
        return json.dumps(event, default=repr)


def console_line(event: Event) -> str:
    """Columns with all fields, for output that is not a terminal."""
    fields = [  # most need no call
        f"{key}={value}"
        if (type(value) is str and value and " " not in value) or type(value) in _PLAIN
        else f"{key}={_shown(value)}"
        for key, value in islice(event.items(), _LEADING, None)
    ]
    return f"{event['timestamp']} [{event['level']:<8}] {event['event']:<{_EVENT_WIDTH}} {' '.join(fields)}".rstrip()


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, (int, float)) else repr(value)
    return escaped(text)


def formatter_for(style: str, columns: Callable[[], int] | None) -> Formatter:
    """The function that makes lines of a style, ``console`` or ``json``. Those for a terminal are short.

    :param columns: how many characters a line of the terminal has now; None: it is not a terminal.
    """
    if style == "json":
        return json_line
    if columns is None:
        return console_line
    return lambda event: terminal_line(event, columns())
