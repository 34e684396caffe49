"""Risk: a node sees a change late, or creates what it should only read; a failed commit leaves a mark of keys."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import save_key, save_team
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.base import StoreFailed, StoreOutdated
from modelmux.store.directory.base import Author
from modelmux.store.directory.postgres_directory import INTERVAL, PostgresDirectory
from modelmux.store.keyed_mark import KeyedMark
from support.directories import NOW, key, secret, team
from support.postgres import PgBouncer, Server, execute

ANN = Author("ann\0", "cli")


def directory(url: str, path: Path, **options: object) -> PostgresDirectory:
    mark = KeyedMark(path / "accounts", "the database")
    return PostgresDirectory(parse_postgres_url(url), mark, **options)  # type: ignore[arg-type]


@pytest.fixture
async def store(postgres_url: str, tmp_path: Path) -> AsyncIterator[PostgresDirectory]:
    store = directory(postgres_url, tmp_path)
    yield store
    await store.aclose()


async def test_a_change_is_announced(store: PostgresDirectory, postgres_url: str, tmp_path: Path) -> None:
    """Without that, each wait would take the sleep, which does not end here."""

    async def never(seconds: float) -> None:
        assert seconds == INTERVAL
        await asyncio.Event().wait()

    store.load()
    other = directory(postgres_url, tmp_path, listen_url=parse_postgres_url(postgres_url))
    known = Directory()
    await other.next_look(never)  # it listens from now on
    for number in range(3):
        gc.collect()  # what listens is referred to
        waiting = asyncio.create_task(other.next_look(never))
        await store.change(lambda d, n=number: save_team(d, team(f"team_{n}", f"{n}")), ANN, NOW)  # type: ignore[misc]
        await waiting
        known = await other.read(known)
        assert len(known.teams) == number + 1
    await other.aclose()


async def test_without_announcements_one_looks_every_second(store: PostgresDirectory) -> None:
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await store.next_look(sleep)
    assert slept == [INTERVAL]


async def test_a_connection_for_announcements_that_was_cut_is_opened_again(
    store: PostgresDirectory, postgres_url: str, tmp_path: Path
) -> None:
    async def never(_: float) -> None:
        await asyncio.Event().wait()

    store.load()
    other = directory(postgres_url, tmp_path, listen_url=parse_postgres_url(postgres_url))
    await other.next_look(never)
    pids = execute(
        postgres_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' "
        "AND datname = current_database()"
    )  # fmt: skip
    assert len(pids) == 1
    await other.next_look(never)  # one looks once it is back: what was announced meanwhile is not repeated
    await other.aclose()


async def test_a_command_that_only_reads_creates_nothing(postgres_url: str, tmp_path: Path) -> None:
    quiet = directory(postgres_url, tmp_path, leaves_nothing=True)
    with pytest.raises(StoreOutdated, match="next start"):
        quiet.load()
    assert execute(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    await quiet.aclose()


async def test_a_change_whose_commit_fails_leaves_no_mark(
    store: PostgresDirectory, postgres_url: str, tmp_path: Path
) -> None:
    store.load()
    execute(postgres_url, "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END'")
    execute(
        postgres_url,
        "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON directory DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
        "EXECUTE FUNCTION no()",
    )
    for change in (store.change_now, store.change):
        with pytest.raises(StoreFailed, match="no"):
            result = change(lambda d: save_key(d, key(), secret()), ANN, NOW)
            if not isinstance(result, Directory):
                await result
    assert not (tmp_path / "accounts.keyed").exists()
    assert (await store.read(Directory())).version == 0


async def test_through_pgbouncer(postgres_url: str, postgres_server: Server, tmp_path: Path) -> None:
    bouncer = PgBouncer(postgres_server)
    try:
        url = postgres_server.url(postgres_url.rpartition("/")[2], bouncer.port)
        stores = [directory(url, tmp_path) for _ in range(3)]
        await asyncio.gather(
            *(
                one.change(lambda d, n=number: save_team(d, team(f"team_{n}", f"{n}")), ANN, NOW)  # type: ignore[misc]
                for number, one in enumerate(stores * 3)
            )
        )
        for one in stores:
            assert len((await one.read(Directory())).teams) == 9
            assert len((await one.audit()).rows) == 9
            await one.aclose()
    finally:
        bouncer.remove()
