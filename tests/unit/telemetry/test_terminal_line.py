"""What somebody sees who watches a gateway in a terminal: one short line for each event, remedies whole."""

from __future__ import annotations

import io
import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modelmux.telemetry.log import make_log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 77


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Its ``columns`` can be changed."""
    size = SimpleNamespace(columns=80)
    monkeypatch.setattr("os.get_terminal_size", lambda fd: size if fd == 77 else None)
    return size


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


def test_a_failed_request_has_its_reason_first_and_fits_the_terminal(terminal: SimpleNamespace) -> None:
    fields = REQUEST | {"status": 429, "code": "rate_limit", "message": "no quota " * 40, "attempts": 4}
    line = shown("request", **fields)
    assert line.startswith("request 429 rate_limit  claude-sonnet-4-6  4 attempts  1.23 s  13 + 7 ")
    assert line.endswith("…")
    assert len(line) == 80 - len("12:00:00 ")
    terminal.columns = 120
    assert len(shown("request", **fields)) == 120 - len("12:00:00 ")
    terminal.columns = 1000
    assert shown("request", **fields).endswith("no quota no quota ".rstrip())


def test_a_reason_that_no_other_line_has_is_whole() -> None:
    fields = REQUEST | {
        "status": 502,
        "code": "upstream_auth_error",
        "message": "no login; " * 9 + "log in",
        "attempts": 0,
    }
    del fields["output_tokens"]
    assert shown("request", **fields).endswith("no login; log in")


REFUSED: dict[str, Any] = {
    "request_id": "req_0123456789", "status": 404, "code": "model_not_found", "method": "POST",
    "path": "/v1/chat/completions", "client": "192.0.2.77", "user_agent": "OpenAI/Python",
    "requested_model": "gpt-5-mini",
}  # fmt: skip


def test_a_refused_request_is_status_code_call_model_program_and_address(terminal: SimpleNamespace) -> None:
    terminal.columns = 200
    assert shown("request_refused", "warning", **REFUSED) == (
        "refused 404 model_not_found  POST /v1/chat/completions  gpt-5-mini  OpenAI/Python  192.0.2.77"
    )
    unread = {
        "status": 400,
        "code": "bad_request",
        "method": "-",
        "path": "-",
        "user_agent": "-",
        "requested_model": "-",
    }
    assert shown("request_refused", "warning", **REFUSED | unread) == "refused 400 bad_request  192.0.2.77"
    unread |= {"method": "GET", "code": "method_not_allowed"}
    assert shown("request_refused", "warning", **REFUSED | unread) == "refused 400 method_not_allowed  GET  192.0.2.77"


def test_on_80_columns_a_refused_request_loses_its_address_and_the_middle_of_its_path() -> None:
    line = shown("request_refused", "warning", **REFUSED | {"user_agent": "curl/8.5.0", "requested_model": "o3"})
    assert line == "refused 404 model_not_found POST /v1/chat/completions o3 curl/8.5.0"
    line = shown("request_refused", "warning", **REFUSED)
    assert line == "refused 404 model_not_found POST /v1/ch…etions gpt-5-mini OpenAI/Python"


@pytest.mark.parametrize("columns", [60, 80, 100, 132])
def test_a_refused_request_fits_the_terminal_and_its_ends_can_be_recognised(
    terminal: SimpleNamespace, columns: int
) -> None:
    terminal.columns = columns
    paths = ("/", "/v1/chat/completions", "/{prefix}/projects/{project}/locations/{location}/models/{model}:rawPredict")
    models, agents = ("o3", "anthropic/claude-sonnet-4-5@20250929"), ("curl/8", "claude-cli/2.1.0-beta.20260101")
    for path, model, agent in itertools.product(paths, models, agents):
        fields = REFUSED | {"path": path, "requested_model": model, "user_agent": agent}
        line = shown("request_refused", "warning", **fields)
        assert len("12:00:00 ") + len(line) <= columns
        assert line.replace("  ", " ").startswith("refused 404 model_not_found POST /")
        if columns >= 80:
            for text in (path, model, agent):
                assert text[:4] in line
                assert text[-4:] in line


def test_the_other_line_of_a_refused_request_is_not_shown_but_written(tmp_path: Path) -> None:
    out = Terminal()
    log = make_log("info", "console", out, directory=tmp_path)
    log.info("request", **REQUEST | {"attempts": 0}, refused=True)
    assert out.getvalue() == ""
    log.warning("request_refused", message="231 more refused requests were not logged", dropped=231)
    assert re.sub(r"\x1b\[\d*m", "", out.getvalue())[9:] == "refused: 231 more refused requests were not logged\n"
    (file,) = tmp_path.iterdir()
    assert [json.loads(line)["event"] for line in file.read_text().splitlines()] == ["request", "request_refused"]


def test_a_refused_request_with_an_attempt_before_has_both_lines() -> None:
    fields = REQUEST | {"status": 503, "code": "overloaded", "attempts": 2, "refused": True}
    assert shown("request", **fields).startswith("request 503 overloaded  claude-sonnet-4-6  2 attempts  1.23 s")


def columns(text: str) -> int:
    return sum(2 if "\u4e00" <= c <= "\u9fff" else 0 if c == "\u0301" else 1 for c in text)


@pytest.mark.parametrize("sign", ["\u6587", "e\u0301", "a\u6587"], ids=["wide", "joining", "mixed"])
def test_a_line_fits_the_terminal_whatever_columns_its_characters_take(sign: str) -> None:
    room = 80 - len("12:00:00 ")
    line = shown("request", **REQUEST | {"route": sign * 100})
    assert line.endswith("…")
    assert room - 1 <= columns(line) <= room
    line = shown("request_refused", "warning", **REFUSED | {"path": "/" + sign * 20, "user_agent": "curl/8"})
    assert columns(line) <= room
    assert "…" in line or sign == "e\u0301"
    whole = shown("request", **REQUEST | {"route": sign * 10})
    assert sign * 10 in whole


def test_a_request_without_fields_has_a_line() -> None:
    assert shown("request") == "request -  -"


def test_listening_is_the_url() -> None:
    fields = {"url": "http://127.0.0.1:3000/v1", "apis": "openai_chat, openai_responses, anthropic_messages"}
    assert shown("listening", **fields) == "listening http://127.0.0.1:3000/v1"
    assert shown("listening", **fields, workers=4) == "listening http://127.0.0.1:3000/v1 with 4 workers"


def test_messages_keep_their_remedy_whatever_their_length() -> None:
    remedy = "the file cannot be read; " * 10 + "make it readable"
    assert shown("config", "warning", message=remedy, route="fast") == f"config fast: {remedy}"
    assert shown("start", message="read x.toml") == "start: read x.toml"
    assert shown("stopping", message="no request is running") == "stopping: no request is running"
    assert shown("worker", worker=2, message="was killed") == "worker [2]: was killed"


def test_other_events_show_their_fields_and_stay_short() -> None:
    assert shown("worker", worker=2, action="ready", pid=5) == "worker [2] action=ready pid=5"
    assert shown("stopped") == "stopped"
    line = shown("unknown_upstream_type", types=["\x1b[2J" * 50])
    assert len("12:00:00 ") + len(line) == 80
    assert "\x1b" not in line
