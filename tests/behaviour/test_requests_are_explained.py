"""Risk: a record for ``modelmux trace`` that is missing or wrong, that has what people wrote, or for which a request
waits or fails.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from modelmux import Config
from modelmux.accounts.uuid7 import parse_id
from modelmux.app import Gateway
from modelmux.store.local_state import LocalState
from modelmux.store.traces.record import Trace
from modelmux.store.traces.sqlite_traces import TracesFile, find, latest
from support.asgi import request
from support.canary_requests import BODIES, OVERLOADED, TWO, ended
from support.clock import NOW, current_runtime
from support.emulator_server import until
from support.fakes import FakeTokens, FakeUpstream, error_reply, message_reply, stream_reply, text_events
from support.gateway import MODEL
from support.log_lines import Lines

NOW_MICRO = round(NOW * 1_000_000)


def gateway(folder: Path, *replies: Any, log: Any = None, **settings: Any) -> Gateway:
    vertex = {"project": "canary-project", "location": "global"} | settings.pop("vertex", {})
    tables = {"vertex": vertex, "traces": {"enabled": True}, "server": {"state_dir": str(folder)}} | settings
    config = Config.from_dict(tables)
    return Gateway(
        config, upstream=FakeUpstream(list(replies)), tokens=FakeTokens(), environment={}, runtime=current_runtime(),
        log=log,
    )  # fmt: skip


def stored(folder: Path, id: str | None = None) -> list[Trace]:
    connection = TracesFile(folder / "traces.db", creates=False).open(5.0)
    try:
        return latest(connection, 100, NOW_MICRO) if id is None else find(connection, id, NOW_MICRO)
    finally:
        connection.close()


@pytest.mark.parametrize("dialect", BODIES)
async def test_a_request_leaves_a_record_that_its_ids_find(dialect: str, tmp_path: Path) -> None:
    response = await ended(gateway(tmp_path, message_reply()), dialect)
    assert response.status == 200
    (trace,) = stored(tmp_path)
    one = trace.request
    assert (one.dialect, one.operation, one.route, one.requested) == (dialect, "generate", MODEL, MODEL)
    assert (one.outcome, one.status, one.stream, one.code) == ("ok", 200, False, None)
    assert one.tokens is not None
    assert (one.tokens.input, one.tokens.output) == (7, 3)
    assert one.cost == "0.000066"
    assert one.key is None
    (attempt,) = one.attempts
    assert (attempt.deployment, attempt.location, attempt.result) == (f"{MODEL}@global", "global", "ok")
    assert attempt.status == 200
    assert one.request_id == response.headers["x-request-id"]
    assert trace.prompt is not None
    assert trace.prompt.messages.count == 1
    for id in trace.ids:
        assert stored(tmp_path, id) == [trace]
    assert stored(tmp_path, "req_other") == []


@pytest.mark.parametrize("dialect", BODIES)
async def test_nothing_that_people_wrote_is_stored(dialect: str, tmp_path: Path) -> None:
    app = gateway(
        tmp_path,
        message_reply("canary answer"),
        server={"state_dir": str(tmp_path), "api_keys": ["sk-canary-12345678"]},
    )
    headers = {
        "authorization": "Bearer sk-canary-12345678", "x-claude-code-session-id": "canary-session",
        "x-canary": "canary", "user-agent": "canary/1.0", "x-request-id": "id-of-the-client",
    }  # fmt: skip
    response = await ended(app, dialect, headers, metadata={"user_id": "canary@example.com"}, canary_field="canary")
    assert response.status == 200, response.body
    data = (tmp_path / "traces.db").read_bytes()
    wal = tmp_path / "traces.db-wal"
    data += wal.read_bytes() if wal.exists() else b""
    assert b"canary" not in data
    assert b"id-of-the-client" in data
    (trace,) = stored(tmp_path, "id-of-the-client")
    assert trace.request.key == "static_1"
    assert (tmp_path / "traces.db").stat().st_mode & 0o777 == 0o600


async def test_a_failover_has_both_attempts_with_their_times(tmp_path: Path, no_waiting: list[float]) -> None:
    assert (
        await ended(gateway(tmp_path, error_reply(503, {}), message_reply(), vertex=TWO), "openai_chat")
    ).status == 200
    (trace,) = stored(tmp_path)
    first, second = trace.request.attempts
    assert (first.status, first.result, first.location, first.retry) == (503, "overloaded", "us-east5", False)
    assert (second.status, second.result, second.location, second.retry) == (200, "ok", "europe-west1", True)
    assert first.ended_ms is not None
    assert second.ended_ms is not None
    assert 0 <= first.started_ms <= first.ended_ms <= second.started_ms <= second.ended_ms <= trace.request.duration_ms


async def test_a_broken_stream_says_what_ended_it(tmp_path: Path) -> None:
    app = gateway(tmp_path, stream_reply(b"".join(text_events("canary")[:4]) + OVERLOADED))
    await ended(app, "openai_chat", stream=True)
    (trace,) = stored(tmp_path)
    assert (trace.request.outcome, trace.request.code) == ("upstream_error", "overloaded")
    (attempt,) = trace.request.attempts
    assert (attempt.result, attempt.status) == ("overloaded", 200)
    assert attempt.message
    assert trace.request.first_content_ms is not None


async def test_a_refused_request_has_a_record_without_attempts(tmp_path: Path) -> None:
    response = await ended(gateway(tmp_path), "openai_chat", model="no-such-model")
    assert response.status == 404
    (trace,) = stored(tmp_path)
    assert (trace.request.attempts, trace.prompt, trace.request.requested) == ((), None, "no-such-model")
    assert trace.request.code == "model_not_found"


async def test_a_file_that_cannot_be_written_fails_no_request_and_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "traces.db").mkdir()
    lines = Lines()
    app = gateway(tmp_path, *(message_reply() for _ in range(4)), log=lines)
    path, body = BODIES["openai_chat"]
    for _ in range(3):
        assert (await request(app, "POST", path, body)).status == 200
        await until(lambda: app.traces._writer is not None and app.traces._writer._task is None)
    assert app.traces.dropped == 3
    metrics = await request(app, "GET", "/metrics")
    assert b"modelmux_traces_dropped_total 3.0" in metrics.body
    (tmp_path / "traces.db").rmdir()
    assert (await ended(app, "openai_chat")).status == 200
    assert len(stored(tmp_path)) == 1
    messages = [fields["message"] for event, fields in lines.lines if event == "traces"]
    assert len(messages) == 2
    assert re.fullmatch(r"traces of requests are not written \(.*traces\.db: .*\); requests go on", messages[0])
    assert messages[1] == "traces of requests are written again; 3 are missing"


@pytest.mark.parametrize(
    ("tables", "is_on"),
    [
        ({}, False),
        ({"traces": {"enabled": True}}, True),
        ({"accounts": {"enabled": True}}, True),
        ({"accounts": {"enabled": True}, "admin": {"listen": "off"}}, False),
        ({"accounts": {"enabled": True}, "traces": {"enabled": False}}, False),
    ],
)
async def test_records_are_kept_where_the_admin_api_is_or_the_setting_says_so(
    tables: dict[str, Any], is_on: bool, tmp_path: Path
) -> None:
    server = {"state_dir": str(tmp_path), "api_keys": ["sk-of-the-operator"]}
    app = gateway(tmp_path, message_reply(), **({"traces": {}, "server": server} | tables))
    response = await ended(app, "openai_chat", {"authorization": "Bearer sk-of-the-operator"})
    assert response.status == 200
    assert (tmp_path / "traces.db").exists() == is_on


async def test_a_row_of_the_ledger_finds_its_record(tmp_path: Path) -> None:
    server = {"state_dir": str(tmp_path), "api_keys": ["sk-of-the-operator"]}
    app = gateway(tmp_path, message_reply(), accounts={"enabled": True}, server=server)
    await ended(app, "openai_chat", {"authorization": "Bearer sk-of-the-operator"})
    (trace,) = stored(tmp_path)
    assert trace.request.row_id is not None
    with contextlib.closing(sqlite3.connect(tmp_path / "accounts.db")) as ledger:
        assert ledger.execute("SELECT id FROM ledger").fetchall() == [(parse_id(trace.request.row_id),)]
    assert stored(tmp_path, trace.request.row_id) == [trace]


def test_a_library_without_a_directory_writes_nothing() -> None:
    config = Config.from_dict({"vertex": {"project": "p", "location": "global"}})
    assert Gateway(config, environment={}, state=LocalState(None)).traces._writer is None
