"""A log event as one short line for a terminal of some width. Log files and pipes get all fields.

Not cut: messages that end with what to do. Those of requests are cut, unless no line about an attempt has them whole.
A request that the gateway refuses has one line here, ``request_refused``; its line ``request`` would add nothing,
unless there was an attempt before.
"""

from __future__ import annotations

import unicodedata
from typing import Any, Final

from modelmux.telemetry import names
from modelmux.telemetry.loggable import ABSENT, escaped

_COLOURS: Final = {"warning": "\x1b[33m", "error": "\x1b[31m"}
_DIM: Final = "\x1b[2m"
_BOLD: Final = "\x1b[1m"
_PLAIN: Final = "\x1b[0m"
#: Classes of ``unicodedata.east_asian_width`` that take two columns.
_WIDE: Final = frozenset({"W", "F"})
#: Categories of Unicode that take no column of their own.
_JOINING: Final = frozenset({"Mn", "Me"})
#: Fewest columns of what follows time and event, on a terminal however narrow.
_MIN_ROOM: Final = 30
#: Parts of a refused request that may be shortened, in this order, and what has to stay of them.
_SHORTENED: Final = {"path": 10, "user_agent": 10, "requested_model": 13}
#: Events with a shorter name here.
_NAMES: Final = {names.EVENT_REFUSED: "refused"}
#: Shown before a message, without their names.
_SUBJECTS: Final = ("status", "code", "route", "deployment", "action")
#: Shown before the fields, or of no use while watching.
_HIDDEN: Final = frozenset(
    {"timestamp", "level", "event", "worker", "request_id", "upstream_request_id", "session_id", "agent_id"}
)


def terminal_line(event: dict[str, Any], width: int) -> str | None:
    """The line, with colours; None for an event that another line tells of. Values are escaped already, see
    ``render_fields``.

    :param width: columns of the terminal.
    """
    if event["event"] == names.EVENT_REQUEST and event.get("refused") and not event.get("attempts"):
        return None
    time = str(event["timestamp"])[11:19]
    name, colour = _NAMES.get(event["event"], event["event"]), _COLOURS.get(event["level"], "")
    worker = f" [{event['worker']}]" if "worker" in event else ""
    room = max(width - _columns(f"{time} {name}{worker} "), _MIN_ROOM)
    colon = ":" if _is_message(event) else ""
    return f"{_DIM}{time}{_PLAIN} {_BOLD}{colour}{name}{_PLAIN}{worker}{colon} {_content(event, room)}".rstrip()


def _is_message(event: dict[str, Any]) -> bool:
    """Whether the message follows the name of the event."""
    has_layout = event["event"] in (names.EVENT_REQUEST, names.EVENT_LISTENING)
    return not has_layout and event.get("message") is not None and not any(key in event for key in _SUBJECTS)


def _content(event: dict[str, Any], room: int) -> str:
    if event["event"] == names.EVENT_REQUEST:
        return _request(event, room)
    if event["event"] == names.EVENT_LISTENING:
        workers = f" with {event['workers']} workers" if "workers" in event else ""
        return f"{event.get('url')}{workers}"
    message = event.get("message")
    if message is not None:
        subject = " ".join(_shown(event[key]) for key in _SUBJECTS if key in event)
        return f"{subject}: {message}" if subject else str(message)
    if event["event"] == names.EVENT_REFUSED:
        return _refused(event, room)
    return _cut(" ".join(f"{key}={_shown(value)}" for key, value in event.items() if key not in _HIDDEN), room)


def _request(event: dict[str, Any], room: int) -> str:
    """Status, model, time and tokens of a request; of one that failed, the reason."""
    parts = [_status(event), str(event.get("route", ABSENT))]
    if event.get("attempts", 1) > 1:
        parts.append(f"{event['attempts']} attempts")
    if "duration_s" in event:
        parts.append(f"{event['duration_s']:.2f} s")
    if event.get("output_tokens") or ("output_tokens" in event and "code" not in event):
        read = sum(event.get(key) or 0 for key in ("input_tokens", "cache_read_tokens", "cache_write_tokens"))
        parts.append(f"{read} + {event['output_tokens']} tokens")
    if "message" not in event:
        return _cut("  ".join(parts), room)
    text = "  ".join([*parts, str(event["message"])])
    return _cut(text, room) if event.get("attempts") else text


def _refused(event: dict[str, Any], room: int) -> str:
    """Status and code, method and path, model, program and address of a refused request. Where that is too long, the
    address is left out, then long parts are shortened in their middle: each can still be recognised."""
    texts = {key: str(event[key]) for key in (*_SHORTENED, "client") if event.get(key, ABSENT) != ABSENT}
    method = f"{event['method']} " if event.get("method", ABSENT) != ABSENT else ""

    def line(gap: str = " ") -> str:
        call = f"{method}{texts.get('path', '')}".rstrip()
        parts = (_status(event), call, *(texts.get(key) for key in ("requested_model", "user_agent", "client")))
        return gap.join(filter(None, parts))

    for gap in ("  ", " "):
        if _columns(line(gap)) <= room:
            return line(gap)
    texts.pop("client", None)
    for key, least in _SHORTENED.items():
        excess = _columns(line()) - room
        if excess > 0 and key in texts:
            texts[key] = _shortened(texts[key], max(_columns(texts[key]) - excess, least))
    return _cut(line(), room)


def _status(event: dict[str, Any]) -> str:
    return f"{event.get('status', ABSENT)} {event.get('code', '')}".rstrip()


def _columns(text: str) -> int:
    """The columns that a text takes: two for a wide character, none for one that joins the character before."""
    return len(text) if text.isascii() else sum(map(_columns_of_one, text))


def _columns_of_one(character: str) -> int:
    if unicodedata.category(character) in _JOINING:
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1


def _beginning(text: str, room: int) -> str:
    """As much of a text as takes at most so many columns."""
    if text.isascii():
        return text[: max(room, 0)]
    used = 0
    for index, character in enumerate(text):
        used += _columns_of_one(character)
        if used > room:
            return text[:index]
    return text


def _shortened(text: str, room: int) -> str:
    """The text without its middle."""
    if _columns(text) <= room:
        return text
    begin = (room - 1) // 2
    end = _beginning(text[::-1], room - 1 - begin)[::-1]
    return f"{_beginning(text, begin)}…{end}"


def _cut(text: str, room: int) -> str:
    return text if _columns(text) <= room else f"{_beginning(text, room - 1)}…"


def _shown(value: Any) -> str:
    return escaped(value if type(value) is str else repr(value))
