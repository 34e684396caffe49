"""The ledger in a SQLite file. Risk: what was confirmed is lost with a process, a failure leaves a half, rollups drift
from their rows unnoticed, clients fill the file with texts of their own, or dropped rows come back."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.usage_query import UsageQuery
from modelmux.config import accounts_check
from modelmux.store.base import StoreFailed
from modelmux.store.file_lock import lock_file
from modelmux.store.ledger import sqlite_append, sqlite_ledger, sqlite_retention, sqlite_rollups
from modelmux.store.ledger.base import Difference, EntryQuery, UnstorableEntry
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.store.ledger.writer import LedgerWriter
from modelmux.store.migrate import sqlite_migrations, statements
from support import ledgers
from support.http_peers import until
from support.ledgers import (
    DAMAGE_TO_SEALED_DAYS,
    DAY,
    HOUR,
    QUARTER,
    START,
    TAGS,
    Expected,
    all_pages,
    batch_rows,
    check_usage,
    correction,
    entry,
    full_entry,
    id_at,
    random_entries,
)

ALL = UsageQuery(start=START - 400 * DAY, end=START + 400 * DAY, bucket="1d")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "accounts.db"


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[SqliteLedger]:
    ledger = SqliteLedger(path, TAGS, busy_timeout=0.2)
    yield ledger
    await ledger.aclose()


@pytest.mark.parametrize("count", [1, 3, 4, 31, 32, 33, 71])
async def test_rows_are_the_same_however_many_are_written_at_once(ledger: SqliteLedger, count: int) -> None:
    rows = random_entries(count, count)
    await ledger.append(rows)
    assert sorted(await ledger.by_id([row.id for row in rows]), key=lambda row: row.id) == sorted(
        rows, key=lambda row: row.id
    )


def appender(path: Path, seed: int, batches: int, **options: Any) -> subprocess.Popen[str]:
    tests = Path(ledgers.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-m", "support.ledgers", str(path), str(seed), str(batches)],
        stdout=subprocess.PIPE, text=True, cwd=tests, **options,
    )  # fmt: skip


def rows_of(seed: int, batches: int) -> list[Entry]:
    return [row for batch in range(batches) for row in batch_rows(seed, batch)]


def execute(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


def open_files() -> set[Path]:
    """The files that this process has open."""
    return {fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.exists()}


def size(path: Path) -> int:
    return path.stat().st_size


def overwrite(path: Path) -> None:
    """Overwrite all pages but the first."""
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xee" * (len(data) - 4096)
    path.write_bytes(data)


def spoil(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)


def unspoil(path: Path) -> None:
    path.unlink()


async def check(ledger: SqliteLedger, rows: list[Entry]) -> None:
    """The ledger has these rows, and its sums are theirs."""
    assert await all_pages(ledger, EntryQuery(limit=1000)) == Expected(rows).entries(EntryQuery())
    check_usage(await ledger.usage(ALL), ALL, Expected(rows))
    assert await ledger.verify() == []
    assert execute(ledger.path, "PRAGMA integrity_check") == [("ok",)]


# Several processes


async def test_g40_four_processes_append_at_once(path: Path) -> None:
    processes = [appender(path, seed, 20) for seed in range(4)]
    assert [process.communicate()[0].count("\n") for process in processes] == [20] * 4
    assert {process.returncode for process in processes} == {0}
    ledger = SqliteLedger(path, TAGS)
    await check(ledger, [row for seed in range(4) for row in rows_of(seed, 20)])
    await ledger.aclose()


async def test_killed_processes_lose_nothing_that_was_confirmed(path: Path) -> None:
    """Two processes that append all the time are killed at random moments, again and again."""
    dice = random.Random()
    confirmed: dict[int, int] = {}
    for seed in range(0, 12, 2):
        processes = {one: appender(path, one, 100_000) for one in (seed, seed + 1)}
        for process in processes.values():
            assert process.stdout is not None
            while process.stdout.readline().strip() != "2":
                pass
        for one, process in processes.items():
            await asyncio.sleep(dice.random() * 0.05)
            process.send_signal(signal.SIGKILL)
            assert process.stdout is not None
            confirmed[one] = max([2, *map(int, process.stdout.read().split())])
            process.wait()
            process.stdout.close()
    ledger = SqliteLedger(path, TAGS)
    present = {row.id: row for row in await all_pages(ledger, EntryQuery(limit=1000))}
    expected = []
    for seed, last in confirmed.items():
        expected += rows_of(seed, last + 1)
        unconfirmed = batch_rows(seed, last + 1)
        if unconfirmed[-1].id in present:  # complete or not there: the next lines would say so
            expected += unconfirmed
    assert present == {row.id: row for row in expected}
    await check(ledger, expected)
    await ledger.aclose()


async def test_a_ledger_made_before_a_fork_is_used_after_it(path: Path) -> None:
    ledger = SqliteLedger(path, TAGS)
    ledger.check()
    assert path not in open_files()
    await ledger.append([entry(1)])
    await check(ledger, [entry(1)])
    await ledger.aclose()


async def test_calls_that_wait_share_a_transaction(ledger: SqliteLedger) -> None:
    await ledger.append([entry(0)])
    release = threading.Event()
    busy = asyncio.create_task(ledger._writer.run(lambda _: release.wait()))
    await asyncio.sleep(0)
    calls = [asyncio.create_task(ledger.append([entry(number)])) for number in range(1, 40)]
    await asyncio.sleep(0.01)
    connection = ledger._writer._connection
    assert connection is not None
    commits: list[str] = []
    connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    calls[7].cancel()
    await asyncio.sleep(0.01)
    release.set()
    await asyncio.gather(busy, *calls, return_exceptions=True)
    connection.set_trace_callback(None)
    assert len(commits) == 1
    assert calls[7].cancelled()
    await check(ledger, [entry(number) for number in range(40) if number != 8])


async def test_a_call_with_a_bad_row_harms_no_other(ledger: SqliteLedger) -> None:
    bad = entry(2, id=b"short")
    results = await asyncio.gather(ledger.append([entry(1)]), ledger.append([bad]), ledger.append([entry(3)]),
                                   return_exceptions=True)  # fmt: skip
    assert [type(result) for result in results] == [type(None), UnstorableEntry, type(None)]
    await check(ledger, [entry(1), entry(3)])


# Rollups


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": TokenCounts(web_searches=10**16)},
        {"cost": Cost(web_search=10**25)},
        {"hold": 10**25},
        {"duration": -(10**25)},
        {"request_bytes": 2**70},
        {"attempts": (AttemptEntry("d", "ok", TokenCounts(output=2**70)),)},
        {"corrects": b"short"},
    ],
    ids=str,
)
async def test_a_row_that_can_never_be_written_is_recognized_before(
    ledger: SqliteLedger, changes: dict[str, Any]
) -> None:
    ledger.check_entry(entry(1))
    with pytest.raises(UnstorableEntry, match=entry(1).id.hex()):
        ledger.check_entry(replace(entry(1), **changes))


async def test_a_row_that_can_never_be_written_does_not_hold_up_a_writer(ledger: SqliteLedger) -> None:
    problems: list[str] = []
    writer = LedgerWriter(ledger, asyncio.sleep, lambda problem, _: problems.append(problem), problems.append)
    writer.add(lambda: replace(entry(1), cost=Cost(web_search=10**25)))
    writer.add(lambda: entry(2))
    await until(lambda: not writer.waiting)
    assert [row.id for row in (await ledger.entries(EntryQuery())).entries] == [entry(2).id]
    assert [entry(1).id.hex() in problem for problem in problems] == [True]
    await writer.aclose()


async def test_a33_verify_tells_what_differs(ledger: SqliteLedger, path: Path) -> None:
    await ledger.append([entry(1, key="k", model="m", tags=(("app", "chat"),))])
    labels = 'key=k model=m tags=[["app","chat"]]'
    execute(path, "UPDATE usage_quarter SET cost_input = cost_input + 5")
    assert await ledger.verify() == [Difference(f"2026-10-20T00:00Z {labels} cost_input", 106, 101)]
    execute(path, "UPDATE usage_month SET requests = 0")
    assert (await ledger.verify())[1:] == [Difference(f"2026-10 {labels} requests", 0, 1)]
    execute(path, "INSERT INTO usage_day VALUES (9999, 1, 7" + ", 0" * 15 + ")")
    assert (await ledger.verify())[:1] == [Difference(f"1997-05-18 {labels} requests", 7, 0)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE usage_quarter SET cost_input = cost_input + 5 WHERE slot = (SELECT max(slot) FROM usage_quarter)",
        "DELETE FROM usage_day WHERE slot = (SELECT min(slot) FROM usage_day)",
        "DELETE FROM usage_month",
        "UPDATE usage_month SET output = output + 1",
        "UPDATE group_quarter SET requests = requests + 1 WHERE slot = (SELECT max(slot) FROM group_quarter)",
        "DELETE FROM group_day",
        "DELETE FROM group_month",
        f"INSERT INTO group_month SELECT slot + 50, series, {', '.join(sqlite_rollups.SUMS)} FROM group_month",
        f"INSERT INTO usage_day SELECT slot + 100, series, {', '.join(sqlite_rollups.SUMS)} FROM usage_day",
    ],
)
async def test_verify_repairs_what_differs(ledger: SqliteLedger, path: Path, damage: str) -> None:
    rows = random_entries(5, 100)
    await ledger.append(rows)
    execute(path, damage)
    assert await ledger.verify()
    assert await ledger.verify(repair=True)
    await check(ledger, rows)


@pytest.mark.parametrize("damage", DAMAGE_TO_SEALED_DAYS)
async def test_verify_repairs_sums_of_sealed_days(ledger: SqliteLedger, path: Path, damage: str) -> None:
    rows = random_entries(5, 100)
    await ledger.append(rows)
    assert await ledger.seal_days(START + 400 * DAY) > 0
    await check(ledger, rows)
    execute(path, damage)
    assert await ledger.verify()
    assert await ledger.verify(repair=True)
    await check(ledger, rows)


async def test_a_ledger_of_before_is_sealed_a_day_at_a_time(ledger: SqliteLedger, path: Path) -> None:
    """As after the migration: a call that is stopped goes on with the next one, and nothing is sealed twice."""
    rows = random_entries(8, 200)
    await ledger.append(rows)
    query = replace(ALL, zone="Asia/Kolkata", group_by=("model",))
    before = await ledger.usage(query)
    for day in range(6):
        await ledger.seal_days(START + day * DAY)
        assert await ledger.usage(query) == before
        assert await ledger.verify() == []
    assert await ledger.seal_days(START + 5 * DAY) == 0
    execute(path, "DELETE FROM group_quarter")  # which it does not read any more
    assert await ledger.usage(query) == before


async def test_verify_names_sums_over_all_keys(ledger: SqliteLedger, path: Path) -> None:
    await ledger.append([entry(1, key="k", team="t", model="m")])
    execute(path, "UPDATE group_day SET cost_input = cost_input + 5")
    (day, month) = await ledger.verify()
    assert day == Difference("2026-10-20 of all keys team=t model=m cost_input", 106, 101)
    assert month.what == "2026-10 of all keys team=t model=m cost_input"


async def test_a_ledger_of_before_gets_its_sums_over_all_keys(ledger: SqliteLedger, path: Path) -> None:
    rows = random_entries(6, 200)
    await ledger.append(rows)
    await ledger.aclose()
    for table in ("group_quarter", "group_day", "group_month", "ledger_group"):
        execute(path, f"DROP TABLE {table}")
    execute(path, "DROP INDEX ledger_series_by_person")
    execute(path, "DELETE FROM migrations WHERE name = '0006_groups.sql'")
    migrated = SqliteLedger(path, TAGS)
    assert await migrated.verify() == []
    await migrated.append(more := [entry(900 + number, key=f"new-{number}", team="fresh") for number in range(5)])
    await check(migrated, [*rows, *more])
    await migrated.aclose()


async def test_what_was_told_before_the_migration_to_webhooks_is_not_told_again(
    ledger: SqliteLedger, path: Path
) -> None:
    await ledger.append([entry(1)])
    await ledger.aclose()
    for table in ("webhook_delivery", "alert"):
        execute(path, f"DROP TABLE {table}")
    old = next(one.sql for one in sqlite_migrations() if one.name == "0004_alerts.sql")
    for statement in statements(old):
        execute(path, statement)
    execute(path, "DELETE FROM migrations WHERE name = '0007_webhooks.sql'")
    data = (
        '{"id":"%s","type":"budget.threshold","at":"2026-12-01T00:00:00Z","budget":{"id":"bud_a","name":"a"},"subject":"",'
        '"window":{"start":"2026-12-01T00:00:00Z","end":null},"percent":%d,"refused":false,"unit":"usd","limit":"1",'
        '"spent":"1"}'
    )
    for id, percent, due in (("told", 50, "NULL"), ("second", 100, 7), ("first", 80, 7)):
        row = f"INSERT INTO budget_alert VALUES ('{id}', 'bud_a', '', 0, {percent}, '{data % (id, percent)}', {due}, 0)"
        execute(path, row)
    migrated = SqliteLedger(path, TAGS)
    handed_out = [await migrated.alerts.hand_out(9, {}) for _ in range(3)]
    assert [one and one.id for one in handed_out] == ["first", "second", None]
    (told,) = [one for one in handed_out if one is not None and one.id == "first"]
    await migrated.alerts.note([replace(told, id="told")], 9)
    assert await migrated.alerts.hand_out(9, {}) is None
    await migrated.aclose()


async def test_a48_usage_of_teams_does_not_read_the_sums_of_keys(ledger: SqliteLedger, path: Path) -> None:
    await ledger.append([entry(number, key=f"key-{number}", team="t") for number in range(20)])
    execute(path, "DELETE FROM usage_day")
    execute(path, "DELETE FROM ledger_series")
    query = UsageQuery(start=START, end=START + DAY, group_by=("team", "model", "tag:app"), where=(("team", ("t",)),))
    assert [row.requests for row in await ledger.usage(query)] == [20]


async def test_verify_sees_rows_whose_time_is_not_that_of_their_id(ledger: SqliteLedger, path: Path) -> None:
    rows = [replace(entry(number), id=id_at(START + number * 40 * DAY, number)) for number in range(5)]
    await ledger.append([*rows, entry(9, START + 300 * DAY, id=id_at(START, 9))])
    assert await ledger.verify() == []
    execute(path, "UPDATE usage_day SET requests = requests + 1")
    assert len(await ledger.verify(repair=True)) == 2
    assert await ledger.verify() == []


async def test_verify_returns_a_bounded_number_and_repairs_all(
    ledger: SqliteLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_ledger, "MOST_DIFFERENCES", 10)
    await ledger.append([entry(number, START + number * DAY) for number in range(30)])
    execute(path, "UPDATE usage_quarter SET output = output + 1")
    assert len(await ledger.verify(repair=True)) == 10
    assert await ledger.verify() == []


async def test_a_day_has_a_bounded_number_of_sets_of_tags(
    ledger: SqliteLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_append, "MOST_TAG_SETS", 3)
    rows = [entry(number, tags=(("app", f"app-{number}"), ("id", str(number)))) for number in range(6)]
    for row in rows:
        await ledger.append([row])
    other = SqliteLedger(path, TAGS)  # another process: what it admits counts as well
    await other.append([entry(7, tags=(("app", "app-1"),)), entry(8, START + DAY, tags=(("app", "app-8"),))])
    await other.append([entry(9, tags=(("app", "app-9"),)), entry(10, tags=(("id", "10"),))])
    await other.aclose()
    query = replace(ALL, bucket="all", group_by=("tag:app",))
    usage = {row.group: row.requests for row in await ledger.usage(query)}
    assert usage == {("app-0",): 1, ("app-1",): 2, ("app-2",): 1, ("app-8",): 1, ("other",): 4, (None,): 1}
    assert [row.tags for row in await all_pages(ledger, EntryQuery(where=(("tag:app", ("app-5",)),)))] == [rows[5].tags]
    assert await ledger.verify() == []


async def test_what_clients_choose_is_stored_once_up_to_a_bound(
    ledger: SqliteLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_append, "MOST_CONTEXTS", 3)
    rows = [entry(number, agent=f"agent {number}", requested=f"model {number}", app=None) for number in range(20)]
    await ledger.append(rows)
    await ledger.append([entry(20, agent="agent 1", requested="model 1")])
    await check(ledger, [*rows, entry(20, agent="agent 1", requested="model 1")])
    assert execute(path, "SELECT count(*) FROM ledger_context") == [(4,)]


async def test_a_row_is_small(ledger: SqliteLedger, path: Path) -> None:
    rows = [full_entry(number, START + number * QUARTER // 100) for number in range(5_001)]
    await ledger.append(rows[:1])
    execute(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    tables = size(path)  # a page for each table, keys and people included
    await ledger.append(rows[1:])
    await ledger.aclose()
    assert (size(path) - tables) / 5_000 < 400


# Retention


async def test_old_rows_are_dropped_and_their_sums_stay(
    ledger: SqliteLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_retention, "CHUNK", 7)
    rows = random_entries(6, 100)
    await ledger.append(rows)
    horizon = START + DAY
    dropped = [row for row in rows if row.at < horizon and int.from_bytes(row.id[:6]) * 1000 < horizon]
    assert await ledger.drop_before(horizon + 5 * HOUR) == len(dropped) > 20
    assert {row.id for row in await all_pages(ledger, EntryQuery())} == {row.id for row in rows} - {
        row.id for row in dropped
    }
    check_usage(await ledger.usage(ALL), ALL, Expected(rows))
    await ledger.append(rows)  # a late replay
    check_usage(await ledger.usage(ALL), ALL, Expected(rows))
    assert await ledger.verify(repair=True) == []
    check_usage(await ledger.usage(ALL), ALL, Expected(rows))
    assert await ledger.drop_before(horizon) == await ledger.drop_before(0) == 0
    assert len(await all_pages(ledger, EntryQuery())) == len(rows) - len(dropped)


async def test_a_correction_of_a_dropped_row_still_counts(ledger: SqliteLedger) -> None:
    row = entry(1, cost=Cost(input=50))
    await ledger.append([row])
    await ledger.drop_before(START + DAY)
    later = replace(correction(row, 1, kind="void", cost=Cost(input=-50)), id=id_at(START + 3 * DAY, 1))
    await ledger.append([later])
    (usage,) = await ledger.usage(ALL)
    assert (usage.requests, usage.cost.total) == (1, 0)


async def test_a49_g39_appending_goes_on_between_the_chunks_of_a_drop(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_retention, "CHUNK", 10)
    await ledger.append([entry(number) for number in range(1, 301)])
    drop = asyncio.create_task(ledger.drop_before(START + DAY))
    appended = 0
    while not drop.done():
        appended += 1
        await ledger.append([entry(1000 + appended, START + 2 * DAY)])
    assert await drop == 300
    assert appended >= 10
    assert len(await all_pages(ledger, EntryQuery(limit=1000))) == appended


async def test_the_file_shrinks_after_most_rows_were_dropped(ledger: SqliteLedger, path: Path) -> None:
    await ledger.append([full_entry(number) for number in range(4_000)])
    before = execute(path, "PRAGMA page_count")[0][0]
    await ledger.drop_before(START + DAY)
    assert execute(path, "PRAGMA page_count")[0][0] < before / 2


# When it fails


async def fails(ledger: SqliteLedger, *texts: str) -> None:
    """Reading may work; nothing is written, and the message says where and what to do."""
    with pytest.raises(StoreFailed) as caught:
        await ledger.append([entry(2), entry(3)])
    message = str(caught.value)
    assert message.startswith(f"{ledger.path}: ")
    assert all(text in message for text in texts), message


async def test_a_full_disk_fails_the_append_and_nothing_else(ledger: SqliteLedger) -> None:
    await ledger.append([entry(1)])
    connection = ledger._writer._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFailed, match="the disk is full; make room on it"):
        await ledger.append([full_entry(number) for number in range(2, 500)])
    await check(ledger, [entry(1)])
    await ledger.append([full_entry(number) for number in range(2, 500)])  # there is room again
    await check(ledger, [entry(1), *(full_entry(number) for number in range(2, 500))])


async def test_a_process_whose_files_may_not_grow_leaves_nothing_half_written(path: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    process = appender(path, 1, 10_000, preexec_fn=limit, stderr=subprocess.PIPE)
    output, errors = process.communicate()
    assert process.returncode == 1
    assert f"StoreFailed: {path}: the disk failed (disk I/O error); check the disk, its quota" in errors
    ledger = SqliteLedger(path, TAGS)
    await check(ledger, rows_of(1, len(output.split())))
    await ledger.aclose()


async def test_a_locked_file_fails_after_a_while_and_works_later(ledger: SqliteLedger, path: Path) -> None:
    await ledger.append([entry(1)])
    with lock_file(path.with_name("accounts.db-lock"), 1.0):
        await fails(ledger, "another process holds its lock", "fuser")
        assert len(await all_pages(ledger, EntryQuery())) == 1, "readers do not wait"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await fails(ledger, "is locked by another program; end that, or try again")
        other.execute("ROLLBACK")
    await ledger.append([entry(2)])
    await check(ledger, [entry(1), entry(2)])


async def test_a_file_that_cannot_be_written_is_read(ledger: SqliteLedger) -> None:
    await ledger.append([entry(1)])
    connection = ledger._writer._connection
    assert connection is not None
    connection.execute("PRAGMA query_only = ON")
    await fails(ledger, "cannot be written; check owner and mode")
    await check(ledger, [entry(1)])


async def test_a_directory_that_was_deleted_is_reported_until_it_is_back(
    ledger: SqliteLedger, path: Path, tmp_path: Path
) -> None:
    await ledger.append([entry(1)])
    path.parent.rename(tmp_path / "elsewhere")
    await fails(ledger, "check the path and its directory")
    path.parent.mkdir()
    for _ in range(2):
        await fails(ledger, "was moved or deleted while in use; put it back, or restart")
    with pytest.raises(StoreFailed, match="moved or deleted"):
        await ledger.usage(ALL)
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    (tmp_path / "elsewhere").rename(path.parent)
    await ledger.append([entry(2)])
    await check(ledger, [entry(1), entry(2)])


async def test_a_damaged_file_fails(ledger: SqliteLedger, path: Path) -> None:
    await ledger.append([full_entry(number) for number in range(500)])
    await ledger.aclose()
    overwrite(path)
    damaged = SqliteLedger(path, TAGS)
    await fails(damaged, "is damaged (", "restore a backup, or move the file away, with -wal and -shm")
    with pytest.raises(StoreFailed, match="is damaged"):
        await damaged.usage(ALL)
    await damaged.aclose()


async def test_numbers_of_texts_from_a_transaction_that_failed_are_forgotten(ledger: SqliteLedger) -> None:
    await ledger.append([entry(1)])
    connection = ledger._writer._connection
    assert connection is not None
    connection.set_authorizer(
        lambda action, name, *_: sqlite3.SQLITE_DENY if name == "usage_day" else sqlite3.SQLITE_OK
    )
    new = [entry(2, key="new", model="new", tags=(("app", "new"),), agent="new")]
    with pytest.raises(StoreFailed):
        await ledger.append(new)
    await ledger.append([entry(3, key="other", model="other", tags=(("app", "other"),), agent="other")])
    await ledger.append(new)
    assert [row.key for row in await all_pages(ledger, EntryQuery())] == ["anonymous", "new", "other"]
    assert await ledger.verify() == []


async def test_a_call_that_was_not_tried_is_not_written_later(ledger: SqliteLedger, path: Path) -> None:
    spoil(path)
    await fails(ledger, "is damaged")
    unspoil(path)
    await ledger.append([entry(9)])
    await check(ledger, [entry(9)])


async def test_utc_needs_no_database_of_time_zones(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_zone(name: str) -> Any:
        raise KeyError(name)

    monkeypatch.setattr(accounts_check, "ZoneInfo", no_zone)
    await ledger.append([entry(1)])
    assert [row.requests for row in await ledger.usage(ALL)] == [1]
    with pytest.raises(ValueError, match="Europe/Berlin"):
        await ledger.usage(replace(ALL, zone="Europe/Paris"))
