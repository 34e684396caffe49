"""A copy while others write. Risk: a backup that lacks what was committed, has half of a transaction, cannot be read,
or takes the place of another one.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from modelmux.store import backup
from modelmux.store.backup import BackupExists, back_up
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support import ledgers
from support.cli import CommandResult, run
from support.ledgers import TAGS, all_pages, batch_rows, entry

BATCHES = 60
WRITERS = (1, 2)


def fill(path: Path, count: int = 3) -> None:
    async def write() -> None:
        ledger = SqliteLedger(path, TAGS)
        await ledger.append([entry(number) for number in range(count)])
        await ledger.aclose()

    asyncio.run(write())


def writer(path: Path, seed: int) -> subprocess.Popen[str]:
    file = Path(ledgers.__file__)
    variables = {**os.environ, "PYTHONPATH": str(file.parents[1])}
    command = [sys.executable, "-m", "support.ledgers", str(path), str(seed), str(BATCHES)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables)


def written_until(process: subprocess.Popen[str], batch: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= batch:
            return
    raise AssertionError("the writer ended")


async def restored(path: Path) -> set[bytes]:
    """The ids of a copy, after its sums were compared with its rows."""
    ledger = SqliteLedger(path, TAGS)
    try:
        assert await ledger.verify() == []
        return {row.id for row in await all_pages(ledger, EntryQuery(limit=1_000))}
    finally:
        await ledger.aclose()


def test_a_copy_under_load_has_what_was_written_before_and_whole_transactions(tmp_path: Path) -> None:
    database = tmp_path / "accounts.db"
    fill(database)
    writers = [writer(database, seed) for seed in WRITERS]
    copies = []
    for number in range(3):
        acknowledged = 5 * (number + 1)
        for one in writers:
            written_until(one, acknowledged)
        copies.append((tmp_path / f"backup-{number}.db", acknowledged))
        assert back_up(database, copies[-1][0]) == copies[-1][0].stat().st_size
    assert [one.communicate(timeout=200)[1] for one in writers] == [None, None]
    assert [one.returncode for one in writers] == [0, 0], "writers were not held up"
    for number, (copy, acknowledged) in enumerate(copies):
        assert not copy.with_name(copy.name + "-wal").exists()
        place = tmp_path / f"restored-{number}"
        place.mkdir()
        shutil.copy(copy, place / "accounts.db")
        ids = asyncio.run(restored(place / "accounts.db"))
        for seed in WRITERS:
            batches = [{row.id for row in batch_rows(seed, batch)} for batch in range(BATCHES)]
            present = [batch <= ids for batch in batches]
            count = sum(present)
            assert present == [True] * count + [False] * (BATCHES - count)
            assert count > acknowledged
            rest = set().union(*batches[count:]) - set().union(*batches[:count]) if count < BATCHES else set()
            assert not rest & ids, "half of a transaction"


def test_a_copy_is_for_its_owner_alone_and_replaces_nothing(tmp_path: Path) -> None:
    database, target = tmp_path / "accounts.db", tmp_path / "backup.db"
    fill(database)
    back_up(database, target)
    assert target.stat().st_mode & 0o777 == 0o600
    before = target.read_bytes()
    with pytest.raises(BackupExists, match="exists already"):
        back_up(database, target)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BackupExists):
        back_up(database, tmp_path / "link")
    assert target.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir() if "accounts" not in path.name} == {"backup.db", "link"}


def test_another_process_that_creates_the_file_meanwhile_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, target = tmp_path / "accounts.db", tmp_path / "backup.db"
    fill(database)
    copy = backup._copy

    def slow(*arguments: object) -> None:
        copy(*arguments)  # type: ignore[arg-type]
        target.write_text("theirs")

    monkeypatch.setattr(backup, "_copy", slow)
    with pytest.raises(BackupExists, match="meanwhile"):
        back_up(database, target)
    assert target.read_text() == "theirs"


def test_a_file_of_any_version_is_copied_as_it_is(tmp_path: Path) -> None:
    database = tmp_path / "accounts.db"
    fill(database)
    with sqlite3.connect(database) as connection:
        (names,) = connection.execute("SELECT count(*) FROM migrations").fetchone()
        connection.execute("DELETE FROM migrations WHERE rowid = (SELECT max(rowid) FROM migrations)")
    connection.close()
    back_up(database, tmp_path / "backup.db")
    with sqlite3.connect(tmp_path / "backup.db") as copy:
        assert copy.execute("SELECT count(*) FROM migrations").fetchone() == (names - 1,), "a copy is not migrated"
    copy.close()


def test_what_cannot_be_copied_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    database = tmp_path / "accounts.db"
    fill(database, 2_000)
    with pytest.raises(StoreFailed, match="cannot be written"):
        back_up(database, database / "backup.db")
    data = bytearray(database.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 8192] = b"\xff" * 8192
    database.write_bytes(data)
    with pytest.raises(StoreFailed, match="damaged"):
        back_up(database, tmp_path / "backup.db")
    other = tmp_path / "other.db"
    sqlite3.connect(other).execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(StoreFailed, match="move it away or name another one"):
        back_up(other, tmp_path / "backup.db")
    assert not [path for path in tmp_path.iterdir() if "backup" in path.name]


def command(home: Path, *arguments: str, **variables: str) -> CommandResult:
    return run("accounts", "backup", *arguments, "--set", f"accounts.store=sqlite:{home}/a.db", home=home, **variables)


def test_the_command_says_what_is_not_in_the_copy(tmp_path: Path) -> None:
    fill(tmp_path / "a.db")
    done = command(tmp_path, "copy.db")
    assert (done.code, done.stdout) == (0, "")
    assert re.match(r"written: copy\.db: 0\.\d MiB, a copy of .*/a\.db\n", done.stderr)
    assert f"note: the pepper is not in it: back up {tmp_path}/a.db.pepper, apart from this file\n" in done.stderr
    assert "journals" not in done.stderr
    again = command(tmp_path, "copy.db")
    assert (again.code, "never overwritten" in again.stderr) == (1, True)
    (tmp_path / "a.db-journals").mkdir()
    (tmp_path / "a.db-journals" / "x.journal").touch()
    assert f"1 in {tmp_path}/a.db-journals\n" in command(tmp_path, "more.db").stderr
    answer = json.loads(command(tmp_path, "third.db", "--json").stdout)
    assert answer == {
        "file": "third.db", "bytes": (tmp_path / "third.db").stat().st_size, "database": f"{tmp_path}/a.db",
        "pepper": f"{tmp_path}/a.db.pepper", "journals": {"directory": f"{tmp_path}/a.db-journals", "files": 1},
    }  # fmt: skip
    named = command(tmp_path, "fourth.db", "--set", "accounts.peppers=" + "p" * 40)
    assert "the pepper is not in it: back up what accounts.peppers names" in named.stderr


def test_without_a_database_the_command_says_so(tmp_path: Path) -> None:
    result = command(tmp_path, "copy.db")
    assert (result.code, "there is no ledger at" in result.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []
    away = command(tmp_path, "copy.db", MODELMUX_ADMIN_URL="http://127.0.0.1:1")
    assert (away.code, "works on the files of the gateway" in away.stderr) == (1, True)
