"""What somebody sees who watches a gateway in a terminal: one short line for each event, remedies whole."""

from __future__ import annotations

import io
import re
from typing import Any

from modelmux.telemetry.log import make_log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(event: str, level: str = "info", **fields: Any) -> str:
    """The line without colours and without its time."""
    out = Terminal()
    getattr(make_log("debug", "console", out), level)(event, **fields)
    text = re.sub(r"\x1b\[\d*m", "", out.getvalue())
    assert text.count("\n") == 1
    time, _, rest = text.rstrip("\n").partition(" ")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", time)
    return rest


REQUEST: dict[str, Any] = {
    "request_id": "req_0123456789", "operation": "generate", "route": "claude-sonnet-4-6", "deployment": "x/global",
    "model": "claude-sonnet-4-6", "attempts": 1, "stream": True, "outcome": "ok", "status": 200, "duration_s": 1.2345,
    "request_bytes": 100, "response_bytes": 1000, "input_tokens": 3, "cache_read_tokens": 10, "output_tokens": 7,
    "upstream_request_id": "req_vrtx_1", "user_agent": "openai-python/2.0",
}  # fmt: skip


def test_a_request_is_status_model_time_and_tokens() -> None:
    assert shown("request", **REQUEST) == "request 200  claude-sonnet-4-6  1.23 s  13 + 7 tokens"


def test_a_failed_request_has_its_reason_and_stays_short() -> None:
    fields = REQUEST | {"status": 429, "code": "rate_limit", "message": "no quota " * 40, "attempts": 4}
    line = shown("request", **fields)
    assert line.startswith("request 429  claude-sonnet-4-6  1.23 s  13 + 7 tokens  4 attempts  rate_limit  no quota")
    assert line.endswith("…")
    assert len(line) < 100


def test_a_request_without_fields_has_a_line() -> None:
    assert shown("request") == "request -  -"


def test_listening_is_the_url() -> None:
    fields = {"url": "http://127.0.0.1:3000/v1", "apis": "openai_chat, openai_responses, anthropic_messages"}
    assert shown("listening", **fields) == "listening http://127.0.0.1:3000/v1"
    line = shown("listening", **fields, workers=4, message="responses are kept in x")
    assert line == "listening http://127.0.0.1:3000/v1 with 4 workers; responses are kept in x"


def test_messages_keep_their_remedy_whatever_their_length() -> None:
    remedy = "the file cannot be read; " * 10 + "make it readable"
    assert shown("config", "warning", message=remedy, route="fast") == f"config fast: {remedy}"
    assert shown("start", message="read x.toml") == "start read x.toml"


def test_other_events_show_their_fields_and_stay_short() -> None:
    assert shown("worker", worker=2, action="ready", pid=5) == "worker [2] action=ready pid=5"
    assert shown("stopped") == "stopped"
    line = shown("unknown_upstream_type", types=["\x1b[2J" * 50])
    assert len(line) < 110
    assert "\x1b" not in line
