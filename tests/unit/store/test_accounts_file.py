"""The file of accounts. Risk: two processes migrate it at once, a foreign or a newer file is changed, others can read
it, or a write goes on where nobody will look for it."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelmux.store import accounts_file, migrate
from modelmux.store.accounts_file import AccountsFile, FileMoved, LogMoved
from modelmux.store.base import StoreFailed
from modelmux.store.file_lock import LockTimeout, lock_file
from modelmux.store.migrate import Migration, sqlite_migrations

ONE = Migration(1, "0001_one.sql", "CREATE TABLE one (x);\nINSERT INTO one VALUES (';');\n")
TWO = Migration(2, "0002_two.sql", "-- a comment; with a semicolon\nCREATE TABLE two (x);\n")
BROKEN = Migration(3, "0003_broken.sql", "CREATE TABLE three (x);\nINSERT INTO nowhere VALUES (1);\n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "accounts.db"


@contextmanager
def opened(path: Path, *migrations: Migration, timeout: float = 0.1) -> Iterator[tuple[AccountsFile, Any]]:
    file = AccountsFile(path, timeout, migrations or (ONE, TWO))
    connection = file.open(timeout)
    try:
        yield file, connection
    finally:
        file.close(connection)


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


# Migrations


def test_migrations_are_numbered_without_gaps() -> None:
    assert [one.number for one in sqlite_migrations()] == list(range(1, len(sqlite_migrations()) + 1))
    assert sqlite_migrations()[0].name == "0001_ledger.sql"


def test_a_released_migration_never_changes() -> None:
    """Files have its hash: a change would lock their owners out. Add another migration instead."""
    assert sqlite_migrations()[0].hash == "ea8a6c9b3477a228586c9cab17d4ea854e91209eaf109df0d67904d1f4ee9452"


def test_a_file_gets_what_it_lacks_and_nothing_twice(path: Path) -> None:
    with opened(path, ONE) as (_, connection):
        assert tables(connection) == {"migrations", "one"}
    with opened(path, ONE, TWO) as (_, connection):
        assert tables(connection) == {"migrations", "one", "two"}
        rows = connection.execute("SELECT number, name, hash FROM migrations").fetchall()
        assert rows == [(one.number, one.name, one.hash) for one in (ONE, TWO)]
        assert connection.execute("SELECT x FROM one").fetchall() == [(";",)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    with opened(path, ONE) as (_, connection):
        pass
    with pytest.raises(sqlite3.OperationalError, match="nowhere"), opened(path, ONE, TWO, BROKEN):
        pass
    with opened(path, ONE) as (_, connection):
        assert tables(connection) == {"migrations", "one"}


def test_a_newer_file_is_refused_and_not_changed(path: Path) -> None:
    with opened(path, ONE, TWO):
        pass
    before = path.read_bytes()
    with pytest.raises(StoreFailed, match=r"newer version of modelmux .*0002_two.sql.*install that version") as caught:
        AccountsFile(path, 0.1, [ONE]).open(0.1)
    assert str(caught.value).startswith(f"{path}: ")
    assert path.read_bytes() == before


def test_a_file_with_another_history_is_refused(path: Path) -> None:
    with opened(path, ONE):
        pass
    changed = Migration(1, "0001_one.sql", "CREATE TABLE other (x);")
    with pytest.raises(StoreFailed, match="install the version that made it"):
        AccountsFile(path, 0.1, [changed, TWO]).open(0.1)
    with opened(path, ONE) as (_, connection):
        assert tables(connection) == {"migrations", "one"}


def test_a_worker_of_before_goes_on_beside_a_newer_file(path: Path) -> None:
    with opened(path, ONE) as (file, connection), opened(path, ONE, TWO):
        with file.write(connection):
            connection.execute("INSERT INTO one VALUES (1)")
        assert connection.execute("SELECT count(*) FROM one").fetchone() == (2,)


def _open_at_once(path: Path, barrier: Any, results: Any) -> None:
    barrier.wait()
    with opened(path, ONE, TWO, timeout=30.0) as (_, connection):
        results.put((tables(connection), connection.execute("SELECT count(*) FROM migrations").fetchone()))


def test_processes_that_open_a_new_file_at_once_migrate_it_once(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for number in range(5):
        new = path.with_name(f"{number}.db")
        barrier, results = context.Barrier(4), context.SimpleQueue()
        processes = [context.Process(target=_open_at_once, args=(new, barrier, results)) for _ in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0] * 4
        assert [results.get() for _ in processes] == [({"migrations", "one", "two"}, (2,))] * 4


# Whose file it is


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.write_bytes(b"no database " * 100), "is damaged (file is not a database); restore a backup"),
        (lambda path: path.write_bytes(b""), "not a file of modelmux accounts; move it away"),
        (lambda path: path.mkdir(), "cannot be opened; check that it is a file"),
        (foreign, "not a file of modelmux accounts; move it away"),
    ],
    ids=["text", "empty", "folder", "foreign"],
)
def test_a_file_that_is_not_ours_is_reported_and_not_touched(path: Path, spoil: Any, problem: str) -> None:
    path.parent.mkdir()
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    file = AccountsFile(path, 0.1)
    try:
        file.open(0.1)
    except StoreFailed as error:
        message = str(error)
    except (sqlite3.Error, OSError) as error:
        message = str(file.failure(error))
    assert message.startswith(f"{path}: {problem}")
    assert (path.read_bytes() if path.is_file() else None) == before


def test_only_the_owner_can_read_the_files(path: Path) -> None:
    with opened(path) as (file, connection), file.write(connection):
        connection.execute("INSERT INTO one VALUES (1)")
        names = {file.name for file in path.parent.iterdir()}
        assert names == {"accounts.db", "accounts.db-wal", "accounts.db-shm", "accounts.db-lock"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    path.chmod(0o644)
    with opened(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_path_with_characters_of_urls(tmp_path: Path) -> None:
    path = tmp_path / "a?mode=memory#%41" / "ä b.db"
    with opened(path):
        assert path.is_file()


def test_it_is_set_up_for_durability_and_one_checkpoint_at_a_time(path: Path) -> None:
    with opened(path) as (_, connection):
        values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in (
            "journal_mode", "synchronous", "wal_autocheckpoint", "auto_vacuum")]  # fmt: skip
        assert values == ["wal", 2, 0, 2]


# The lock


def test_a_write_waits_for_the_lock_and_then_says_who_may_have_it(path: Path) -> None:
    with opened(path) as (file, connection):
        with lock_file(file.lock_path, 1.0), pytest.raises(LockTimeout) as caught, file.write(connection):
            pass
        message = str(file.failure(caught.value))
        assert message == f"{path}: another process holds its lock for more than 0.1 s; find it with fuser {path}-lock"
        with file.write(connection):
            connection.execute("INSERT INTO one VALUES (1)")


def test_checkpoints_and_closing_are_under_the_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The traces of all connections, with whether another process could have had the lock at that time."""
    monkeypatch.setattr(accounts_file, "CHECKPOINT_BYTES", 4096)
    with opened(path) as (file, connection):
        free: list[tuple[str, bool]] = []

        def trace(statement: str) -> None:
            try:
                with lock_file(file.lock_path, 0.0):
                    free.append((statement.split()[0], True))
            except LockTimeout:
                free.append((statement.split()[0], False))

        connection.set_trace_callback(trace)
        with file.write(connection):
            connection.execute("INSERT INTO one VALUES (1)")
        with file.read(connection):
            connection.execute("SELECT * FROM one")
        connection.set_trace_callback(None)
    assert free == [
        ("BEGIN", False), ("INSERT", False), ("COMMIT", False), ("PRAGMA", False),
        ("BEGIN", True), ("SELECT", True), ("COMMIT", True),
    ]  # fmt: skip


def test_the_log_stays_small(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_file, "CHECKPOINT_BYTES", 100_000)
    largest = 0
    with opened(path) as (file, connection):
        for _ in range(100):
            with file.write(connection):
                connection.execute("INSERT INTO one VALUES (zeroblob(20000))")
            largest = max(largest, path.with_name("accounts.db-wal").stat().st_size)
    assert 100_000 < largest < 200_000


def test_a_commit_stands_although_its_checkpoint_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_file, "CHECKPOINT_BYTES", 0)
    with opened(path) as (file, connection):
        connection.set_authorizer(
            lambda action, name, *_: sqlite3.SQLITE_DENY if name == "wal_checkpoint" else sqlite3.SQLITE_OK
        )
        with file.write(connection):
            connection.execute("INSERT INTO one VALUES (1)")
        connection.set_authorizer(None)
        assert connection.execute("SELECT count(*) FROM one").fetchone() == (2,)


@pytest.mark.parametrize("reads", [False, True])
def test_a_process_that_was_killed_in_the_middle_of_a_checkpoint_loses_nothing(path: Path, *, reads: bool) -> None:
    """The first page is written already, the rest of the file only stands in the log."""
    killed = path.parent.with_name("killed") / path.name
    killed.parent.mkdir()
    with opened(path) as (file, connection):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        with file.write(connection):
            connection.execute("INSERT INTO one VALUES (zeroblob(200000))")
        before, log = path.read_bytes(), path.with_name("accounts.db-wal").read_bytes()
    with closing(sqlite3.connect(path)) as reader:
        (size,) = reader.execute("PRAGMA page_size").fetchone()
    killed.write_bytes(path.read_bytes()[:size] + before[size:])
    killed.with_name("accounts.db-wal").write_bytes(log)
    file = AccountsFile(killed, 0.1, (ONE, TWO))
    connection = file.open_to_read(0.1, leaves_nothing=True) if reads else file.open(0.1)
    assert connection.execute("SELECT max(length(x)) FROM one").fetchone() == (200_000,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    file.close(connection)


def test_one_thread_holds_a_lock_at_a_time(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "lock", [0], [0]

    def work() -> None:
        for _ in range(50):
            with lock_file(path, 30.0):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most[0], inside[0]) == (1, 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_lock_file_that_was_deleted_meanwhile_is_not_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    entered, release, order = threading.Event(), threading.Event(), []

    def hold() -> None:
        with lock_file(path, 30.0):
            entered.set()
            release.wait()

    def wait() -> None:
        with lock_file(path, 30.0):
            order.append(os.fstat(0) and path.exists())

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait()
    waiter = threading.Thread(target=wait)
    waiter.start()
    path.unlink()
    release.set()
    holder.join()
    waiter.join()
    assert order == [True], "who has the lock has that of the file that others find"


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from modelmux.store.file_lock import lock_file\n"
        "with lock_file(Path(sys.argv[1]), 9.0): print('held', flush=True); time.sleep(99)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(LockTimeout), lock_file(path, 0.0):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with lock_file(path, 0.0):
        pass


# A file that goes away


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced", "directory"])
def test_nothing_is_written_to_a_file_that_is_no_longer_there(path: Path, tmp_path: Path, how: str) -> None:
    with opened(path, ONE) as (file, connection):
        elsewhere = tmp_path / "elsewhere"
        match how:
            case "deleted":
                path.unlink()
            case "moved":
                path.rename(elsewhere)
            case "replaced":
                path.rename(elsewhere)
                with opened(path, ONE):
                    pass
            case "directory":
                path.parent.rename(elsewhere)
        with pytest.raises((FileMoved, FileNotFoundError)), file.write(connection):
            raise AssertionError("the transaction began")
        with pytest.raises(FileMoved), file.read(connection):
            raise AssertionError("the transaction began")
        assert "put it back, or restart" in str(file.failure(FileMoved()))
        if how != "replaced":
            with pytest.raises(FileMoved):
                file.open(0.1)
            assert not path.exists(), "an empty file in its place would hide the loss"


def restore(backup: Path, path: Path) -> None:
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink()
    with path.open("r+b") as file:  # the same file, as cp writes it
        file.truncate()
        file.write(backup.read_bytes())


_INSERT = """
import sys; from pathlib import Path; from modelmux.store.accounts_file import AccountsFile
from modelmux.store.migrate import Migration
file = AccountsFile(Path(sys.argv[1]), 5.0, [Migration(1, "0001_one.sql", sys.argv[2])]); connection = file.open(5.0)
with file.write(connection): connection.execute("INSERT INTO one VALUES (?)", (sys.argv[3],))
file.close(connection)
"""


def insert_elsewhere(path: Path, value: str) -> None:
    """By another process."""
    subprocess.run([sys.executable, "-c", _INSERT, str(path), ONE.sql, value], check=True)


@pytest.mark.parametrize("is_used", [False, True], ids=["unused", "used by another process"])
def test_a_restore_in_place_is_not_read_past(path: Path, tmp_path: Path, is_used: bool) -> None:
    backup = tmp_path / "backup.db"
    with opened(path, ONE):
        pass
    backup.write_bytes(path.read_bytes())
    file = AccountsFile(path, 0.1, (ONE,))
    writer, reader = file.open(0.1), file.open_to_read(0.1)
    with file.write(writer):
        writer.executemany("INSERT INTO one VALUES (?)", [("lost" * 1000,)] * 50)
    restore(backup, path)
    if is_used:
        insert_elsewhere(path, "new")
    for connection in (reader, writer):
        with pytest.raises(LogMoved), file.read(connection):
            raise AssertionError("the transaction began")
    with pytest.raises(LogMoved), file.write(writer):
        raise AssertionError("the transaction began")
    for open_ in (file.open, AccountsFile(path, 0.1, (ONE,)).open_to_read):
        with pytest.raises(LogMoved):
            open_(0.1)
    for connection in (reader, writer):
        file.close(connection)
    message = str(file.failure(LogMoved()))
    assert "stop the gateway, remove both, copy the backup, start the gateway" in message
    if not is_used:
        assert path.read_bytes() == backup.read_bytes(), "closing wrote nothing of before"
    insert_elsewhere(path, "last")
    copy = tmp_path / "copy.db"  # this process would share the old index
    copy.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(copy)) as connection:
        rows = [x for (x,) in connection.execute("SELECT x FROM one")]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert rows == [";", *(["new"] if is_used else []), "last"]


def test_statements_are_divided_where_sqlite_says() -> None:
    script = "-- a;\nCREATE TABLE a (\n  b TEXT DEFAULT ';' -- c;\n);\nINSERT INTO a VALUES (1); -- last\n"
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in migrate.statements(script):
            connection.execute(statement)
        assert connection.execute("SELECT * FROM a").fetchall() == [("1",)]


# Symbolic links, foreign files, other users


def read_all(path: Path) -> tuple[Any, ...]:
    file = AccountsFile(path, 0.1, (ONE, TWO))
    connection = file.open_to_read(0.1)
    try:
        with file.read(connection):
            return tuple(connection.execute("SELECT x FROM one").fetchall())
    finally:
        file.close(connection)


def names_in(directory: Path) -> set[str]:
    return {file.name for file in directory.iterdir()}


def test_a_link_and_its_target_are_one_file_with_one_lock(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(path):
        pass
    link = tmp_path / "link.db"
    link.symlink_to(path)
    monkeypatch.setattr(accounts_file, "CHECKPOINT_BYTES", 1)
    with opened(link) as (file, connection):
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        with file.write(connection):
            connection.execute("INSERT INTO one VALUES (1)")
            with pytest.raises(LockTimeout):
                lock_file(path.with_name("accounts.db-lock"), 0.0).__enter__()
        connection.set_trace_callback(None)
        assert any("wal_checkpoint" in statement for statement in statements)
    assert names_in(tmp_path) == {"state", "link.db"}


def test_a_dangling_link_is_named_and_nothing_is_created(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "mnt" / "accounts.db")
    with pytest.raises(StoreFailed, match=r"link\.db: a symbolic link to .*mnt/accounts\.db, which does not exist"):
        AccountsFile(link, 0.1).open(0.1)
    assert names_in(tmp_path) == {"link.db"}


@pytest.mark.parametrize("how", ["open", "open_to_read"])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_foreign_file_keeps_its_mode_and_gets_no_companion(path: Path, how: str, mode: str) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE mine (x)")
    path.chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(StoreFailed, match="not a file of modelmux accounts"):
        getattr(AccountsFile(path, 0.1), how)(0.1)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (before, 0o644)
    assert names_in(path.parent) == {"accounts.db"}


def test_recognizing_a_file_leaves_the_locks_of_this_process_on_it(path: Path) -> None:
    """The system drops all of them when a process closes any descriptor of the file."""
    with opened(path) as (file, connection), file.write(connection):
        connection.execute("INSERT INTO one VALUES (1)")
        assert read_all(path) == ((";",),)
        code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM one'); c.close()"
        subprocess.run([sys.executable, "-c", code, str(path)], check=True)
        assert path.with_name("accounts.db-wal").exists(), "another process was not the last one"


def test_who_reads_neither_changes_the_mode_nor_makes_a_lock_file(path: Path) -> None:
    with opened(path):
        pass
    path.with_name("accounts.db-lock").unlink()
    path.chmod(0o640)
    assert read_all(path) == ((";",),)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert "accounts.db-lock" not in names_in(path.parent)


def test_who_reads_makes_no_checkpoint_at_the_end(path: Path) -> None:
    with opened(path) as (file, connection):
        with file.write(connection):
            connection.execute("INSERT INTO one VALUES (1)")
        wal = path.with_name("accounts.db-wal").read_bytes()
        copy = path.parent / "copy.db"
        copy.write_bytes(path.read_bytes())
        copy.with_name("copy.db-wal").write_bytes(wal)
    before = copy.read_bytes()
    assert read_all(copy) == ((";",), (1,))
    assert (copy.read_bytes(), copy.with_name("copy.db-wal").read_bytes()) == (before, wal)


def test_who_reads_migrates_first(path: Path) -> None:
    with opened(path, ONE):
        pass
    assert read_all(path) == ((";",),)
    with opened(path, ONE, TWO) as (_, connection):
        assert "two" in tables(connection)


def _as_user(uid: int, path: Path, results: Any) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    try:
        results.put(read_all(path))
    except (StoreFailed, sqlite3.Error) as error:
        results.put(str(error))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs other users")
def test_another_user_reads_a_copy_and_root_locks_no_one_out() -> None:
    with tempfile.TemporaryDirectory() as directory:  # that others may enter, unlike those of pytest
        Path(directory).chmod(0o755)
        path = Path(directory) / "accounts.db"
        with opened(path):
            pass
        path.chmod(0o644)
        path.with_name("accounts.db-lock").unlink()
        context = multiprocessing.get_context("fork")
        results = context.SimpleQueue()
        process = context.Process(target=_as_user, args=(12345, path, results))
        process.start()
        process.join(60)
        assert not results.empty()
        assert results.get() == ((";",),)
        os.chown(path, 12345, 12345)
        with opened(path) as (file, connection), file.write(connection):
            pass
        assert path.with_name("accounts.db-lock").stat().st_uid == 12345


def test_a_lock_file_that_cannot_be_opened_is_the_one_that_is_named(path: Path) -> None:
    with opened(path) as (file, connection):
        file.lock_path.unlink()
        file.lock_path.mkdir()
        with pytest.raises(OSError, match="directory") as caught, file.write(connection):
            pass
        assert str(file.failure(caught.value)).startswith(f"{file.lock_path}: ")
