"""What ``modelmux doctor`` says of the seal key and of stored responses. Risk: it changes what it looks at."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from modelmux.cli.doctor import state as checks
from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.cli.doctor.state import check_state, unwritable
from modelmux.config import Config, Loaded
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.runtime import Runtime
from modelmux.store import accounts_check
from modelmux.store.base import StoreFailed
from modelmux.store.file_kinds import RESPONSES
from modelmux.store.ledger.postgres_ledger import PostgresLedger
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.store.local_state import LocalState
from modelmux.store.open_responses import open_responses
from support.postgres import Server
from support.processes import START_SECONDS

KEYS = [bytes(range(n, n + 64)).hex() for n in (0, 64)]


def check(directory: Path, **settings: Any) -> tuple[Result, Result]:
    """The results of the key and of the store."""
    config = Config.from_dict({**settings, "server": {"state_dir": str(directory), **settings.get("server", {})}})
    context = DoctorContext(None, {}, {}, {}, Loaded(config, ()))
    before = snapshot(directory)
    key, store, *_ = check_state(context)
    assert snapshot(directory) == before
    return key, store


def snapshot(directory: Path) -> list[tuple[str, bytes]]:
    return sorted((path.name, path.read_bytes()) for path in directory.iterdir()) if directory.is_dir() else []


def test_before_the_first_start(tmp_path: Path) -> None:
    key, store = check(tmp_path / "new")
    assert (key.status, key.detail) == ("ok", f"{tmp_path}/new/seal.key will be created")
    assert (store.status, store.detail) == ("ok", "in memory, for 1 h after their last use")
    assert not (tmp_path / "new").exists()


def test_after_a_start(tmp_path: Path) -> None:
    LocalState(tmp_path).seal_key()
    settings = {"responses": {"store": "sqlite", "ttl": "2d"}}
    open_responses(Config.from_dict(settings), LocalState(tmp_path), Runtime())
    key, store = check(tmp_path, **settings)
    assert (key.status, key.detail) == ("ok", f"{tmp_path}/seal.key")
    assert (store.status, store.detail) == ("ok", f"in {tmp_path}/responses.sqlite3, for 2 d after their last use")


@pytest.mark.parametrize(("count", "detail"), [(1, "configured"), (2, "2 configured")])
def test_configured_keys_are_counted_and_not_shown(tmp_path: Path, count: int, detail: str) -> None:
    key, _ = check(tmp_path, server={"seal_keys": KEYS[:count]})
    assert (key.status, key.detail) == ("ok", detail)


def test_off(tmp_path: Path) -> None:
    _, store = check(tmp_path, responses={"store": "off"})
    assert (store.status, store.detail) == ("ok", "turned off by responses.store")


def test_memory_that_workers_do_not_share(tmp_path: Path) -> None:
    _, store = check(tmp_path, server={"workers": 3}, responses={"store": "memory"})
    assert (store.status, store.detail) == ("warn", "in memory, for 1 h after their last use")
    assert "3 workers" in (store.hint or "")
    assert '"sqlite"' in (store.hint or "")


@pytest.mark.parametrize("kind", ["memory", "off"])
def test_a_file_that_nothing_reads_any_more(tmp_path: Path, kind: str) -> None:
    settings = {"responses": {"store": "sqlite"}}
    open_responses(Config.from_dict(settings), LocalState(tmp_path), Runtime())
    _, store = check(tmp_path, responses={"store": kind})
    assert store.status == "warn"
    assert f"{tmp_path}/responses.sqlite3" in (store.hint or "")
    assert "delete it" in (store.hint or "")


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for result in check(tmp_path / "file" / "state", server={"workers": 2}):
        assert result.status == "warn"
        assert f"{tmp_path}/file is not a directory" in result.detail
        assert "server.state_dir" in (result.hint or "")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert unwritable(tmp_path / "a" / "b") == f"{tmp_path}/a/b: no permission to write in {tmp_path}"


def test_what_permissions_do_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    assert unwritable(tmp_path / "a") is None
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert unwritable(tmp_path / "a") == f"{tmp_path}/a: cannot write in {tmp_path}: Read-only file system"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_file_system_that_takes_no_files() -> None:
    assert unwritable(Path("/proc/foo")) is not None


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = LocalState(None, "there is no home directory")
    monkeypatch.setattr(checks.LocalState, "of_service", lambda *_: nowhere)
    config = Config.from_dict({"server": {"workers": 2}})
    for result in check_state(DoctorContext(None, {}, {}, {}, Loaded(config, ()))):
        assert result.status == "warn"
        assert "there is no home directory" in result.detail


def test_without_a_configuration_there_is_nothing_to_check() -> None:
    assert list(check_state(DoctorContext(None, {}, {}, {}))) == []


def test_a_key_that_others_can_read(tmp_path: Path) -> None:
    LocalState(tmp_path).seal_key()
    (tmp_path / "seal.key").chmod(0o640)
    key, _ = check(tmp_path)
    assert (key.status, key.hint) == ("warn", f"run chmod 600 {tmp_path}/seal.key")


def test_a_file_that_holds_no_key(tmp_path: Path) -> None:
    (tmp_path / "seal.key").write_text("hello")
    key, _ = check(tmp_path)
    assert key.status == "warn"
    assert "hello" not in key.detail


def test_a_key_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "seal.key").symlink_to("seal.key")
    context = DoctorContext(None, {}, {}, {}, Loaded(Config.from_dict({"server": {"state_dir": str(tmp_path)}}), ()))
    key, _ = check_state(context)
    assert key.status == "warn"
    assert "server.seal_keys" in (key.hint or "")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"text", "file is not a database"),
        (b"SQLite format 3\0" + bytes(84), "not a file of stored responses"),
        (b"SQLite format 3\0".ljust(60, b"\0") + b"\0\0\0\x09\0\0\0\0MMXR".ljust(40, b"\0"), "its format is 9"),
    ],
)
def test_a_file_that_is_not_ours(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "responses.sqlite3").write_bytes(content)
    _, store = check(tmp_path, responses={"store": "sqlite"})
    assert store.status == "warn"
    assert problem in store.detail
    assert "move the file away" in (store.hint or "")


def test_a_store_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "responses.sqlite3").mkdir()
    assert "Is a directory" in (checks.file_problem(tmp_path / "responses.sqlite3", RESPONSES) or "")
    (tmp_path / "file").touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        assert "no permission to write" in (checks.file_problem(tmp_path / "file", RESPONSES) or "")
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    assert checks.file_problem(tmp_path / "file", RESPONSES) == "this Python has no module sqlite3"


def ledger(directory: Path, check: str = "ledger", **accounts: Any) -> Result:
    config = Config.from_dict({"accounts": {"enabled": True, **accounts}, "server": {"state_dir": str(directory)}})
    before = snapshot(directory)
    results = list(check_state(DoctorContext(None, {}, {}, {}, Loaded(config, ()))))
    assert snapshot(directory) == before
    return next(result for result in results if result.check == check)


def test_a_ledger_in_postgresql(postgres_url: str, tmp_path: Path) -> None:
    def look(store: str) -> tuple[str, str]:
        result = ledger(tmp_path, store=store, peppers=["p" * 40])
        assert "a%2Fpass" not in f"{result}"
        return result.status, f"{result.detail}; {result.hint}"

    name = postgres_url.rpartition("@")[2]
    status, text = look(postgres_url)
    assert (status, text) == ("ok", f"in postgresql://{name}, which the next start of the gateway prepares; None")
    PostgresLedger(parse_postgres_url(postgres_url)).check()
    assert look(postgres_url) == ("ok", f"in postgresql://{name}; nodes alive: 0; None")
    status, text = look(postgres_url.replace("test_", "absent_"))
    assert status == "fail"
    assert text.endswith("create it, or correct accounts.store")


def test_a_failover_without_a_synchronous_standby_loses_something(own_postgres_server: Server, tmp_path: Path) -> None:
    url = own_postgres_server.new_database()
    PostgresLedger(parse_postgres_url(url)).check()
    name = url.rpartition("/")[2]

    def look() -> Result:
        return ledger(tmp_path, "database failover", store=url, peppers=["p" * 40])

    result = look()
    assert (result.status, result.detail[:28]) == ("warn", "synchronous_standby_names is")
    assert "standby" in str(result.hint)
    own_postgres_server.execute("ALTER SYSTEM SET synchronous_standby_names = 'other'", name)
    own_postgres_server.execute("SELECT pg_reload_conf()", name)
    end = time.monotonic() + START_SECONDS
    while look().status != "ok":
        assert time.monotonic() < end


def test_a_link_to_no_ledger(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "state" / "accounts.db")
    result = ledger(tmp_path / "state", store=f"sqlite:{link}")
    assert result.status == "fail"
    assert "which does not exist; mount its disk" in result.detail


def test_the_ledger(tmp_path: Path) -> None:
    file = tmp_path / "accounts.db"
    result = ledger(tmp_path)
    assert (result.check, result.status, result.detail) == ("ledger", "ok", f"in {file}")
    SqliteLedger(file).check()
    result = ledger(tmp_path)
    assert (result.status, result.detail) == ("ok", f"in {file}"), "one that is in use is fine"
    open_responses(Config.from_dict({"responses": {"store": "sqlite"}}), LocalState(tmp_path), Runtime())
    file.write_bytes((tmp_path / "responses.sqlite3").read_bytes())
    result = ledger(tmp_path)
    assert (result.status, "not a file of modelmux accounts" in result.detail) == ("fail", True)
    file.write_bytes(b"something else" * 20)
    result = ledger(tmp_path)
    assert result.status == "fail"
    assert str(file) in result.detail
    assert "accounts.store" in (result.hint or "")
    result = ledger(tmp_path, store="ledger.db")
    assert (result.status, result.detail) == (
        "fail",
        "accounts.store: 'ledger.db' is neither \"sqlite:\" and the path of a file nor the URL of a database",
    )
    (tmp_path / "a file").touch()
    assert ledger(tmp_path, store=f"sqlite:{tmp_path}/a file/x.db").status == "fail"


def test_a_full_disk_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Path("/dev/full").open("wb"))  # noqa: SIM115
    assert unwritable(tmp_path) == f"{tmp_path}: cannot write in {tmp_path}: No space left on device"
    result = ledger(tmp_path)
    assert (result.status, "room" in (result.hint or "")) == ("fail", True)


def test_a_damaged_ledger_is_seen_whose_first_page_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "accounts.db"
    SqliteLedger(file).check()
    pages = file.read_bytes()
    file.write_bytes(pages[:8192] + os.urandom(len(pages) - 8192))
    result = ledger(tmp_path)
    assert (result.status, "accounts.db: is damaged" in result.detail) == ("fail", True)
    assert "restore a backup" in (result.hint or "")


def test_a_ledger_that_another_program_has_locked_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_check, "_LOCK_SECONDS", 0.01)
    file = tmp_path / "accounts.db"
    SqliteLedger(file).check()
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        result = ledger(tmp_path)
        assert (result.status, "is locked by another program" in result.detail) == ("fail", True)
        assert "end that" in (result.hint or "")
        other.execute("ROLLBACK")
        assert ledger(tmp_path).status == "ok", "one that is open is fine"


class AtOnce:
    """A timer whose seconds pass when the connection is in the middle of its first statement."""

    def __init__(self, seconds: float, interrupt: Any) -> None:
        self.calls: list[Any] = [seconds]
        self._interrupt = interrupt

    def start(self) -> None:
        def interrupt() -> int:
            self._interrupt()
            return 0

        self._interrupt.__self__.set_progress_handler(interrupt, 1)

    def cancel(self) -> None:
        self._interrupt.__self__.set_progress_handler(None, 0)
        self.calls.append("cancel")

    def join(self) -> None:
        self.calls.append("join")


def test_a_large_ledger_is_read_for_some_seconds_only(tmp_path: Path) -> None:
    """By a thread of its own: SQLite reads the whole file in one instruction."""
    timers: list[AtOnce] = []

    def timer(seconds: float, interrupt: Any) -> AtOnce:
        timers.append(AtOnce(seconds, interrupt))
        return timers[-1]

    file = tmp_path / "accounts.db"
    SqliteLedger(file).check()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'usage_month'").fetchone()
    with file.open("r+b") as damaged:
        damaged.seek((page - 1) * 4096)
        damaged.write(b"x" * 4096)
    with pytest.raises(StoreFailed, match="is damaged"):
        accounts_check.check_accounts_file(file)
    accounts_check.check_accounts_file(file, timer)  # what is damaged comes after these seconds
    assert [one.calls for one in timers] == [[accounts_check.CHECK_SECONDS, "cancel", "join"]]


def test_the_log_of_a_ledger_whose_process_was_killed_is_left_as_it_is(tmp_path: Path) -> None:
    file, left = tmp_path / "accounts.db", tmp_path / "left"
    left.mkdir()
    SqliteLedger(file).check()
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA wal_autocheckpoint = 0")
        other.execute("UPDATE ledger_state SET dropped_before = 5")
        for name in ("accounts.db", "accounts.db-wal", "accounts.db-shm"):
            (left / name).write_bytes((tmp_path / name).read_bytes())
    before = {name: (left / name).read_bytes() for name in ("accounts.db", "accounts.db-wal")}
    assert before["accounts.db-wal"]
    accounts_check.check_accounts_file(left / "accounts.db")
    assert {name: (left / name).read_bytes() for name in before} == before


def captured(directory: Path, **settings: Any) -> list[Result]:
    config = Config.from_dict({"server": {"state_dir": str(directory)}, **settings})
    results = check_state(DoctorContext(None, {}, {}, {}, Loaded(config, ())))
    return [result for result in results if result.check == "captured bodies"]


def test_whose_bodies_are_kept_is_said_where_any_are(tmp_path: Path) -> None:
    assert captured(tmp_path) == []
    on = {"capture": {"enabled": True, "without_account": True, "days": 1}}
    (result,) = captured(tmp_path, **on)
    assert result.status == "ok"
    assert result.detail == f"of all requests without a virtual key, in {tmp_path}/captures.db for a day"
    (result,) = captured(tmp_path, capture={"enabled": True})
    assert (result.status, "no key can opt in" in result.detail) == ("fail", True)
    (tmp_path / "captures.db").write_bytes(b"x" * 200)
    (result,) = captured(tmp_path)
    assert (result.status, "has those of before" in result.detail) == ("warn", True)
    (result,) = captured(tmp_path, **on)
    assert (result.status, "is not a database" in result.detail) == ("warn", True)
