"""Risk: a call is lost, written by half or hangs when the server, the network or another transaction is in the way."""

from __future__ import annotations

import asyncio
import itertools
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme

from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.base import QueryTooLong, StoreFailed
from modelmux.store.postgres.session import Session
from modelmux.store.postgres.thread import PostgresThread
from support.postgres import PgBouncer, Server


async def nothing(connection: Any) -> None:
    """Nothing to prepare."""


async def one(session: Session) -> int:
    number: int = await session.fetchval("SELECT 1")
    return number


def thread_of(url: str, **options: Any) -> PostgresThread:
    return PostgresThread("test", parse_postgres_url(url), nothing, **options)


async def until_it_works(thread: PostgresThread) -> list[str]:
    """The problems until a call succeeds."""
    problems = []
    while True:
        try:
            assert await thread.run(one) == 1
            return problems
        except StoreFailed as error:
            problems.append(str(error))
            await asyncio.sleep(0.05)


async def test_what_fails_is_rolled_back_and_the_next_call_works(postgres_url: str) -> None:
    thread = thread_of(postgres_url)

    async def half(session: Session) -> None:
        await session.execute("INSERT INTO t VALUES (1)")
        raise LookupError("of the caller")

    await thread.run(lambda session: session.execute("CREATE TABLE t (n bigint)"))
    with pytest.raises(LookupError):
        await thread.run(half)
    with pytest.raises(StoreFailed, match=r'postgresql://127.0.0.1:\d+/test_\d+: failed \(relation "x"'):
        await thread.run(lambda session: session.execute("SELECT * FROM x"))
    assert await thread.run(lambda session: session.fetchval("SELECT count(*) FROM t")) == 0
    await thread.aclose()
    await thread.aclose()
    with pytest.raises(StoreFailed, match="closed"):
        await thread.run(one)


async def test_the_version_is_looked_at_once_a_second_until_it_cannot_go_on(postgres_url: str) -> None:
    now, looks, problem = 0.0, 0, ""

    async def check(session: Session) -> None:
        nonlocal looks
        looks += 1
        assert await one(session) == 1
        if problem:
            raise StoreFailed(problem)

    thread = thread_of(postgres_url, clock=lambda: now, check=check)
    for seconds, expected in ((0.0, 1), (0.9, 1), (1.0, 2), (5.0, 3)):
        now = seconds
        await thread.run(one)
        assert looks == expected
    problem, now = "too old", 6.0
    for expected in (4, 5):
        with pytest.raises(StoreFailed, match="too old"):
            await thread.run(one)
        assert looks == expected
    with pytest.raises(StoreFailed, match="too old"):
        thread.call(one)
    problem = ""
    assert await thread.run(one) == 1
    await thread.aclose()


async def test_what_only_reads_writes_nothing_and_sees_one_state(postgres_url: str) -> None:
    reader, writer = thread_of(postgres_url), thread_of(postgres_url)
    await writer.run(lambda session: session.execute("CREATE TABLE t (n bigint)"))
    with pytest.raises(StoreFailed, match="takes no writes"):
        await reader.run(lambda session: session.execute("INSERT INTO t VALUES (1)"), writes=False)
    counted = threading.Event()

    async def twice(session: Session) -> list[int]:
        counts = [await session.fetchval("SELECT count(*) FROM t")]
        counted.set()
        await asyncio.wrap_future(writer.submit(writer._in_turn(insert, True)))
        return [*counts, await session.fetchval("SELECT count(*) FROM t")]

    async def insert(session: Session) -> None:
        await session.execute("INSERT INTO t VALUES (1)")

    assert await reader.run(twice, writes=False) == [0, 0]
    assert counted.is_set()
    await reader.aclose()
    await writer.aclose()


async def test_who_waits_behind_long_queries_does_not_wait_for_all_of_them(postgres_url: str) -> None:
    thread = thread_of(postgres_url)
    begun = []

    async def long(session: Session) -> None:
        begun.append(1)
        await session.fetchval("SELECT pg_sleep(1000)")

    calls = (thread.run(long, writes=False, query_limit=0.2) for _ in range(30))
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ends] == [QueryTooLong] * 30
    assert len(begun) < 10, "most were over before they began"
    assert await thread.run(one) == 1
    await thread.aclose()


async def test_a_query_of_many_short_statements_is_ended_too(postgres_url: str) -> None:
    thread = thread_of(postgres_url)

    async def many(session: Session) -> None:
        while True:
            await one(session)

    with pytest.raises(QueryTooLong, match=r"after 0.2 s"):
        await thread.run(many, writes=False, query_limit=0.2)
    with pytest.raises(StoreFailed, match='relation "x"') as failed:
        await thread.run(lambda session: session.fetch("SELECT * FROM x"), writes=False, query_limit=100)
    assert not isinstance(failed.value, QueryTooLong)
    assert await thread.run(one) == 1
    await thread.aclose()


async def test_a_deadlock_is_no_failure(postgres_url: str) -> None:
    first, second = thread_of(postgres_url), thread_of(postgres_url)
    await first.run(lambda session: session.execute("CREATE TABLE t AS SELECT 1 AS n UNION SELECT 2"))
    both = asyncio.Barrier(2)
    loop = asyncio.get_running_loop()
    attempts = []

    async def wait_for_other() -> None:
        try:
            async with asyncio.timeout(0.3):  # the second attempt is alone
                await both.wait()
        except (TimeoutError, asyncio.BrokenBarrierError):
            await both.reset()

    def in_order(*numbers: int) -> Any:
        async def work(session: Session) -> None:
            attempts.append(numbers)
            await session.execute("UPDATE t SET n = n WHERE n = $1", numbers[0])
            if attempts.count(numbers) == 1:
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(wait_for_other(), loop))
            await session.execute("UPDATE t SET n = n WHERE n = $1", numbers[1])

        return work

    await asyncio.gather(first.run(in_order(1, 2)), second.run(in_order(2, 1)))
    assert len(attempts) == 3
    await first.aclose()
    await second.aclose()


async def test_a_server_that_was_restarted_is_used_again(own_postgres_server: Server) -> None:
    server = own_postgres_server
    thread = thread_of(server.new_database())
    assert await thread.run(one) == 1
    server.stop()
    with pytest.raises(StoreFailed, match=r"cannot be reached|cut the connection|stopping"):
        await thread.run(one)
    server.start()
    await until_it_works(thread)
    server.stop()
    server.start()
    assert await thread.run(one) == 1, "the cut connection costs no call"
    await thread.aclose()


async def test_while_the_server_is_away_it_is_asked_less_and_less(own_postgres_server: Server) -> None:
    now, opened = [0.0], []
    server = own_postgres_server
    thread = thread_of(server.new_database(), clock=lambda: now[0])
    real_open = thread._wait_after

    def wait_after(error: Exception) -> None:
        opened.append(now[0])
        real_open(error)

    thread._wait_after = wait_after  # type: ignore[method-assign]
    server.stop()
    for _ in range(600):
        with pytest.raises(StoreFailed, match=r"cannot be reached \(.*; check host and port of accounts.store"):
            await thread.run(one)
        now[0] += 0.1
    pauses = [later - before for before, later in itertools.pairwise(opened)]
    assert 9 < len(opened) < 20
    assert pauses[0] < 0.4
    assert max(pauses) < 8
    server.start()
    now[0] += 10
    assert await thread.run(one) == 1
    await thread.aclose()


async def test_a_server_that_stands_still_fails_a_call_and_holds_up_no_later_one(own_postgres_server: Server) -> None:
    server = own_postgres_server
    thread = thread_of(server.new_database(), timeout=0.1)
    assert await thread.run(one) == 1
    server.signal(signal.SIGSTOP)
    with pytest.raises(StoreFailed, match="no answer in time"):
        await thread.run(one)
    server.signal(signal.SIGCONT)
    await until_it_works(thread)
    await thread.aclose()


@pytest.mark.parametrize("ssl", ["disable", "prefer"])
@pytest.mark.parametrize("answers", [False, True])
async def test_a_host_that_closes_the_connection_does_not_keep_the_next_one_from_being_used(
    postgres_server: Server, postgres_url: str, ssl: str, answers: bool
) -> None:
    """As a proxy does that has no server."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answers and len(await reader.read(100)) == 8:  # it asks for TLS first
            writer.write(b"N")
            await reader.read(100)
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as proxy:
        ports = (proxy.sockets[0].getsockname()[1], postgres_server.port)
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        user, _, host = postgres_url.rpartition("@")
        thread = thread_of(f"{user}@{hosts}/{host.rpartition('/')[2]}?sslmode={ssl}")
        assert await thread.run(one) == 1
        await thread.aclose()


async def test_a_host_that_answers_nothing_does_not_keep_the_next_one_from_being_used(
    own_postgres_server: Server, postgres_server: Server
) -> None:
    own_postgres_server.execute("CREATE DATABASE d", "postgres")
    other = own_postgres_server.url("d").rpartition("@")[0]
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts
        ports = (silent.getsockname()[1], own_postgres_server.port)
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        thread = thread_of(f"{other}@{hosts}/d?target_session_attrs=read-write")
        assert await thread.run(one) == 1
        await thread.aclose()
        # And one that takes no writes is not the one that is looked for.
        own_postgres_server.execute("ALTER DATABASE d SET default_transaction_read_only = on", "postgres")
        postgres_server.execute("CREATE DATABASE d", "postgres")
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in (own_postgres_server, postgres_server))
        thread = thread_of(f"{other}@{hosts}/d?target_session_attrs=read-write")
        assert await thread.run(lambda session: session.fetchval("SHOW port")) == str(postgres_server.port)
        await thread.aclose()
        postgres_server.execute("DROP DATABASE d", "postgres")
        with pytest.raises(StoreFailed, match="no such database"):
            await thread_of(f"{other}@{hosts}/missing").run(one)


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(postgres_url: str) -> None:
    thread = thread_of(postgres_url, timeout=0.2)
    with pytest.raises(StoreFailed, match=r"is busy .*statement timeout.*pg_stat_activity"):
        await thread.run(lambda session: session.execute("SELECT pg_sleep(100)"))
    assert await thread.run(one) == 1
    await thread.aclose()


async def test_a_lock_of_a_client_that_is_silent_is_free_again(postgres_url: str) -> None:
    """A node that was cut off in the middle of a transaction must not hold up all others."""
    silent, other = thread_of(postgres_url, timeout=0.3), thread_of(postgres_url)
    stays = asyncio.Event()

    async def hold(session: Session) -> None:
        await session.execute("SELECT pg_advisory_xact_lock(7)")
        loop.call_soon_threadsafe(stays.set)
        await asyncio.sleep(100)

    loop = asyncio.get_running_loop()
    holding = asyncio.create_task(silent.run(hold))
    await stays.wait()
    await other.run(lambda session: session.execute("SELECT pg_advisory_xact_lock(7)"))
    with pytest.raises(StoreFailed):
        await holding
    await silent.aclose()
    await other.aclose()


async def test_a_call_at_a_start_leaves_neither_a_thread_nor_a_connection(
    postgres_url: str, postgres_server: Server
) -> None:
    prepared = []

    async def prepare(connection: Any) -> None:
        prepared.append(connection)

    thread = PostgresThread("at-start", parse_postgres_url(postgres_url), prepare)
    assert thread.call(one) == thread.call(one) == await thread.run(one) == 1
    assert len(prepared) == 1
    await thread.aclose()
    assert "at-start" not in [one.name for one in threading.enumerate()]
    database = postgres_url.rpartition("/")[2]
    count = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"
    assert postgres_server.execute(count, "postgres") == [(0,)]


async def test_transactions_through_pgbouncer_change_between_connections(
    postgres_url: str, postgres_server: Server
) -> None:
    bouncer = PgBouncer(postgres_server)
    try:
        threads = [thread_of(postgres_server.url(postgres_url.rpartition("/")[2], bouncer.port)) for _ in range(4)]

        async def backend(session: Session) -> int:
            await session.execute("SELECT pg_advisory_xact_lock_shared($1)", 1)
            assert await session.fetchval("SELECT $1::bigint + 1", 2) == 3
            assert await session.fetchval("SHOW statement_timeout") == "10s"
            pid: int = await session.fetchval("SELECT pg_backend_pid()")
            return pid

        for _ in range(5):
            pids = await asyncio.gather(*(thread.run(backend) for thread in threads))
            assert len(set(pids)) <= 2
        for thread in threads:
            await thread.aclose()
    finally:
        bouncer.remove()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda url: url.replace("modelmux:", "other:"), r"refuses user or password .*; check them in accounts.store"),
        (lambda url: url.replace("test_", "absent_"), r"has no such database .*; create it"),
        (lambda url: url.rpartition(":")[0] + ":1/x", r"cannot be reached .*; check host and port"),
        (lambda url: url + "?sslmode=require", r"cannot be reached by TLS .*; check sslmode"),
    ],
    ids=["password", "database", "port", "tls"],
)  # fmt: skip
async def test_what_cannot_be_opened_says_why_without_the_password(
    postgres_url: str, change: Any, problem: str
) -> None:
    thread = thread_of(change(postgres_url))
    with pytest.raises(StoreFailed, match=problem) as caught:
        thread.call(one)
    assert "pass" not in str(caught.value).replace("password", "")
    assert "pass" not in repr(thread.url)


async def test_by_tls_the_certificate_of_the_server_is_checked(own_postgres_server: Server, tmp_path: Path) -> None:
    server, authority, other = own_postgres_server, trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    server.restart_with(
        ssl="on",
        ssl_cert_file=server.private_file("server.pem", chain),
        ssl_key_file=server.private_file("server.key", certificate.private_key_pem.bytes()),
    )
    for name, one_ca in (("ours", authority), ("other", other)):
        one_ca.cert_pem.write_to_path(str(tmp_path / name))
    url = server.new_database()
    uses_tls = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    for parameters in ("?sslmode=require", f"?sslmode=verify-full&sslrootcert={tmp_path / 'ours'}"):
        thread = thread_of(url + parameters)
        assert thread.call(lambda session: session.fetchval(uses_tls)) is True
    with pytest.raises(StoreFailed, match=r"cannot be reached by TLS .*; check sslmode and sslrootcert"):
        thread_of(f"{url}?sslmode=verify-full&sslrootcert={tmp_path / 'other'}").call(one)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StoreFailed, match=r"install modelmux-gateway\[postgres\]"):
        thread_of("postgresql://h/d").call(one)


async def test_a_query_that_a_silent_server_does_not_answer_ends_at_its_limit(own_postgres_server: Server) -> None:
    """Its end waits for no answer, either."""
    thread = thread_of(own_postgres_server.new_database(), timeout=60.0)

    async def work(session: Session) -> None:
        own_postgres_server.signal(signal.SIGSTOP)
        await session.fetchval("SELECT 2")

    with pytest.raises(QueryTooLong):
        await thread.run(work, writes=False, query_limit=0.2)
    own_postgres_server.signal(signal.SIGCONT)
    await until_it_works(thread)
    await thread.aclose()


async def test_a_server_that_falls_silent_within_a_transaction_holds_up_nothing_for_long(
    own_postgres_server: Server,
) -> None:
    thread = thread_of(own_postgres_server.new_database(), timeout=0.1)

    async def work(session: Session) -> None:
        await session.fetchval("SELECT 1")
        own_postgres_server.signal(signal.SIGSTOP)
        await session.fetchval("SELECT 2")

    call = asyncio.create_task(thread.run(work))
    done, _ = await asyncio.wait([call], timeout=100)
    own_postgres_server.signal(signal.SIGCONT)
    assert done
    assert isinstance(call.exception(), StoreFailed)
    await until_it_works(thread)
    await thread.aclose()
