"""Risk: a change is lost, seen by half, or decided on what is no longer so; an audit row has a digest."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelmux.accounts.budget_edits import adjust, save_budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, revoke_key, rotate_key, save_key, save_person, save_team, set_member
from modelmux.accounts.fields import FieldError
from modelmux.accounts.windows import WindowRule
from modelmux.store.accounts_file import AccountsFile
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author
from modelmux.store.directory.sqlite_directory import SqliteDirectory
from support.directories import NOW, adjustment, budget, key, person, secret, team

ANN = Author("ann", "cli")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteDirectory]:
    store = SqliteDirectory(tmp_path / "accounts.db")
    yield store
    await store.aclose()


async def fill(store: SqliteDirectory) -> Directory:
    for decide in (
        lambda d: save_team(d, team()),
        lambda d: save_person(d, person()),
        lambda d: set_member(d, "usr_a", "team_a", "member"),
        lambda d: save_key(d, key(team="team_a", person="usr_a", tags=(("app", "chat"),)), secret()),
    ):
        directory, _ = await store.change(decide, ANN, NOW)
    return directory


async def test_another_process_reads_what_was_written(store: SqliteDirectory, tmp_path: Path) -> None:
    written = await fill(store)
    other = SqliteDirectory(tmp_path / "accounts.db")
    try:
        for read in (other.load(), await other.read(Directory())):
            assert (read.version, read.keys, read.teams, read.people) == (
                written.version, written.keys, written.teams, written.people,
            )  # fmt: skip
            assert read.secret(secret().digest) == secret()
            assert read.members_of("team_a") == written.members_of("team_a") != []
        assert await other.read(written) is written, "nothing is read twice"
    finally:
        await other.aclose()


async def test_only_changes_are_read(store: SqliteDirectory) -> None:
    known = await fill(store)
    after, _ = await store.change(lambda d: revoke_key(d, "key_a", NOW), ANN, NOW)
    read = await store.read(known)
    assert read.keys["key_a"].status == "revoked"
    assert read.teams is known.teams
    assert known.keys["key_a"].status == "active", "requests keep the directory that they began with"
    assert read.version == after.version == known.version + 1


async def test_what_is_refused_is_not_written(store: SqliteDirectory) -> None:
    before = await fill(store)
    with pytest.raises(FieldError, match="is taken by team_a"):
        await store.change(lambda d: save_team(d, team("team_b")), ANN, NOW)
    assert await store.read(before) is before
    assert len(await store.audit()) == 4


async def test_an_empty_edit_writes_nothing(store: SqliteDirectory) -> None:
    before = await fill(store)
    await store.change(lambda d: revoke_key(d, "key_a", NOW), ANN, NOW)
    revoked = await store.read(before)
    again, edit = await store.change(lambda d: revoke_key(d, "key_a", NOW), ANN, NOW)
    assert (again.version, edit.is_empty) == (revoked.version, True)
    assert len(await store.audit()) == 5


async def test_decisions_of_two_processes_do_not_cross(store: SqliteDirectory, tmp_path: Path) -> None:
    stores = [store, *(SqliteDirectory(tmp_path / "accounts.db") for _ in range(3))]

    async def add(which: SqliteDirectory, id: str) -> bool:
        try:
            await which.change(lambda d: save_team(d, team(id, "the only one")), ANN, NOW)
        except FieldError:
            return False
        return True

    added = await asyncio.gather(*(add(which, f"team_{number}") for number, which in enumerate(stores * 3)))
    assert sum(added) == 1
    for other in stores[1:]:
        await other.aclose()


async def test_changes_are_audited_without_digests(store: SqliteDirectory, tmp_path: Path) -> None:
    await fill(store)
    await store.change(lambda d: rotate_key(d, "key_a", secret("two", created=NOW + 1), 100), Author("bob", "::1"), NOW)
    rotated, created, *_ = await store.audit(subject="key_a")
    assert (rotated.action, rotated.author, rotated.subject) == ("key.rotate", Author("bob", "::1"), "key_a")
    assert "valid_until" not in rotated.before["secret one of key_a"]
    assert rotated.after["secret one of key_a"]["valid_until"] == NOW + 101
    assert (created.action, created.before) == ("key.create", {})
    assert created.after["key_a"]["name"] == "laptop"
    connection = sqlite3.connect(tmp_path / "accounts.db")
    texts = "".join("".join(row) for row in connection.execute("SELECT before, after FROM audit"))
    connection.close()
    assert "digest" not in texts
    pages = [row.number for row in await store.audit(limit=2)], [row.number for row in await store.audit(before=4)]
    assert pages == ([5, 4], [3, 2, 1])


async def test_a_file_that_was_put_back_is_read_anew(store: SqliteDirectory, tmp_path: Path) -> None:
    before = await fill(store)
    known, _ = await store.change(lambda d: save_team(d, team("team_b", "Later")), ANN, NOW)
    with sqlite3.connect(tmp_path / "accounts.db") as connection:
        connection.execute("DELETE FROM directory WHERE version >= 5")
    connection.close()
    read = await store.read(known)
    assert (read.version, read.teams) == (4, before.teams)


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


async def test_a_record_that_cannot_be_read_names_itself(store: SqliteDirectory, tmp_path: Path) -> None:
    await fill(store)
    with sqlite3.connect(tmp_path / "accounts.db") as connection:
        connection.execute("UPDATE directory SET data = '{\"id\": 7}' WHERE id = 'key_a'")
    connection.close()
    with pytest.raises(StoreFailed, match=r"accounts\.db: a key cannot be read: Expected `str`"):
        await store.read(Directory())


async def test_ids_and_names_are_data(store: SqliteDirectory) -> None:
    name = "'; DROP TABLE directory; --"
    directory, _ = await store.change(lambda d: save_team(d, team("team_'x", name)), Author(name, "cli"), NOW)
    assert (await store.read(Directory())).teams == directory.teams
    assert (await store.audit(subject="team_'x"))[0].author.name == name


async def test_nothing_is_written_by_a_change_that_fails_half_way(store: SqliteDirectory) -> None:
    before = await fill(store)
    edit = Edit(action=None, subject="team_a", teams=(team(name="New"),))  # type: ignore[arg-type]  # no audit row
    with pytest.raises(StoreFailed):
        await store.change(lambda _: edit, ANN, NOW)
    assert await store.read(before) is before


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
    assert await store.audit() == []
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


async def test_secrets_with_one_hint_are_audited_each(store: SqliteDirectory) -> None:
    keys = tuple(key(id, id) for id in ("key_a", "key_b"))
    secrets = tuple(replace(secret(one.id, one.id), hint="") for one in keys)
    await store.change(lambda _: Edit(action="import", subject="", keys=keys, secrets=secrets), ANN, NOW)
    (row,) = await store.audit()
    assert set(row.after) == {"key_a", "key_b", "secret  of key_a", "secret  of key_b"}


async def test_budgets_and_what_raises_them_are_read_as_they_were_written(
    store: SqliteDirectory, tmp_path: Path
) -> None:
    window = WindowRule(every="week", zone="Europe/Berlin", starts="sunday", hour=6)
    mine = budget(limit=10**18, window=window, key="key_a", each="end_user", alerts=(), mode="soft", on_short="wait")
    raised = adjustment("adj_b", "override", 7, subject="u1", reason="x", author="ann", until=NOW + 1)
    await fill(store)
    known = store.load()
    for decide in (
        lambda d: save_budget(d, mine),
        lambda d: adjust(d, adjustment(amount=-5)),
        lambda d: adjust(d, raised),
    ):
        await store.change(decide, ANN, NOW)
    for read in (store.load(), await store.read(known)):
        assert read.budgets == {"bud_a": mine}
        assert read.adjustments_of("bud_a") == [adjustment(amount=-5), raised]
        assert read.teams == known.teams
    override, top_up, created = (await store.audit())[:3]
    assert (created.action, created.before, created.after["bud_a"]["limit"]) == ("budget.create", {}, 10**18)
    assert (top_up.action, top_up.subject, top_up.after["adj_a"]["amount"]) == ("budget.top_up", "bud_a", -5)
    assert (override.action, override.before) == ("budget.override", {})


async def test_of_two_processes_that_set_a_budget_at_once_the_second_sees_the_first(
    store: SqliteDirectory, tmp_path: Path
) -> None:
    other = SqliteDirectory(tmp_path / "accounts.db")

    def decide(id: str) -> Callable[[Directory], Edit]:
        return lambda d: save_budget(d, replace(budget(id), limit=1 + sum(one.limit for one in d.budgets.values())))

    results = await asyncio.gather(
        *(one.change(decide(id), ANN, NOW) for one, id in ((store, "bud_a"), (other, "bud_b"))), return_exceptions=True
    )
    (refused,) = (one for one in results if isinstance(one, BaseException))
    assert isinstance(refused, FieldError)
    assert "is taken by bud_" in str(refused)
    assert len(store.load().budgets) == 1
    await other.aclose()
