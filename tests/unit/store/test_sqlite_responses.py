"""The file of stored responses. Risk: what was confirmed is lost with a process, a file is damaged or read by others,
or a full disk takes the gateway down."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelmux.dialects.stored_responses import HistoryQuery, StoredResponse
from modelmux.store import sqlite_responses
from modelmux.store.base import ResponseLimits, StoreFailed
from modelmux.store.file_kinds import RESPONSES
from modelmux.store.responses_file import BUSY_TIMEOUT, ResponsesFile
from modelmux.store.sqlite_responses import SqliteResponseStore
from support import response_stores
from support.clock import Clock
from support.response_stores import ANN, counted, endless, item, response

TTL = 3600.0


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "responses.sqlite3"


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[SqliteResponseStore]:
    store = SqliteResponseStore(path, clock, ResponseLimits(ttl=TTL), busy_timeout=0.1)
    yield store
    await store.aclose()


def on_disk(path: Path, text: bytes) -> bool:
    return any(text in file.read_bytes() for file in path.parent.iterdir())


def open_files() -> set[Path]:
    """The files that this process has open."""
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(fd.readlink())
    return found


def content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def damage(path: Path) -> None:
    """Overwrite all pages but the first."""
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xee" * (len(data) - 4096)
    path.write_bytes(data)


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    tests = Path(response_stores.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-m", "support.response_stores", str(path), name, str(count)],
        stdout=subprocess.PIPE, text=True, cwd=tests,
    )  # fmt: skip


# Several processes


async def test_four_processes_share_a_file(path: Path, clock: Clock) -> None:
    processes = [writer(path, name, 40) for name in "abcd"]
    assert [process.communicate()[0].count("\n") for process in processes] == [40] * 4
    assert {process.returncode for process in processes} == {0}
    store = SqliteResponseStore(path, clock, ResponseLimits())
    for name in "abcd":
        for number in range(40):
            assert await store.get(ANN, f"{name}_{number}") == endless(name, number)
        assert len((await store.history(ANN, HistoryQuery(f"{name}_39"))).items or ()) == sum(
            len(endless(name, number).input) + 1 for number in range(40)
        )
    await store.aclose()
    counted(path)


async def test_a_killed_process_loses_nothing_that_was_confirmed(path: Path, clock: Clock) -> None:
    confirmed = 0
    for name in "abc":
        process = writer(path, name, 100_000)
        assert process.stdout is not None
        while process.stdout.readline().strip() != str(20):
            pass
        process.send_signal(signal.SIGKILL)  # in the middle of a put: it does nothing else
        confirmed = max([20, *map(int, process.stdout.read().split())])
        process.wait()
        process.stdout.close()
        store = SqliteResponseStore(path, clock, ResponseLimits())
        for number in range(confirmed + 1):
            assert await store.get(ANN, f"{name}_{number}") == endless(name, number)
        unconfirmed = await store.get(ANN, f"{name}_{confirmed + 1}")
        assert unconfirmed in (None, endless(name, confirmed + 1)), "complete or not there"
        await store.aclose()
        counted(path)


async def test_a_history_is_read_at_one_moment(store: SqliteResponseStore, path: Path, clock: Clock) -> None:
    """Whoever deletes a response of the conversation meanwhile, it comes complete or not at all."""
    other = SqliteResponseStore(path, clock, ResponseLimits(ttl=TTL))
    ids = [f"r{number}" for number in range(50)]
    complete = tuple(f"data of {kind}_{id}".encode() for id in ids for kind in ("in", "out"))
    for _ in range(10):
        for previous, id in zip((None, *ids), ids, strict=False):
            await store.put(ANN, response(id, previous))
        history, _ = await asyncio.gather(store.history(ANN, HistoryQuery("r49")), other.delete(ANN, "r1"))
        assert history.items in (complete, None)
    await other.aclose()


async def test_a_store_made_before_a_fork_is_used_after_it(path: Path, clock: Clock) -> None:
    store = SqliteResponseStore(path, clock, ResponseLimits())
    store.check()
    assert path not in open_files()
    await store.put(ANN, response("r"))
    await store.aclose()
    assert path not in open_files()


# What is on the disk


async def test_only_the_owner_can_read_the_files(store: SqliteResponseStore, path: Path) -> None:
    await store.put(ANN, response("r"))
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
    assert {mode_of(file) for file in path.parent.iterdir()} == {0o600}


def test_a_file_that_others_can_read_is_closed_to_them(path: Path) -> None:
    ResponsesFile(path).open(BUSY_TIMEOUT).close()
    path.chmod(0o644)
    SqliteResponseStore(path, Clock(), ResponseLimits()).check()
    assert mode_of(path) == 0o600


async def test_what_was_deleted_is_not_on_the_disk(store: SqliteResponseStore, path: Path) -> None:
    secret = "the secret of the conversation "
    await store.put(ANN, response("r1", input=(item("i1", secret * 500),)))
    await store.put(ANN, response("r2", input=(item("i2"),)))
    assert on_disk(path, secret.encode())
    assert await store.delete(ANN, "r1")
    assert not on_disk(path, secret.encode())
    assert on_disk(path, b"data of i2")


async def test_what_expired_leaves_the_file_a_part_with_each_put_and_more_at_a_start(
    store: SqliteResponseStore, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_responses, "_MAX_EXPIRED", 3)
    for number in range(10):
        await store.put(ANN, response(f"r{number}"))
    clock.advance(TTL)
    await store.put(ANN, response("new"))
    assert counted(path)[1] == 2 * (10 - 3 + 1)
    SqliteResponseStore(path, clock, ResponseLimits(ttl=TTL)).check()
    assert counted(path)[1] == 2


async def test_its_totals_follow_every_change(store: SqliteResponseStore, path: Path, clock: Clock) -> None:
    await store.put(ANN, response("r1", input=(item("a", "same"), item("b", "same"))))
    await store.put("bob", response("r1", input=(item("a", "same"),)))
    counted(path)
    await store.put(ANN, response("r1", input=(item("a", "other"),)))
    counted(path)
    await store.delete(ANN, "r1")
    await store.delete("bob", "r1")
    assert counted(path) == (0, 0)


async def test_a_read_is_recorded_now_and_then_only(
    store: SqliteResponseStore, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(ANN, response("r"))
    writes: list[Any] = []
    run = store._writer.run

    async def counting(function: Any) -> Any:
        writes.append(function)
        return await run(function)

    monkeypatch.setattr(store._writer, "run", counting)
    for _ in range(180):
        clock.advance(1.0)
        assert await store.get(ANN, "r")
        assert (await store.history(ANN, HistoryQuery("r", ("in_r",)))).items
    assert writes == [], "the last recorded use is not longer ago than a twentieth of the ttl"
    clock.advance(1.0)
    assert await store.get(ANN, "r")
    assert len(writes) == 1


# When it fails


async def test_a_full_disk_fails_the_put_and_nothing_else(store: SqliteResponseStore, path: Path) -> None:
    await store.put(ANN, response("r1"))
    connection = store._writer._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFailed, match="disk is full") as caught:
        await store.put(ANN, response("r2", input=(item("i", "x" * 100_000),)))
    assert str(path) in str(caught.value)
    assert await store.get(ANN, "r2") is None
    assert await store.get(ANN, "r1") == response("r1")
    counted(path)
    await store.put(ANN, response("r3"))  # there is space again
    assert await store.get(ANN, "r3")


async def test_a_file_that_cannot_be_written_is_read(store: SqliteResponseStore, clock: Clock) -> None:
    await store.put(ANN, response("r"))
    connection = store._writer._connection
    assert connection is not None
    connection.execute("PRAGMA query_only = ON")
    clock.advance(TTL - 1)
    assert await store.get(ANN, "r") is not None, "that this use cannot be recorded does not matter"
    connection = store._writer._connection
    assert connection is None, "it is opened again"
    await store.put(ANN, response("r2"))
    store._writer._connection.execute("PRAGMA query_only = ON")  # type: ignore[union-attr]
    with pytest.raises(StoreFailed, match="readonly"):
        await store.delete(ANN, "r2")


async def test_a_busy_file_fails_after_a_while_and_works_later(store: SqliteResponseStore, path: Path) -> None:
    await store.put(ANN, response("r1"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFailed, match="locked"):
            await store.put(ANN, response("r2"))
        assert await store.get(ANN, "r1"), "readers do not wait"
        other.execute("ROLLBACK")
    await store.put(ANN, response("r2"))


async def test_calls_wait_for_a_busy_file_at_once_and_not_one_after_another(path: Path, clock: Clock) -> None:
    store = SqliteResponseStore(path, clock, ResponseLimits(ttl=TTL), busy_timeout=5.0, clock=clock)
    release = threading.Event()

    def timeout_of(connection: sqlite3.Connection) -> int:
        (milliseconds,) = connection.execute("PRAGMA busy_timeout").fetchone()
        return int(milliseconds)

    first = asyncio.create_task(store._writer.run(lambda _: release.wait()))
    second = asyncio.create_task(store._writer.run(timeout_of))
    await asyncio.sleep(0)
    clock.advance(3.0)
    third = asyncio.create_task(store._writer.run(timeout_of))
    await asyncio.sleep(0)
    clock.advance(3.0)
    release.set()
    await first
    assert [await second, await third] == [0, 2000]
    assert await store._writer.run(timeout_of) == 5000
    await store.aclose()


async def test_a_put_that_nobody_waits_for_any_longer_is_complete(store: SqliteResponseStore) -> None:
    task = asyncio.create_task(store.put(ANN, response("r1")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.put(ANN, response("r2"))  # after it
    assert await store.get(ANN, "r1") == response("r1")


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")


def newer(path: Path) -> None:
    with closing(ResponsesFile(path).open(BUSY_TIMEOUT)) as connection:
        connection.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.write_bytes(b"no database " * 100), "file is not a database"),
        (lambda path: path.write_bytes(b""), "not a file of stored responses"),
        (lambda path: path.mkdir(), "unable to open database file"),
        (foreign, "not a file of stored responses"),
        (newer, "made by another version of modelmux (its format is 99)"),
    ],
    ids=["text", "empty", "folder", "foreign", "newer"],
)
async def test_a_file_that_is_not_ours_is_reported_and_not_touched(
    store: SqliteResponseStore, path: Path, spoil: Any, problem: str
) -> None:
    spoil(path)
    before = content(path)
    calls: list[Any] = [store.put(ANN, response("r")), store.get(ANN, "r"), store.delete(ANN, "r")]
    for call in calls:
        with pytest.raises(StoreFailed) as caught:
            await call
        assert str(caught.value).startswith(f"{path}: ")
        assert problem in str(caught.value)
    with pytest.raises(StoreFailed):
        store.check()
    assert content(path) == before


def test_a_file_is_recognized_by_its_first_bytes(path: Path) -> None:
    ResponsesFile(path).open(BUSY_TIMEOUT).close()
    assert RESPONSES.header_problem(path, content(path)[:100]) is None
    newer(path)
    assert "its format is 99" in (RESPONSES.header_problem(path, content(path)[:100]) or "")
    assert "not a database" in (RESPONSES.header_problem(path, b"text") or "")


async def test_a_damaged_file_fails(store: SqliteResponseStore, path: Path) -> None:
    for number in range(50):
        await store.put(ANN, response(f"r{number}", input=(item("i", f"{number}" * 5_000),)))
    await store.aclose()
    damage(path)
    damaged = SqliteResponseStore(path, Clock(1_000.0), ResponseLimits(ttl=TTL))
    with pytest.raises(StoreFailed, match="malformed"):
        await damaged.put(ANN, response("r"))
    with pytest.raises(StoreFailed, match="malformed"):
        await damaged.get(ANN, "r1")
    await damaged.aclose()


def test_a_directory_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = SqliteResponseStore(tmp_path / "file" / "responses.sqlite3", Clock(), ResponseLimits())
    with pytest.raises(StoreFailed, match="file is not a directory"):
        store.check()


async def test_large_responses_are_read_and_written(store: SqliteResponseStore) -> None:
    large: StoredResponse = response("r", input=(item("i", "x" * 8_000_000),))
    await store.put(ANN, large)
    assert await store.get(ANN, "r") == large
