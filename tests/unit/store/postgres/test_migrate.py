"""Risk: a migration is applied twice or by half, or a gateway works on a schema that it does not know."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from modelmux.accounts.directory import Directory
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.dialects.aes_siv_sealer import AesSivSealer
from modelmux.store import postgres_responses, postgres_thinking
from modelmux.store.base import ResponseLimits, StoreFailed, StoreOutdated
from modelmux.store.directory import postgres_directory
from modelmux.store.directory.base import Author
from modelmux.store.directory.postgres_directory import PostgresDirectory
from modelmux.store.keyed_mark import KeyedMark
from modelmux.store.ledger import postgres_ledger
from modelmux.store.ledger.postgres_ledger import PostgresLedger
from modelmux.store.migrate import Migration
from modelmux.store.postgres import thread
from modelmux.store.postgres.migrate import (
    ACCOUNTS,
    CONVERSATIONS,
    Applied,
    check_conversations_usable,
    check_migrated,
    check_usable,
    conversation_migrations,
    migrate,
    postgres_migrations,
    usable_from,
)
from modelmux.store.postgres.session import connect
from modelmux.store.postgres_responses import PostgresResponseStore
from modelmux.store.postgres_thinking import PostgresThinkingRows
from support.directories import NOW
from support.postgres import PgBouncer, Server, execute

FIRST = Migration(1, "0001_a.sql", "CREATE TABLE a (n bigint);\nINSERT INTO a VALUES (1);\n")
SECOND = Migration(2, "0002_b.sql", "-- usable from 1\nCREATE TABLE b (n bigint);\n")
THIRD = Migration(3, "0003_c.sql", "DROP TABLE a;\n")

#: Two of these at once, as two nodes that start. What they apply takes long enough for both to be there.
PROCESS = """
import asyncio, sys
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.migrate import Migration
from modelmux.store.postgres.migrate import migrate
from modelmux.store.postgres.session import connect

async def main():
    connection = await connect(parse_postgres_url(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    sql = "CREATE TABLE a (n bigint); INSERT INTO a VALUES (1); SELECT pg_sleep(0.3);"
    await migrate(connection, [Migration(1, "0001_a.sql", sql)])
    await connection.close()

asyncio.run(main())
"""


async def apply(url: str, migrations: Sequence[Migration] | None = None, function: Any = migrate) -> None:
    connection = await connect(parse_postgres_url(url))
    try:
        await function(connection, migrations)
    finally:
        await connection.close()


async def test_each_migration_is_applied_once(postgres_url: str) -> None:
    await apply(postgres_url, [FIRST])
    await apply(postgres_url, [FIRST, SECOND])
    await apply(postgres_url, [FIRST, SECOND])
    assert execute(postgres_url, "SELECT n FROM a") == [(1,)]
    assert execute(postgres_url, "SELECT number, name, hash, usable_from FROM modelmux_migrations ORDER BY 1") == [
        (1, "0001_a.sql", FIRST.hash, 1), (2, "0002_b.sql", SECOND.hash, 1),
    ]  # fmt: skip


async def test_of_two_that_fail_none_is_applied(postgres_url: str) -> None:
    with pytest.raises(Exception, match="syntax error"):
        await apply(postgres_url, [FIRST, Migration(2, "0002_x.sql", "CREATE NONSENSE;")])
    with pytest.raises(StoreOutdated, match="next start"):
        await apply(postgres_url, [FIRST], check_migrated)
    await apply(postgres_url, [FIRST])
    await apply(postgres_url, [FIRST], check_migrated)


async def test_a_migration_may_need_that_those_before_it_are_committed(postgres_url: str) -> None:
    """What was committed stays if it fails, and the next start goes on behind that."""
    fourth = Migration(4, "0004_d.sql", "-- usable from 1\n-- after a commit\nINSERT INTO b SELECT count(*) FROM a;\n")
    broken = replace(fourth, sql="-- usable from 1\n-- after a commit\nCREATE NONSENSE;\n")
    with pytest.raises(Exception, match="syntax error"):
        await apply(postgres_url, [FIRST, SECOND, broken])
    assert execute(postgres_url, "SELECT number FROM modelmux_migrations ORDER BY 1") == [(1,), (2,)]
    await asyncio.gather(*(apply(postgres_url, [FIRST, SECOND, fourth]) for _ in range(3)))
    assert execute(postgres_url, "SELECT n FROM b") == [(1,)]


async def test_a_changed_migration_is_an_error(postgres_url: str) -> None:
    await apply(postgres_url, [FIRST])
    with pytest.raises(StoreFailed, match="install the version that made it"):
        await apply(postgres_url, [Migration(1, "0001_a.sql", "SELECT 1;")])


async def test_a_step_that_takes_too_long_is_taken_back_and_says_how_to_give_it_more_time(postgres_url: str) -> None:
    """The error is that of a statement that the server ends, whenever it does."""
    too_long = "DO $$ BEGIN IF EXISTS (SELECT FROM a) THEN RAISE SQLSTATE '57014'; END IF; END $$;"
    slow = Migration(
        2, "0002_slow.sql", f"CREATE TABLE b AS SELECT current_setting('statement_timeout');\n{too_long}\n"
    )

    async def in_two_hours(connection: Any, wanted: Sequence[Migration] | None) -> None:
        await migrate(connection, wanted, timeout=7_200.0)

    await apply(postgres_url, [FIRST])
    with pytest.raises(StoreFailed, match=r"0002_slow.sql took longer than 600 s.* migration_timeout=SECONDS"):
        await apply(postgres_url, [FIRST, slow])
    assert execute(postgres_url, "SELECT number, to_regclass('b') FROM modelmux_migrations") == [(1, None)]
    execute(postgres_url, "DELETE FROM a")
    await apply(postgres_url, [FIRST, slow], in_two_hours)
    assert execute(postgres_url, "SELECT count(*), (SELECT * FROM b) FROM modelmux_migrations") == [(2, "2h")]


@pytest.mark.parametrize("module", [postgres_ledger, postgres_directory, postgres_responses, postgres_thinking])
def test_each_store_gives_a_step_the_time_of_its_url(
    module: ModuleType, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[float] = []

    async def noting(*arguments: Any, timeout: float) -> None:
        times.append(timeout)
        await migrate(*arguments, timeout=timeout)

    monkeypatch.setattr(module, "migrate", noting)
    url = parse_postgres_url(f"{postgres_url}?migration_timeout=77")
    if module is postgres_ledger:
        PostgresLedger(url).check()
    elif module is postgres_directory:
        PostgresDirectory(url, KeyedMark(tmp_path, "a")).load()
    elif module is postgres_responses:
        PostgresResponseStore(url, AesSivSealer([b"k" * 64]), lambda: 0.0, ResponseLimits()).check()
    else:
        PostgresThinkingRows(url, 1 << 20, lambda: 0.0).check()
    assert set(times) == {77.0}


async def test_the_server_takes_the_longest_time_of_a_url(postgres_url: str) -> None:
    ledger = PostgresLedger(parse_postgres_url(f"{postgres_url}?migration_timeout=999999"))
    ledger.check()
    assert await ledger.verify() == []
    await ledger.aclose()


@pytest.mark.parametrize("function", [migrate, check_migrated])
async def test_an_old_gateway_uses_a_newer_schema_only_if_that_says_so(postgres_url: str, function: Any) -> None:
    await apply(postgres_url, [FIRST, SECOND])
    await apply(postgres_url, [FIRST], function)
    await apply(postgres_url, [FIRST, SECOND, THIRD])
    for known in ([FIRST], [FIRST, SECOND]):
        with pytest.raises(StoreFailed, match=r"made by a newer version of modelmux .*0003_c"):
            await apply(postgres_url, known, function)


@pytest.mark.parametrize("behind", ["the server", "PgBouncer"])
def test_two_nodes_migrate_at_once(postgres_url: str, postgres_server: Server, behind: str, tmp_path: Path) -> None:
    bouncer = PgBouncer(postgres_server) if behind == "PgBouncer" else None
    port = None if bouncer is None else bouncer.port
    url = postgres_server.url(postgres_url.rpartition("/")[2], port)
    try:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", PROCESS, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            process.communicate(timeout=100)
            assert process.returncode == 0
    finally:
        if bouncer is not None:
            bouncer.remove()
    assert execute(postgres_url, "SELECT n FROM a") == [(1,)]


async def test_the_migrations_of_this_version_are_numbered_and_apply(postgres_url: str) -> None:
    migrations = postgres_migrations()
    assert [one.number for one in migrations] == list(range(1, len(migrations) + 1))
    assert all(usable_from(one) <= one.number for one in migrations)
    await asyncio.gather(*(apply(postgres_url) for _ in range(3)))
    await apply(postgres_url, None, check_migrated)


#: Columns with their types, and which of them are unique together: what statements refer to.
COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable = 'YES' OR column_default IS NOT NULL OR is_identity = 'YES'
FROM information_schema.columns WHERE table_schema = current_schema()
"""
UNIQUE = """
SELECT i.indrelid::regclass::text, (SELECT string_agg(a.attname, ',' ORDER BY a.attname) FROM pg_attribute AS a
    WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey))
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
WHERE i.indisunique AND c.relnamespace = current_schema()::regnamespace
"""


@pytest.mark.parametrize(
    ("migrations", "applied"),
    [(postgres_migrations(), ACCOUNTS), (conversation_migrations(), CONVERSATIONS)],
    ids=["accounts", "conversations"],
)
async def test_what_an_older_version_may_use_is_still_there_for_it(
    postgres_url: str, migrations: Sequence[Migration], applied: Applied
) -> None:
    """The oldest version that may go on has statements for its own tables, and knows of nothing that came later."""

    async def migrate_these(connection: Any, wanted: Sequence[Migration] | None) -> None:
        await migrate(connection, wanted, applied)

    oldest = max(map(usable_from, migrations))
    await apply(postgres_url, migrations[:oldest], migrate_these)
    columns = {(table, name): kind for table, name, kind, _ in execute(postgres_url, COLUMNS)}
    unique = set(execute(postgres_url, UNIQUE))
    tables = {table for table, _ in columns}
    await apply(postgres_url, migrations, migrate_these)
    after = {(table, name): (kind, may_lack) for table, name, kind, may_lack in execute(postgres_url, COLUMNS)}
    assert tables, "the oldest version has tables"
    assert {column: after.get(column, (None,))[0] for column in columns} == columns, "dropped, or of another type"
    new = {column: may_lack for column, (_, may_lack) in after.items() if column[0] in tables and column not in columns}
    assert all(new.values()), "rows of the older version lack a column"
    assert {one for one in execute(postgres_url, UNIQUE) if one[0] in tables} == unique, "ON CONFLICT of before"


async def test_a_process_that_runs_sees_that_it_cannot_go_on(postgres_url: str) -> None:
    await apply(postgres_url)
    await apply(postgres_url, conversation_migrations(), lambda c, m: migrate(c, m, CONVERSATIONS))
    for table, check in (("", check_usable), ("conversation_", check_conversations_usable)):
        name = f"modelmux_{table}migrations"
        await apply(postgres_url, None, lambda c, _, check=check: check(c))
        execute(postgres_url, f"INSERT INTO {name} VALUES (98, '0098_x.sql', 'x', 1)")
        await apply(postgres_url, None, lambda c, _, check=check: check(c))
        execute(postgres_url, f"INSERT INTO {name} VALUES (99, '0099_y.sql', 'y', 98)")
        with pytest.raises(StoreFailed, match=r"made by a newer version of modelmux .*0099_y"):
            await apply(postgres_url, None, lambda c, _, check=check: check(c))


async def test_a_ledger_and_a_directory_write_nothing_into_a_schema_that_they_do_not_know(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "LOOKS_EVERY", 0.0)
    ledger = PostgresLedger(parse_postgres_url(postgres_url))
    directory = PostgresDirectory(parse_postgres_url(postgres_url), KeyedMark(tmp_path / "mark", "x"))
    await ledger.renew("a:1", "a", 60)
    known = await directory.read(Directory())
    execute(postgres_url, "INSERT INTO modelmux_migrations VALUES (99, '0099_y.sql', 'y', 99)")
    before = execute(postgres_url, "SELECT seen FROM budget_holder")
    for call in (
        ledger.renew("a:1", "a", 60),
        ledger.holders(),
        directory.read(known),
        directory.note(Author("x", "cli"), NOW, "x", "x", {}),
    ):
        with pytest.raises(StoreFailed, match=r"it has the migration 0099_y.sql\); install that version"):
            await call
    assert execute(postgres_url, "SELECT seen FROM budget_holder") == before
    assert execute(postgres_url, "SELECT * FROM audit") == []
    execute(postgres_url, "DELETE FROM modelmux_migrations WHERE number = 99")
    await ledger.renew("a:1", "a", 60)
    await ledger.aclose()
    await directory.aclose()
