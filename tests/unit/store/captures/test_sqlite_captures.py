"""``captures.db``. Risk: it grows, keeps what is too old, gives the bodies of another request, or others read it."""

from __future__ import annotations

import asyncio
import base64
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelmux.store.background_writer import BackgroundWriter, WrittenFile
from modelmux.store.base import StoreFailed
from modelmux.store.captures.reader import read_capture
from modelmux.store.captures.record import Capture, CaptureBounds, EncodedCapture, Exchanged, Sent, SentAttempt, encode
from modelmux.store.captures.sqlite_captures import CapturesFile, add, adder, find
from modelmux.store.captures.views import capture_view
from modelmux.store.traces.record import TracedRequest
from support.clock import Clock
from support.traces import AT, DAY, trace

BOUNDS = CaptureBounds(1_000, 10_000, 5, 3, keeps_files=True)


def one(number: int, body: bytes = b"body", bounds: CaptureBounds = BOUNDS) -> tuple[TracedRequest, EncodedCapture]:
    request = trace(number, is_captured=True).request
    attempts = (SentAttempt(1, b"upstream " + body, None), SentAttempt(2, body, Sent((b"rep", b"ly"), 5)))
    sent = Exchanged("/v1/messages", {"anthropic-version": "1"}, body, Sent((b"response",), 8), attempts)
    return request, encode(request, sent, bounds)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = CapturesFile(tmp_path / "state" / "captures.db").open(5.0)
    yield connection
    connection.close()


def kept(connection: sqlite3.Connection) -> list[str]:
    return [id for (id,) in connection.execute("SELECT request_id FROM captures ORDER BY number")]


def test_all_bodies_of_a_request_are_read(connection: sqlite3.Connection, tmp_path: Path) -> None:
    add(BOUNDS, connection, [one(1), one(2, b"other")], AT)
    capture = find(connection, "req_1", 3, AT)
    assert isinstance(capture, Capture)
    view = capture_view(capture)
    assert view.request is not None
    assert (view.path, view.headers, view.request.text) == ("/v1/messages", {"anthropic-version": "1"}, "body")
    assert view.response.text == "response"
    first, second = view.attempts
    assert (first.number, first.request.text, first.reply) == (1, "upstream body", None)
    assert second.reply is not None
    assert (second.number, second.request.text, second.reply.text) == (2, "body", "reply")
    assert find(connection, "req_9", 3, AT) is None
    assert find(connection, "req_1", 3, AT, capture.request.at + 1) is None
    assert read_capture(tmp_path / "state", "req_1", 3, AT, capture.request.at) == capture
    assert read_capture(tmp_path / "nothing", "req_1", 3, AT) is None


def test_the_file_is_for_its_owner_alone(connection: sqlite3.Connection, tmp_path: Path) -> None:
    add(BOUNDS, connection, [one(1)], AT)
    files = list((tmp_path / "state").iterdir())
    assert len(files) == 3  # with the write-ahead log and its index
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_number_time_and_size_are_bounded(connection: sqlite3.Connection) -> None:
    add(BOUNDS, connection, [one(number) for number in range(8)], AT)
    assert kept(connection) == [f"req_{number}" for number in range(3, 8)]
    assert find(connection, "req_7", 3, AT + 4 * DAY) is None  # though it is in the file yet
    add(BOUNDS, connection, [], AT + 4 * DAY)
    assert kept(connection) == []
    assert connection.execute("SELECT count(*) FROM bodies").fetchone() == (0,)
    bounds = replace(BOUNDS, max_body_bytes=100_000)
    add(bounds, connection, [one(number, secrets.token_bytes(4_000), bounds) for number in range(3)], AT)
    assert kept(connection) == ["req_2"]  # of two, 16,000 bytes would be kept
    add(bounds, connection, [one(9, secrets.token_bytes(50_000), bounds)], AT)
    assert kept(connection) == ["req_9"]  # the newest is kept, whatever its size


def test_what_is_dropped_is_overwritten(connection: sqlite3.Connection, tmp_path: Path) -> None:
    marks = [secrets.token_bytes(600) for _ in range(3)]  # which do not shrink
    for number, mark in enumerate(marks):
        add(BOUNDS, connection, [one(number, mark)], AT)
    add(BOUNDS, connection, [], AT + 4 * DAY)
    data = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert not [mark for mark in marks if mark[100:150] in data]


def test_a_long_body_is_cut_and_said_to_be(connection: sqlite3.Connection) -> None:
    body = "é".encode() * 600
    add(BOUNDS, connection, [one(1, b"x" + body), one(2, b"\xff" * 20)], AT)
    capture = find(connection, "req_1", 3, AT)
    assert capture is not None
    request = capture_view(capture).request
    assert request is not None
    assert (request.bytes, request.is_cut, request.base64) == (1_201, True, None)
    assert request.text is not None
    assert request.text.startswith("xé")
    other = find(connection, "req_2", 3, AT)
    assert other is not None
    request = capture_view(other).request
    assert request is not None
    assert (request.text, request.base64) == (None, base64.b64encode(b"\xff" * 20).decode())


def test_a_file_that_cannot_be_read_says_so(connection: sqlite3.Connection, tmp_path: Path) -> None:
    add(BOUNDS, connection, [one(1)], AT)
    connection.execute("UPDATE bodies SET data = x'00'")
    with pytest.raises(StoreFailed, match="what was captured cannot be read"):
        read_capture(tmp_path / "state", "req_1", 3, AT)
    (tmp_path / "captures.db").write_bytes(b"")
    with pytest.raises(StoreFailed, match="not a file of captured bodies"):
        read_capture(tmp_path, "req_1", 3, AT)


class SmallDisk(CapturesFile):
    """A disk that has room for ``pages`` of the file."""

    pages = 10

    def open(self, timeout: float) -> sqlite3.Connection:
        connection = super().open(timeout)
        connection.execute(f"PRAGMA max_page_count = {self.pages}")
        return connection


async def test_what_a_full_disk_does_not_take_is_counted_and_said_once(tmp_path: Path) -> None:
    """And what comes after it, when there is room again, is written."""
    problems: list[str] = []
    recoveries: list[str] = []
    bounds, disk = replace(BOUNDS, max_body_bytes=100_000, max_bytes=10**7), SmallDisk(tmp_path / "captures.db")
    written = WrittenFile("captured bodies", "test-captures", disk, adder(bounds), 10, 10**7)
    writer = BackgroundWriter(
        written, lambda: AT / 1_000_000, Clock().sleep, problems.append, recoveries.append
    )  # fmt: skip
    for number, size in enumerate((10, 90_000, 80_000)):
        body = secrets.token_bytes(size)
        writer.add(lambda number=number, body=body: one(number, body, bounds), size)  # type: ignore[misc]
        while writer._task is not None:
            await asyncio.wait([writer._task])
    assert (writer.dropped, len(problems), recoveries) == (2, 1, [])
    assert problems[0].startswith("captured bodies are not written (")
    assert "full" in problems[0]
    disk.pages = 10_000
    writer.add(lambda: one(9, b"", bounds), 1)
    await writer.aclose()
    assert recoveries == ["captured bodies are written again; 2 are missing"]
    connection = CapturesFile(tmp_path / "captures.db").open(5.0)
    assert kept(connection) == ["req_0", "req_9"]
    connection.close()
