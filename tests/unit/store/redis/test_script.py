"""The script in a real server.

Risk: it decides otherwise than the model by which the bound is tested; numbers lose digits; entries stay for ever; a
server that fails in some way is not noticed, delays requests, or is told of with its password.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelmux.accounts.rate_limits import tick_at
from modelmux.config.redis_url import parse_redis_url
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.counters.leased import LeasedCounters
from modelmux.store.counters.memory import MemoryCounters
from modelmux.store.redis.connection import Connection
from modelmux.store.redis.limit_exchange import LimitExchange
from modelmux.store.redis.script import COMMON, PREFIX, SCRIPT
from support.redis import QUOTED, ModelServer, Server, redis_server

#: Seconds for what happens at once on a machine that is not busy.
LONG = 20.0
Make = Callable[..., tuple[LimitExchange, LeasedCounters, list[str | None]]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with redis_server() as one:
        yield one


@pytest.fixture
def own_server() -> Iterator[Server]:
    with redis_server() as one:
        yield one


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes a process that exchanges. A call may take long here: the machine may be busy."""
    exchanges: list[LimitExchange] = []

    def made(url: str, name: str = "p1", timeout: float = LONG) -> tuple[LimitExchange, LeasedCounters, Any]:
        counters, problems = LeasedCounters(MemoryCounters(), lambda: 1), list[str | None]()
        connection = Connection(parse_redis_url(url), timeout)
        exchange = LimitExchange(counters, lambda: connection, name, name, Runtime(), problems.append)
        exchanges.append(exchange)
        return exchange, counters, problems

    yield made
    for exchange in exchanges:
        await exchange.aclose()


async def until(is_so: Callable[[], Any]) -> None:
    end = time.monotonic() + LONG
    while not is_so():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["n1:1", "n1:2", "n2:1"]), st.integers(0, 1), st.integers(0, 3),
        st.lists(
            st.tuples(
                st.sampled_from(["a", "b"]), st.sampled_from([1, 2, 7, 60, 1000, 10**12]), st.integers(0, 70),
                st.integers(0, 70), st.sampled_from([0, 1, 6, 100, 10**11]),
            ), max_size=2, unique_by=lambda one: one[0],
        ),
    ), max_size=12,
)  # fmt: skip


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=CALLS)
def test_it_decides_as_the_model(calls: list[Any], server: Server) -> None:
    server.execute("FLUSHALL")
    model = ModelServer(lambda: int(time.time() * 1000))

    async def run() -> None:
        connection = Connection(parse_redis_url(server.url), LONG)
        for process, leaves, waits, limits in calls:
            keys = [*COMMON, *(PREFIX + name for name, *_ in limits)]
            arguments = [process, process.partition(":")[0], 100_000, 0 if waits else 10**9, leaves]
            for _, *ask in limits:
                arguments += [*ask, 100_000]
            answer = await connection.run(SCRIPT, keys, arguments)
            expected = await model.run(SCRIPT, keys, arguments)
            assert list(map(int, answer[1:])) == expected[1:]
        await connection.aclose()

    asyncio.run(run())


async def test_what_is_not_reported_any_more_goes_and_all_keys_with_it(server: Server) -> None:
    server.execute("FLUSHALL")
    connection = Connection(parse_redis_url(server.url), LONG)
    keys = [*COMMON, PREFIX + "a"]
    await connection.run(SCRIPT, keys, ["p1", "n1", 200, 0, 0, 60, 40, 0, 0, 200])

    async def others() -> int:
        answer = await connection.run(SCRIPT, keys, ["p2", "n2", 300, 0, 0, 60, 1, 0, 0, 300])
        return int(answer[4])

    end = time.monotonic() + LONG
    while await others():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    assert server.execute("HLEN", PREFIX + "a") == ":1"
    assert server.execute("ZCARD", COMMON[2]) == ":1"
    await until(lambda: server.execute("EXISTS", PREFIX + "a") == ":0")
    assert 0 < int(server.execute("PTTL", COMMON[0])[1:]) <= 3_600_000
    await connection.aclose()


async def test_while_leases_may_be_missing_they_are_reported_and_not_granted(server: Server) -> None:
    server.execute("FLUSHALL")
    connection = Connection(parse_redis_url(server.url), LONG)
    keys = [*COMMON, PREFIX + "a"]
    answer = await connection.run(SCRIPT, keys, ["p1", "n1", 9_000, 60_000, 0, 60, 3, 20, 20, 9_000])
    assert list(map(int, answer[3:])) == [3, 0, 1]
    server.execute("SET", COMMON[0], "99999999999999")  # its clock was ahead
    answer = await connection.run(SCRIPT, keys, ["p1", "n1", 9_000, 60_000, 0, 60, 3, 20, 20, 9_000])
    assert int(answer[0]) < 99999999999999
    await connection.aclose()


async def test_a_script_that_the_server_has_forgotten_is_sent_again(server: Server) -> None:
    connection = Connection(parse_redis_url(server.url), LONG)
    for _ in range(2):
        await connection.run(SCRIPT, COMMON, ["p1", "n1", 9_000, 0, 0])
        assert server.execute("SCRIPT", "FLUSH") == "+OK"
    await connection.aclose()


async def test_two_processes_share_a_limit(server: Server, make: Make) -> None:
    server.execute("FLUSHALL")
    server.execute("SET", COMMON[0], "1")  # leases are granted at once
    one, counters, _ = make(server.url, "p1")
    other, others, _ = make(server.url, "p2")
    one.start()
    other.start()
    await until(lambda: counters.processes == others.processes == 2)
    admitted = 0
    end = time.monotonic() + LONG
    while admitted < 40 and time.monotonic() < end:
        for each in (counters, others):
            tick = tick_at(time.monotonic())
            counter = each.counter("a", tick)
            if counter.seen(40, 1, tick).fits(1):
                counter.add(tick, 1)
                admitted += 1
            else:
                counter.refused(1)
        await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    tick = tick_at(time.monotonic())
    assert 40 <= admitted <= 44
    assert counters.nodes() == others.nodes() == 2
    await one.aclose()
    assert server.execute("ZCARD", COMMON[1]) == ":1"


async def test_a_server_that_stands_still_ends_calls_and_is_used_again(own_server: Server, make: Make) -> None:
    exchange, counters, problems = make(own_server.url, timeout=0.05)
    exchange.start()
    await until(lambda: counters.known_nodes and exchange._failures == 0 and exchange._since)
    own_server.signal(signal.SIGSTOP)
    await until(lambda: problems)
    assert problems[0] is not None
    assert "has not answered within" in problems[0]
    assert not exchange.is_shared
    own_server.signal(signal.SIGCONT)
    await until(lambda: len(problems) == 2 and exchange.is_shared)
    assert problems[1] is None


async def test_a_server_that_was_killed_is_used_again_and_told_all(own_server: Server, make: Make) -> None:
    exchange, counters, problems = make(own_server.url)
    tick = tick_at(time.monotonic())
    counter = counters.counter("a", tick)
    counter.seen(60, 1, tick)
    counter.add(tick, 1)
    exchange.start()
    key = PREFIX + counter.key
    await until(lambda: own_server.execute("EXISTS", key) == ":1")
    own_server.kill()
    await until(lambda: problems)
    cause = "it cannot be reached; check host, port, TLS and firewall"
    assert problems[0] == f"redis://127.0.0.1:{own_server.port}/0: {cause}"
    own_server.start()
    await until(lambda: len(problems) == 2 and own_server.execute("EXISTS", key) == ":1")


async def test_a_server_that_is_full_is_told_of(make: Make) -> None:
    with redis_server("--maxmemory", "100kb") as server:
        exchange, _, problems = make(server.url)
        exchange.start()
        await until(lambda: problems)
        assert "it has no memory left; raise maxmemory" in str(problems[0])
        server.execute("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: len(problems) == 2)


@pytest.mark.parametrize(
    ("user", "problem"),
    [(":wrong%2Fpass@", "user or password is wrong"), ("", "it asks for a password"), ("ann:x@", "user or password"),
     ("reader:r@", "the user may not run scripts"), ("limits:l@", None)],
)  # fmt: skip
async def test_what_the_server_does_not_allow_is_told_of(user: str, problem: str | None, server: Server) -> None:
    server.execute("ACL", "SETUSER", "reader", "on", ">r", "+ping", "~other:*")
    allowed = "~modelmux:* +@scripting +@read +@write +@connection +time"  # as docs/accounts.md has it
    server.execute("ACL", "SETUSER", "limits", "on", ">l", *allowed.split())
    connection = Connection(parse_redis_url(f"redis://{user}127.0.0.1:{server.port}/0"), LONG)
    if problem is None:
        assert await connection.run(SCRIPT, COMMON, ["p1", "n1", 9_000, 0, 0])
    else:
        with pytest.raises(StoreFailed) as raised:
            await connection.run(SCRIPT, COMMON, ["p1", "n1", 9_000, 0, 0])
        assert problem in str(raised.value)
        assert "pass" not in str(raised.value).replace("password", "")
    await connection.aclose()


async def test_over_tls_its_certificate_is_checked(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    options = ["--tls-cert-file", "server.pem", "--tls-key-file", "server.pem", "--tls-ca-cert-file", "ca.pem"]
    options = [str(tmp_path / one) if one.endswith(".pem") else one for one in options]
    from support.processes import free_port

    port = free_port()
    with redis_server("--tls-port", str(port), *options, "--tls-auth-clients", "no") as server:
        url = parse_redis_url(server.url.replace("redis://", "rediss://").replace(str(server.port), str(port)))
        connection = Connection(url, LONG, str(tmp_path / "ca.pem"))
        assert await connection.run(SCRIPT, COMMON, ["p1", "n1", 9_000, 0, 0])
        await connection.aclose()
        untrusting = Connection(url, LONG)
        with pytest.raises(StoreFailed, match="cannot be reached; check host, port, TLS"):
            await untrusting.run(SCRIPT, COMMON, ["p1", "n1", 9_000, 0, 0])


async def test_another_server_at_its_port_is_told_of(make: Make) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    exchange, _, problems = make(f"redis://:{QUOTED}@127.0.0.1:{other.sockets[0].getsockname()[1]}")
    exchange.start()
    await until(lambda: problems)
    assert QUOTED not in str(problems)
    await exchange.aclose()
    other.close()
    await other.wait_closed()
