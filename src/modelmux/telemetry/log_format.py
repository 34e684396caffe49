"""A log event as a line of text: JSON for machines, columns for people. No files, no clock.

Text of upstreams may stand in a field. Line breaks and other control characters are escaped, so no line can be forged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

Event = dict[str, Any]

#: Whatever is not JSON is written as its repr, which masks what is secret.
_encode: Final = msgspec.json.Encoder(enc_hook=repr).encode

_COLOURS: Final = {"debug": "\x1b[32m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_BOLD: Final = "\x1b[1m"
_DIM: Final = "\x1b[2m"
_CYAN: Final = "\x1b[36m"
_PLAIN: Final = "\x1b[0m"
_EVENT_WIDTH: Final = 20
#: Shown in front of the fields.
_AHEAD: Final = frozenset({"timestamp", "level", "event"})


class Said(NamedTuple):
    """What a logger was told. ``now`` is in Unix seconds; no value may change afterwards."""

    now: float
    level: str
    event: str
    fields: Mapping[str, Any]


def make_event(said: Said) -> Event:
    """What a line holds: no field without a value, no text that is more than a line."""
    made: Event = {"timestamp": _stamp(said.now), "level": said.level, "event": said.event}
    for key, value in said.fields.items():
        if value is None:  # nothing to say
            continue
        if type(value) is str and not value.isprintable():
            value = value.encode("unicode_escape").decode("ascii")
        made[key] = value
    return made


def _stamp(now: float) -> str:
    second = int(now)
    return f"{_second(second)}.{int((now - second) * 1_000_000):06d}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def json_line(event: Event) -> str:
    """One JSON object."""
    try:
        return _encode(event).decode()
    except (TypeError, ValueError):  # a lone surrogate deep inside, a number that is none: slower and more patient
        return json.dumps(event, default=repr)


def console_line(event: Event) -> str:
    """Columns without colours, for what is no terminal."""
    fields = " ".join(f"{key}={_shown(value)}" for key, value in event.items() if key not in _AHEAD)
    return f"{event['timestamp']} [{event['level']:<8}] {event['event']:<{_EVENT_WIDTH}} {fields}".rstrip()


def coloured_line(event: Event) -> str:
    """Columns with colours."""
    fields = " ".join(f"{_CYAN}{key}{_PLAIN}={_shown(value)}" for key, value in event.items() if key not in _AHEAD)
    level = event["level"]
    return (
        f"{_DIM}{event['timestamp']}{_PLAIN} [{_COLOURS.get(level, '')}{level:<8}{_PLAIN}] "
        f"{_BOLD}{event['event']:<{_EVENT_WIDTH}}{_PLAIN} {fields}"
    ).rstrip()


def _shown(value: Any) -> str:
    if type(value) is str:
        return repr(value) if " " in value or not value else value
    text = str(value) if isinstance(value, (bool, int, float)) else repr(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def line_maker(style: str, *, colours: bool) -> Callable[[Event], str]:
    """What makes lines of a style, ``console`` or ``json``."""
    if style == "json":
        return json_line
    return coloured_line if colours else console_line
