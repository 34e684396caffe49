"""``traces.db``: what is found, what is dropped, how large a row is, and what a writer does that cannot write."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelmux.store.base import StoreFailed
from modelmux.store.traces import sqlite_traces, writer
from modelmux.store.traces.record import MOST_BYTES, Trace, TracedNotice, decode_trace, encode_trace
from modelmux.store.traces.sqlite_traces import LAST, TracesFile, add, earlier, find, latest, page
from modelmux.store.traces.writer import TraceWriter
from support.clock import Clock
from support.traces import AT, DAY, SECOND, trace


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = TracesFile(tmp_path / "state" / "traces.db").open(5.0)
    yield connection
    connection.close()


def numbers(traces: list[Trace]) -> list[str]:
    return [one.request.request_id for one in traces]


def test_pages_have_each_chosen_record_once(connection: sqlite3.Connection) -> None:
    add(connection, [trace(number, outcome="ok" if number % 2 else "drained") for number in range(10)], AT)
    seen, before = list[str](), LAST
    while True:
        found = page(connection, before, 2, AT, lambda request: request.outcome == "ok")
        seen += [one.request_id for one in found.requests]
        if found.next is None:
            break
        before = found.next
    assert seen == ["req_9", "req_7", "req_5", "req_3", "req_1"]
    assert page(connection, LAST, 2, AT + 8 * DAY, lambda _: True).requests == [], "they are too old"
    everything = page(connection, LAST, 10, AT, lambda _: True)
    assert (len(everything.requests), everything.next) == (10, None)


def test_a_record_is_found_by_each_of_its_ids(connection: sqlite3.Connection, tmp_path: Path) -> None:
    one = trace(1, row_id="req_row", message_id="msg_1", upstream_request_id="req_vrtx_1", trace_id="ab" * 16)
    add(connection, [trace(0), one, trace(2)], AT)
    for id in ("req_1", "req_row", "msg_1", "req_vrtx_1", "ab" * 16):
        assert find(connection, id, AT) == [one]
    assert find(connection, "req_9", AT) == []
    assert (tmp_path / "state" / "traces.db").stat().st_mode & 0o777 == 0o600


def test_of_an_id_that_came_often_the_latest_two_are_found(connection: sqlite3.Connection) -> None:
    add(connection, [trace(number, request_id="mine", trace_id=str(number)) for number in range(4)], AT)
    assert [one.request.trace_id for one in find(connection, "mine", AT)] == ["3", "2"]


def test_the_latest_are_listed_and_the_turns_before_found(connection: sqlite3.Connection) -> None:
    turns = [trace(number, ["a", "b"] * number + ["c"], session=b"s") for number in range(30)]
    add(connection, [*turns, trace(40, session=b"other")], AT)
    assert numbers(latest(connection, 2, AT)) == ["req_40", "req_29"]
    assert numbers(earlier(connection, turns[25])) == [f"req_{number}" for number in range(24, 4, -1)]
    assert earlier(connection, replace(turns[25], conversation=None)) == []


def test_old_and_too_many_records_are_dropped(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_traces, "MOST_REQUESTS", 5)
    add(connection, [trace(number) for number in range(8)], AT)
    assert numbers(latest(connection, 100, AT)) == [f"req_{number}" for number in range(7, 2, -1)]
    later = AT + 7 * DAY + 5 * SECOND
    assert numbers(latest(connection, 100, later)) == ["req_7", "req_6"]  # though they are in the file yet
    assert find(connection, "req_4", later) == []
    add(connection, [trace(9)], later)
    assert numbers(latest(connection, 100, 0)) == ["req_9", "req_7", "req_6"]
    add(connection, [], later + 8 * DAY)
    assert connection.execute("SELECT count(*) FROM requests").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM details").fetchone() == (0,)


def test_a_row_is_never_larger_than_its_bound() -> None:
    texts = [str(number) for number in range(2000)]
    tools = [{"name": str(number)} for number in range(300)]
    one = trace(1, texts, body={"tools": tools, "system": [{"type": "text", "text": str(n)} for n in range(40)]})
    attempt = replace(one.request.attempts[0], message="m" * 200, upstream_request_id="u" * 128, deployment="d" * 128)
    notice = TracedNotice("ignored", "f" * 80, "r" * 200)
    for attempts, notices, name in ((1, 1, 10), (40, 0, 10), (0, 24, 10), (40, 24, 10), (40, 24, 128), (40, 24, 1000)):
        request = replace(
            one.request, attempts=(attempt,) * attempts, notices=(notice,) * notices, route="n" * name,
            requested="n" * name,
        )  # fmt: skip
        text, prompt = encode_trace(replace(one, request=request))
        assert len(text) + len(prompt or b"") <= MOST_BYTES
        read = decode_trace(one.conversation, text, prompt)
        assert len(read.request.attempts) + read.request.missing_attempts == attempts
        assert len(read.request.notices) + read.request.missing_notices == notices
        assert prompt is not None or attempts > 1 or notices > 1
    assert decode_trace(one.conversation, *encode_trace(one)) == one


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    path.write_bytes(b"")
    with pytest.raises(StoreFailed, match="not a file of traces"):
        TracesFile(path).open(5.0)


class Reports:
    def __init__(self, path: Path) -> None:
        self.problems: list[str] = []
        self.recoveries: list[str] = []
        self.writer = TraceWriter(
            path, lambda: AT / SECOND, Clock().sleep, self.problems.append, self.recoveries.append
        )

    async def settle(self) -> None:
        while self.writer._task is not None:
            await asyncio.wait([self.writer._task])

    def read(self) -> list[str]:
        connection = TracesFile(self.writer.path, creates=False).open(5.0)
        try:
            return numbers(latest(connection, 100, AT))
        finally:
            connection.close()


async def test_records_are_written_in_batches_and_at_the_end(tmp_path: Path) -> None:
    reports = Reports(tmp_path / "traces.db")
    reports.writer.add(lambda: trace(1), 10)
    await reports.settle()
    assert reports.read() == ["req_1"]
    reports.writer.add(lambda: trace(2), 10)
    await reports.writer.aclose()
    await reports.writer.aclose()
    assert reports.read() == ["req_2", "req_1"]
    assert (reports.problems, reports.writer.dropped) == ([], 0)


async def test_a_record_that_cannot_be_made_is_lost_alone(tmp_path: Path) -> None:
    reports = Reports(tmp_path / "traces.db")
    for make in (lambda: trace(1), lambda: trace(int("x")), lambda: trace(3)):
        reports.writer.add(make, 10)
    await reports.settle()
    assert reports.read() == ["req_3", "req_1"]
    assert reports.writer.dropped == 1
    assert reports.problems == ["traces of requests are not written (a record could not be made); requests go on"]
    reports.writer.add(lambda: trace(4), 10)
    await reports.writer.aclose()
    assert reports.recoveries == ["traces of requests are written again; 1 are missing"]


async def test_what_waits_is_bounded_in_number_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST_WAITING", 3)
    monkeypatch.setattr(writer, "MOST_BYTES", 100)
    reports = Reports(tmp_path / "traces.db")
    for number in range(5):
        reports.writer.add(lambda number=number: trace(number), 1)  # type: ignore[misc]
    await reports.settle()
    assert (reports.writer.dropped, len(reports.problems)) == (2, 1)
    reports.writer.add(lambda: trace(11), 1000)  # a single one may be larger than the bound
    reports.writer.add(lambda: trace(12), 1)
    await reports.writer.aclose()
    assert reports.read() == ["req_11", "req_2", "req_1", "req_0"]
    assert reports.writer.dropped == 3


async def test_a_file_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    path.write_bytes(b"something else, which is longer than a header of SQLite" * 10)
    reports = Reports(path)
    for _ in range(2):
        reports.writer.add(lambda: trace(1), 10)
        await reports.settle()
    assert reports.writer.dropped == 2
    (problem,) = reports.problems
    assert str(path) in problem
    path.unlink()
    reports.writer.add(lambda: trace(2), 10)
    await reports.writer.aclose()
    assert reports.read() == ["req_2"]
    assert reports.recoveries == ["traces of requests are written again; 2 are missing"]
