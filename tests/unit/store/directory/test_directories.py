"""Every store of the directory. Risk: a change is lost, seen by half, or decided on what is no longer so; an audit row
has a digest."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from modelmux.accounts.budget_edits import adjust, save_budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, revoke_key, rotate_key, save_key, save_team
from modelmux.accounts.fields import FieldError
from modelmux.accounts.webhooks import Webhook
from modelmux.accounts.windows import WindowRule
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import AuditLimits, AuditPage, AuditRow, Author, DirectoryStore
from modelmux.store.directory.postgres_directory import PostgresDirectory
from modelmux.store.directory.receipts import Once, OtherRequest, Receipt
from modelmux.store.directory.sqlite_directory import SqliteDirectory
from modelmux.store.keyed_mark import KeyedMark
from support.directories import ANN, NOW, adjustment, budget, fill, key, secret, team
from support.postgres import execute


class World:
    """A database that is empty at first. Each store of it is one of another process."""

    def __init__(self, path: Path, url: str | None) -> None:
        self.path = path
        self._url = url
        self._stores: list[DirectoryStore] = []

    def open(self) -> DirectoryStore:
        if self._url is None:
            store: DirectoryStore = SqliteDirectory(self.path)
        else:
            store = PostgresDirectory(parse_postgres_url(self._url), KeyedMark(self.path, "the database"))
        self._stores.append(store)
        return store

    async def sql(self, statement: str) -> list[Any]:
        """What another program does to the database."""
        if self._url is not None:
            return execute(self._url, statement)
        with sqlite3.connect(self.path) as connection:
            rows = connection.execute(statement).fetchall()
        connection.close()
        return rows

    async def aclose(self) -> None:
        for store in self._stores:
            await store.aclose()


@pytest.fixture(params=["sqlite", "postgres"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    world = World(tmp_path / "accounts.db", url)
    yield world
    await world.aclose()


@pytest.fixture
def store(world: World) -> DirectoryStore:
    return world.open()


async def test_another_process_reads_what_was_written(store: DirectoryStore, world: World) -> None:
    written = await fill(store)
    other = world.open()
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


async def test_only_changes_are_read(store: DirectoryStore) -> None:
    known = await fill(store)
    after, _ = await store.change(lambda d: revoke_key(d, "key_a", NOW), ANN, NOW)
    read = await store.read(known)
    assert read.keys["key_a"].status == "revoked"
    assert read.teams is known.teams
    assert known.keys["key_a"].status == "active", "requests keep the directory that they began with"
    assert read.version == after.version == known.version + 1


async def test_what_is_refused_is_not_written(store: DirectoryStore) -> None:
    before = await fill(store)
    with pytest.raises(FieldError, match="is taken by team_a"):
        await store.change(lambda d: save_team(d, team("team_b")), ANN, NOW)
    assert await store.read(before) is before
    assert len((await store.audit()).rows) == 4


async def test_an_empty_edit_writes_nothing(store: DirectoryStore) -> None:
    before = await fill(store)
    await store.change(lambda d: revoke_key(d, "key_a", NOW), ANN, NOW)
    revoked = await store.read(before)
    again, edit = await store.change(lambda d: revoke_key(d, "key_a", NOW), ANN, NOW)
    assert (again.version, edit.is_empty) == (revoked.version, True)
    assert len((await store.audit()).rows) == 5


async def test_a12_decisions_of_two_processes_do_not_cross(store: DirectoryStore, world: World) -> None:
    stores = [store, *(world.open() for _ in range(3))]

    async def add(which: DirectoryStore, id: str) -> bool:
        try:
            await which.change(lambda d: save_team(d, team(id, "the only one")), ANN, NOW)
        except FieldError:
            return False
        return True

    added = await asyncio.gather(*(add(which, f"team_{number}") for number, which in enumerate(stores * 3)))
    assert sum(added) == 1
    for other in stores[1:]:
        await other.aclose()


async def test_changes_are_audited_without_digests(store: DirectoryStore, world: World) -> None:
    await fill(store)
    await store.change(lambda d: rotate_key(d, "key_a", secret("two", created=NOW + 1), 100), Author("bob", "::1"), NOW)
    rotated, created, *_ = (await store.audit(subject="key_a")).rows
    assert (rotated.action, rotated.author, rotated.subject) == ("key.rotate", Author("bob", "::1"), "key_a")
    assert "valid_until" not in rotated.before["secret one of key_a"]
    assert rotated.after["secret one of key_a"]["valid_until"] == NOW + 101
    assert (created.action, created.before) == ("key.create", {})
    assert created.after["key_a"]["name"] == "laptop"
    texts = "".join("".join(row) for row in await world.sql("SELECT before, after FROM audit"))
    assert "digest" not in texts
    first, second = await store.audit(limits=AuditLimits(2)), await store.audit(before=4)
    pages = [row.number for row in first.rows], [row.number for row in second.rows]
    assert pages == ([5, 4], [3, 2, 1])


async def test_a_file_that_was_put_back_is_read_anew(store: DirectoryStore, world: World) -> None:
    before = await fill(store)
    known, _ = await store.change(lambda d: save_team(d, team("team_b", "Later")), ANN, NOW)
    await world.sql("DELETE FROM directory WHERE version >= 5")
    read = await store.read(known)
    assert (read.version, read.teams) == (4, before.teams)


async def test_a_record_that_cannot_be_read_names_itself(store: DirectoryStore, world: World) -> None:
    await fill(store)
    await world.sql("UPDATE directory SET data = '{\"id\": 7}' WHERE id = 'key_a'")
    with pytest.raises(StoreFailed, match=r"[\w/.-]+(?:accounts\.db|test_\d+): a key cannot be read: Expected `str`"):
        await store.read(Directory())


async def test_ids_and_names_are_data(store: DirectoryStore) -> None:
    name = "'; DROP TABLE directory; --"
    directory, _ = await store.change(lambda d: save_team(d, team("team_'x", name)), Author(name, "cli"), NOW)
    assert (await store.read(Directory())).teams == directory.teams
    assert (await store.audit(subject="team_'x")).rows[0].author.name == name


async def test_nothing_is_written_by_a_change_that_fails_half_way(store: DirectoryStore) -> None:
    before = await fill(store)
    edit = Edit(action=None, subject="team_a", teams=(team(name="New"),))  # type: ignore[arg-type]  # no audit row
    with pytest.raises(StoreFailed):
        await store.change(lambda _: edit, ANN, NOW)
    assert await store.read(before) is before


async def test_records_of_a_change_that_are_too_long_are_left_out(store: DirectoryStore) -> None:
    await fill(store)
    whole = (await store.audit()).rows
    sizes = {row.number: len(msgspec.json.encode(row.before)) + len(msgspec.json.encode(row.after)) for row in whole}
    longest = sorted(sizes.values())[len(sizes) // 2]
    cut = await store.audit(limits=AuditLimits(longest=longest))
    for row, before in zip(cut.rows, whole, strict=True):
        if sizes[row.number] <= longest:
            assert row == before
        else:
            assert (row.is_cut, row.before, row.after) == (True, {}, {})
            assert (row.number, row.action, row.subject) == (before.number, before.action, before.subject)
    assert any(row.is_cut for row in cut.rows)
    assert not any(row.is_cut for row in whole)


def size_of(row: AuditRow) -> int:
    return len(bytes(row.before_json)) + len(bytes(row.after_json))


async def test_a_page_of_changes_ends_where_its_records_are_long_enough(store: DirectoryStore) -> None:
    for number in range(5):
        await store.note(ANN, NOW + number, "note", "", {"x": {"text": "ü" * (100 + number)}})
    whole = (await store.audit()).rows
    two = size_of(whole[0]) + size_of(whole[1])
    assert await store.audit(limits=AuditLimits(most=two)) == AuditPage(whole[:2], has_more=True)
    assert await store.audit(limits=AuditLimits(most=two - 1)) == AuditPage(whole[:1], has_more=True), "bytes count"
    assert await store.audit(limits=AuditLimits(most=sum(map(size_of, whole)))) == AuditPage(whole, has_more=False)
    seen, page = [], AuditPage([], has_more=True)
    while page.has_more:  # each has one at least, whatever it has
        page = await store.audit(before=page.rows[-1].number if page.rows else None, limits=AuditLimits(most=1))
        assert len(page.rows) == 1
        seen += page.rows
    assert seen == whole
    cut = await store.audit(limits=AuditLimits(longest=1, most=1))
    assert (len(cut.rows), cut.has_more) == (5, False), "what comes without its records takes no room"
    assert all(row.is_cut for row in cut.rows)


async def test_a_page_of_changes_says_whether_there_are_older_ones(store: DirectoryStore) -> None:
    await fill(store)
    numbers = [row.number for row in (await store.audit()).rows]
    for limit in range(1, 6):
        page = await store.audit(limits=AuditLimits(limit))
        assert [row.number for row in page.rows] == numbers[:limit]
        assert page.has_more == (limit < len(numbers))
    of_one = await store.audit(subject="key_a", limits=AuditLimits(1))
    assert (len(of_one.rows), of_one.has_more) == (1, False), "rows of others do not count"
    assert await store.audit(before=numbers[-1]) == AuditPage([], has_more=False)


async def test_no_audit_row_has_what_is_for_the_gateway_alone(store: DirectoryStore) -> None:
    key_a, hook = key("key_a"), Webhook(id="whk_a", name="pager", url="https://x.example/p", pepper="pepper-id")
    edit = Edit(
        action="import", subject="", keys=(key_a,), secrets=(replace(secret(key="key_a"), pepper="pepper-id"),),
        webhooks=(hook,),
    )  # fmt: skip
    await store.change(lambda _: edit, ANN, NOW)
    (row,) = (await store.audit()).rows
    assert set(row.after) == {"key_a", "secret one of key_a", "whk_a"}
    assert b"pepper" not in bytes(row.after_json)
    assert b"digest" not in bytes(row.after_json)


async def test_a_note_is_in_the_audit_log_and_changes_no_record(store: DirectoryStore) -> None:
    directory = await fill(store)
    await store.note(ANN, NOW + 7, "request.end", "live_1_a_1", {"live_1_a_1": {"key": "key_a"}})
    (row,) = (await store.audit(subject="live_1_a_1")).rows
    assert (row.at, row.author, row.action, row.before) == (NOW + 7, ANN, "request.end", {})
    assert row.after == {"live_1_a_1": {"key": "key_a"}}
    read = await store.read(directory)
    assert (read.version, read.keys, read.teams) == (directory.version, directory.keys, directory.teams)
    changed, _ = await store.change(lambda d: revoke_key(d, "key_a", NOW), ANN, NOW + 8)
    assert changed.version == directory.version + 1


async def test_secrets_with_one_hint_are_audited_each(store: DirectoryStore) -> None:
    keys = tuple(key(id, id) for id in ("key_a", "key_b"))
    secrets = tuple(replace(secret(one.id, one.id), hint="") for one in keys)
    await store.change(lambda _: Edit(action="import", subject="", keys=keys, secrets=secrets), ANN, NOW)
    (row,) = (await store.audit()).rows
    assert set(row.after) == {"key_a", "key_b", "secret  of key_a", "secret  of key_b"}


async def test_budgets_and_what_raises_them_are_read_as_they_were_written(store: DirectoryStore, world: World) -> None:
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
    override, top_up, created = (await store.audit()).rows[:3]
    assert (created.action, created.before, created.after["bud_a"]["limit"]) == ("budget.create", {}, 10**18)
    assert (top_up.action, top_up.subject, top_up.after["adj_a"]["amount"]) == ("budget.top_up", "bud_a", -5)
    assert (override.action, override.before) == ("budget.override", {})


async def test_of_two_processes_that_set_a_budget_at_once_the_second_sees_the_first(
    store: DirectoryStore, world: World
) -> None:
    other = world.open()

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


async def test_a_request_that_is_repeated_changes_nothing_twice(store: DirectoryStore, world: World) -> None:
    receipts: list[Receipt] = []

    def again(_: Directory, receipt: Receipt) -> Edit:
        receipts.append(receipt)
        return Edit(action="", subject=receipt.subject)

    once = Once("ann POST /keys 1", b"print", again)
    for _ in range(2):
        await store.change(lambda d: save_key(d, key(), secret()), ANN, NOW, once)
    assert receipts == [Receipt("key_a", secret().digest.hex())]
    with pytest.raises(OtherRequest):
        await world.open().change(lambda d: save_team(d, team()), ANN, NOW, Once(once.name, b"other", again))
    later = NOW + 25 * 3600 * 1_000_000
    await store.change(lambda d: save_team(d, team()), ANN, later, Once(once.name, b"other", again))
    assert len((await store.audit()).rows) == 2


async def test_a_database_that_has_lost_its_keys_is_an_error(store: DirectoryStore, world: World) -> None:
    await store.change(lambda d: save_team(d, team("team_c", "first")), ANN, NOW)
    mark = world.path.with_name("accounts.db.keyed")
    assert not mark.exists(), "there is no key yet"
    known = await fill(store)
    assert mark.exists()
    await world.sql("DELETE FROM directory")
    for other in (store, world.open()):
        with pytest.raises(StoreFailed, match=r"has no keys, but it had some: .*; put back its backup, or remove"):
            await other.read(known)
        with pytest.raises(StoreFailed, match="has no keys"):
            other.change_now(lambda d: save_team(d, team("team_d", "new")), ANN, NOW)
    mark.unlink()
    assert (await store.read(known)).keys == {}


async def test_at_a_start_and_a_reload_a_change_is_made_without_an_event_loop_of_the_caller(
    store: DirectoryStore, world: World
) -> None:
    """``change_now`` runs while one runs in this thread."""
    after = store.change_now(lambda d: save_key(d, key(), secret()), ANN, NOW)
    assert (await world.open().read(Directory())).keys == after.keys == store.load().keys
    with pytest.raises(FieldError):
        store.change_now(lambda d: save_key(d, key("key_b"), secret("b", "key_b")), ANN, NOW)
