"""Risk: a change is lost, seen by half, or decided on what is no longer so; an audit row has a digest."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, save_key, save_team
from modelmux.store.accounts_file import AccountsFile
from modelmux.store.base import StoreFailed
from modelmux.store.directory.sqlite_directory import SqliteDirectory
from support.directories import ANN, NOW, fill, key, secret, team


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteDirectory]:
    store = SqliteDirectory(tmp_path / "accounts.db")
    yield store
    await store.aclose()


@pytest.mark.parametrize("later", [1, 2], ids=["as many changes", "more changes"])
async def test_a_backup_that_was_put_back_is_read_anew_whatever_was_changed_in_it_since(
    store: SqliteDirectory, tmp_path: Path, later: int
) -> None:
    await fill(store)
    path, backup = tmp_path / "accounts.db", tmp_path / "backup.db"
    _copy(path, backup)
    known, _ = await store.change(lambda d: save_key(d, key("key_b", "lost"), secret("b", "key_b")), ANN, NOW + 1)
    _copy(backup, path)  # as `.restore` of sqlite3 does, while the gateway runs
    for number in range(later):
        await SqliteDirectory(path).change(
            lambda d, id=f"team_{number}": save_team(d, team(id, id)), ANN, NOW + 2  # type: ignore[misc]
        )  # fmt: skip
    read = await store.read(known)
    assert read.version == known.version + later - 1
    assert set(read.keys) == {"key_a"}
    assert read.secret(secret("b").digest) is None
    changed, _ = await store.change(lambda d: save_key(d, key("key_c", "new"), secret("c", "key_c")), ANN, NOW + 3)
    assert set(changed.keys) == {"key_a", "key_c"}, "what writes looks at the same"


def _copy(source: Path, target: Path) -> None:
    with sqlite3.connect(source) as old, sqlite3.connect(target) as new:
        old.backup(new)
    old.close()
    new.close()


async def test_an_empty_database_in_place_of_one_with_keys_is_an_error(store: SqliteDirectory, tmp_path: Path) -> None:
    known = await fill(store)
    await store.aclose()
    (tmp_path / "accounts.db").unlink()
    message = r"accounts\.db has no keys, but it had some: .*; put back its backup, or remove .*accounts\.db\.keyed"
    for is_empty in (False, True):
        if is_empty:
            with contextlib.closing(AccountsFile(tmp_path / "accounts.db").open(1.0)):
                pass
        other = SqliteDirectory(tmp_path / "accounts.db")
        with pytest.raises(StoreFailed, match=message):
            other.load()
        for directory in (Directory(), known):
            with pytest.raises(StoreFailed, match=message if is_empty or not directory.version else "accounts"):
                await other.read(directory)
        with pytest.raises(StoreFailed, match=message):
            other.change_now(lambda d: save_team(d, team()), ANN, NOW)
        await other.aclose()
    (tmp_path / "accounts.db.keyed").unlink()
    assert SqliteDirectory(tmp_path / "accounts.db").load().version == 0


async def test_a_mark_that_could_not_be_set_is_set_by_the_next_start(
    store: SqliteDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    mark = tmp_path / "accounts.db.keyed"
    await store.change(lambda d: save_team(d, team("team_c", "first")), ANN, NOW)
    assert not mark.exists(), "there is no key yet"
    with monkeypatch.context() as patch:
        patch.setattr("modelmux.store.keyed_mark.create_once", fail)
        await fill(store)
    assert not mark.exists()
    store.change_now(lambda d: Edit(action="", subject=""), ANN, NOW)
    assert mark.stat().st_mode & 0o777 == 0o600


async def test_reading_creates_nothing(store: SqliteDirectory, tmp_path: Path) -> None:
    def names() -> list[str]:
        return sorted(path.name for path in tmp_path.iterdir())

    assert store.load().version == (await store.read(Directory())).version == 0
    assert (await store.audit()).rows == []
    assert names() == []
    await fill(store)
    assert (await store.read(Directory())).keys
    await store.aclose()
    before = names()
    quiet = SqliteDirectory(tmp_path / "accounts.db", leaves_nothing=True)
    assert quiet.load().keys
    assert names() == before


async def test_a_link_to_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "accounts.db").symlink_to(tmp_path / "unmounted" / "accounts.db")
    store = SqliteDirectory(tmp_path / "accounts.db")
    with pytest.raises(StoreFailed, match="mount its disk"):
        store.load()
    await store.aclose()


async def test_a_note_is_not_written_into_an_empty_file_in_place_of_a_lost_one(
    store: SqliteDirectory, tmp_path: Path
) -> None:
    await fill(store)
    (tmp_path / "accounts.db").unlink()
    with pytest.raises(StoreFailed):
        await store.note(ANN, NOW, "request.end", "live_1_a_2", {})
