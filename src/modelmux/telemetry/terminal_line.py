"""A log event as one short line for a terminal. Log files and pipes get all fields.

Not cut: messages of events other than requests, because they end with what to do.
"""

from __future__ import annotations

from typing import Any, Final

from modelmux.telemetry import names

_COLOURS: Final = {"warning": "\x1b[33m", "error": "\x1b[31m"}
_DIM: Final = "\x1b[2m"
_BOLD: Final = "\x1b[1m"
_PLAIN: Final = "\x1b[0m"
#: Most characters of what follows time and event.
_WIDTH: Final = 80
#: Shown before a message, without their names.
_SUBJECTS: Final = ("status", "code", "route", "deployment", "action")
#: Shown before the fields, or of no use while watching.
_HIDDEN: Final = frozenset(
    {"timestamp", "level", "event", "worker", "request_id", "upstream_request_id", "session_id", "agent_id"}
)


def terminal_line(event: dict[str, Any]) -> str:
    """The line, with colours. Values are escaped already, see ``render_fields``."""
    time = str(event["timestamp"])[11:19]
    name, colour = event["event"], _COLOURS.get(event["level"], "")
    worker = f" [{event['worker']}]" if "worker" in event else ""
    return f"{_DIM}{time}{_PLAIN} {_BOLD}{colour}{name}{_PLAIN}{worker} {_content(event)}".rstrip()


def _content(event: dict[str, Any]) -> str:
    if event["event"] == names.EVENT_REQUEST:
        return _cut(_request(event))
    if event["event"] == names.EVENT_LISTENING:
        workers = f" with {event['workers']} workers" if "workers" in event else ""
        notice = f"; {event['message']}" if event.get("message") else ""
        return f"{event.get('url')}{workers}{notice}"
    message = event.get("message")
    if message is None:
        return _cut(" ".join(f"{key}={_shown(value)}" for key, value in event.items() if key not in _HIDDEN))
    subject = " ".join(_shown(event[key]) for key in _SUBJECTS if key in event)
    return f"{subject}: {message}" if subject else str(message)


def _request(event: dict[str, Any]) -> str:
    """Status, model, time and tokens of a request; of one that failed, the reason."""
    parts = [str(event.get("status", "-")), str(event.get("route", "-"))]
    if "duration_s" in event:
        parts.append(f"{event['duration_s']:.2f} s")
    if "output_tokens" in event:
        read = sum(event.get(key) or 0 for key in ("input_tokens", "cache_read_tokens", "cache_write_tokens"))
        parts.append(f"{read} + {event['output_tokens']} tokens")
    if event.get("attempts", 1) > 1:
        parts.append(f"{event['attempts']} attempts")
    if "code" in event:
        parts.append(str(event["code"]))
    if "message" in event:
        parts.append(str(event["message"]))
    return "  ".join(parts)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _shown(value: Any) -> str:
    text = value if type(value) is str else repr(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
