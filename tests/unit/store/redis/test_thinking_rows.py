"""Remembered thinking on a real server. Risk: an answer is taken for that to another question, a server that is slow,
full or gone holds up a request or fails it, or what is there stays for ever or can be read."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelmux.config import Config, ConfigError
from modelmux.config.redis_url import parse_redis_url
from modelmux.dialects.aes_siv_sealer import AesSivSealer
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.bounded_calls import PAUSE
from modelmux.store.local_state import LocalState
from modelmux.store.memory import MAX_AGE_SECONDS, MemoryThinkingStore
from modelmux.store.open_thinking import open_thinking
from modelmux.store.redis.connection import Connection
from modelmux.store.redis.thinking_rows import PREFIX, RedisThinkingRows
from modelmux.store.row_sealer import row_key
from modelmux.store.shared_thinking import SharedThinkingStore
from modelmux.wire.anthropic import ThinkingBlock
from support.clock import Clock
from support.http_servers import Authority
from support.processes import free_port
from support.redis import Server, redis_server

#: Of calls that should succeed: what is tested is not how busy the machine is.
AMPLE = 60.0
pytestmark = pytest.mark.usefixtures("unhurried_redis")
CORRECT = "correct thinking.store"
KEYS = [bytes([number]) * 32 for number in range(40)]


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture
def own_redis() -> Iterator[Server]:
    with redis_server() as server:
        yield server


def rows_on(url: str, clock: Clock, ca_file: str | None = None) -> RedisThinkingRows:
    parsed = parse_redis_url(url, "thinking.store")
    return RedisThinkingRows(parsed, ca_file, clock, clock=clock, find_bound=AMPLE, add_bound=AMPLE)


async def test_each_of_many_that_look_at_once_gets_its_own(shared_redis: Server, clock: Clock) -> None:
    rows = rows_on(shared_redis.url, clock)
    await rows.add([(key, key * 2, clock() + 100) for key in KEYS])
    found = await asyncio.gather(*(rows.find([key, b"absent"]) for key in KEYS))
    assert found == [{key: key * 2} for key in KEYS]
    await rows.aclose()
    assert await rows.find(KEYS[:1]) == {KEYS[0]: KEYS[0] * 2}, "it may be used again"
    await rows.aclose()


async def test_a_look_that_was_given_up_leaves_no_answer_for_the_next(own_redis: Server, clock: Clock) -> None:
    rows = rows_on(own_redis.url, clock)
    await rows.add([(KEYS[0], b"first", clock() + 100), (KEYS[1], b"second", clock() + 100)])
    await rows.find(KEYS[:1])
    own_redis.signal(signal.SIGSTOP)
    look = asyncio.create_task(rows.find(KEYS[:1]))
    for _ in range(100):  # it is sent
        await asyncio.sleep(0)
    assert not look.done()
    look.cancel()
    await asyncio.wait([look])
    own_redis.signal(signal.SIGCONT)
    assert await rows.find(KEYS[1:2]) == {KEYS[1]: b"second"}
    await rows.aclose()


async def test_rows_expire_by_the_clock_of_the_server(shared_redis: Server, clock: Clock) -> None:
    rows = rows_on(shared_redis.url, clock)
    await rows.add([(KEYS[0], b"x", clock() + MAX_AGE_SECONDS), (KEYS[1], b"x", clock()), (KEYS[2], b"x", 0.0)])
    await rows.add([])
    assert shared_redis.execute("DBSIZE") == ":1", "what has expired is not written"
    left = int(shared_redis.execute("PTTL", PREFIX + KEYS[0].hex())[1:])
    assert MAX_AGE_SECONDS - 300 < left / 1000 <= MAX_AGE_SECONDS
    assert shared_redis.execute("PEXPIRE", PREFIX + KEYS[0].hex(), "0") == ":1"
    assert await rows.find(KEYS) == {}
    await rows.aclose()


async def test_nothing_readable_is_on_the_server(shared_redis: Server, clock: Clock) -> None:
    redis = pytest.importorskip("redis")
    memory, sealer = MemoryThinkingStore(clock), AesSivSealer([b"k" * 64])
    store = SharedThinkingStore(memory, rows_on(shared_redis.url, clock), sealer, clock, clock, clock.sleep)
    store.put("owner-canary", "call-canary", "model-canary", (ThinkingBlock("thought-canary", "signature-canary"),))
    await store.written()
    await store.aclose()
    with redis.Redis.from_url(shared_redis.url, decode_responses=False) as client:
        (name,) = client.keys()
        content = client.get(name)
    assert name.decode() == PREFIX + row_key("owner-canary", "call-canary", b"thinking").hex()
    assert len(content) > 40
    assert b"canary" not in name + content


async def test_what_a_full_server_evicts_was_never_remembered(clock: Clock) -> None:
    with redis_server("--maxmemory", "6mb", "--maxmemory-policy", "allkeys-lru") as server:
        rows = rows_on(server.url, clock)
        for key in KEYS:
            await rows.add([(key + bytes([part]), bytes(50_000), clock() + 100) for part in range(10)])
        found = await rows.find([key + bytes([part]) for key in KEYS for part in range(10)])
        assert 0 < len(found) < 10 * len(KEYS)
        await rows.aclose()


async def test_a_server_that_is_full_and_evicts_nothing_says_what_to_do(clock: Clock) -> None:
    with redis_server("--maxmemory", "6mb", "--maxmemory-policy", "noeviction") as server:
        rows = rows_on(server.url, clock)
        await rows.add([(b"before", b"x", clock() + 100)])
        with pytest.raises(StoreFailed, match="it has no memory left; raise maxmemory") as caught:
            for key in KEYS:
                await rows.add([(key + bytes([part]), bytes(50_000), clock() + 100) for part in range(10)])
        assert "modelmux:" not in str(caught.value), "no command is quoted"
        assert await rows.find([b"before"]) == {b"before": b"x"}
        server.execute("FLUSHALL")
        await rows.add([(b"after", b"x", clock() + 100)])
        await rows.aclose()


async def test_a_server_that_stands_still_costs_one_request_the_bound(own_redis: Server, clock: Clock) -> None:
    rows = rows_on(own_redis.url, clock)
    await rows.add([(KEYS[0], b"x", clock() + 100)])
    await rows.find(KEYS[:1])
    own_redis.signal(signal.SIGSTOP)
    rows._reader._bound = 0.1
    with pytest.raises(StoreFailed, match=r"redis://127\.0\.0\.1:\d+/0 has not answered within"):
        await rows.find(KEYS[:1])
    own_redis.signal(signal.SIGCONT)
    rows._reader._bound = AMPLE
    for _ in range(3):
        with pytest.raises(StoreFailed, match="has not answered"):
            await rows.find(KEYS[:1])  # at once, for the clock does not go on
    clock.advance(PAUSE)
    assert await rows.find(KEYS[:1]) == {KEYS[0]: b"x"}
    await rows.aclose()


async def test_a_server_that_was_killed_is_used_again(own_redis: Server, clock: Clock) -> None:
    rows = rows_on(own_redis.url, clock)
    await rows.add([(KEYS[0], b"x", clock() + 100)])
    own_redis.kill()
    for call in (rows.find(KEYS[:1]), rows.add([(KEYS[0], b"x", clock() + 100)])):
        with pytest.raises(StoreFailed, match="it cannot be reached"):
            await call
    with pytest.raises(StoreFailed, match="it cannot be reached"):
        rows.check()
    own_redis.start()
    assert await rows.find(KEYS[:1]) == {}, "what it had is gone"
    await rows.add([(KEYS[0], b"y", clock() + 100)])
    assert await rows.find(KEYS[:1]) == {KEYS[0]: b"y"}
    await rows.aclose()


@pytest.mark.parametrize(
    ("user", "remedy"),
    [
        (":canary", "user or password is wrong; correct thinking.store"),
        ("", "it asks for a password; write it into thinking.store"),
        ("reader:r", r"the user may not run MGET and SET, .* give it \+mget \+set and these keys"),
    ],
)
async def test_what_the_server_refuses_names_the_setting(
    shared_redis: Server, clock: Clock, user: str, remedy: str
) -> None:
    shared_redis.execute("ACL", "SETUSER", "reader", "on", ">r", "~modelmux:*", "+mget", "+@connection")
    rows = rows_on(f"redis://{user}{'@' if user else ''}127.0.0.1:{shared_redis.port}", clock)
    with pytest.raises(StoreFailed, match=remedy) as caught:
        rows.check()
    with pytest.raises(StoreFailed, match=remedy):
        await rows.add([(KEYS[0], b"x", clock() + 100)])
    assert "canary" not in str(caught.value)
    await rows.aclose()


async def test_a_user_needs_two_commands(shared_redis: Server, clock: Clock) -> None:
    shared_redis.execute("ACL", "SETUSER", "both", "on", ">b", "~modelmux:*", "+mget", "+set", "+@connection")
    rows = rows_on(f"redis://both:b@127.0.0.1:{shared_redis.port}", clock)
    rows.check()
    await rows.add([(KEYS[0], b"x", clock() + 100)])
    assert await rows.find(KEYS[:1]) == {KEYS[0]: b"x"}
    await rows.aclose()


async def test_over_tls_the_end_does_not_wait_for_a_server_that_stands_still(clock: Clock, tmp_path: Path) -> None:
    authority, port = Authority(tmp_path), free_port()
    certificate, key = authority.certificate("127.0.0.1")
    options = ("--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key)
    with redis_server(*options, "--tls-auth-clients", "no") as server:
        url = server.url.replace("redis://", "rediss://").replace(str(server.port), str(port))
        strangers = rows_on(url, clock)
        with pytest.raises(StoreFailed, match="it cannot be reached; check host, port, TLS and firewall"):
            await strangers.find(KEYS[:1])
        await strangers.aclose()
        rows = rows_on(url, clock, authority.file)
        await rows.add([(KEYS[0], b"x", clock() + 100)])
        assert await rows.find(KEYS[:1]) == {KEYS[0]: b"x"}
        server.signal(signal.SIGSTOP)
        async with asyncio.timeout(20):  # asyncio itself would wait for 30 s, for each connection
            await rows.aclose()


async def test_the_gateway_opens_what_the_setting_names(shared_redis: Server, tmp_path: Path) -> None:
    said: list[Any] = []
    tables = {"server": {"seal_keys": [bytes(range(64)).hex()]}, "thinking": {"store": shared_redis.url}}
    store = open_thinking(Config.from_dict(tables), LocalState(tmp_path), Runtime(), said.append)
    assert store.is_shared
    assert said == []
    await store.aclose()
    tables["thinking"] = {"store": "redis://:canary@127.0.0.1:1"}
    assert open_thinking(Config.from_dict(tables), LocalState(tmp_path), Runtime(), said.append).is_shared
    (problem,) = said
    assert problem.startswith("thinking is remembered by each node alone: redis://127.0.0.1:1/0: it cannot be reached")
    assert "canary" not in problem


def test_without_the_package_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    tables = {"server": {"seal_keys": [bytes(range(64)).hex()]}, "thinking": {"store": "redis://:canary@h"}}
    with pytest.raises(ConfigError) as caught:
        open_thinking(Config.from_dict(tables), LocalState(tmp_path), Runtime())
    assert caught.value.problems == ["thinking.store needs the package redis, which is not installed"]
    assert caught.value.hint == "run pip install 'modelmux-gateway[redis]', or set thinking.store to \"memory\""


async def test_what_is_not_an_answer_to_the_question_is_a_failure_of_the_store(clock: Clock) -> None:
    rows = rows_on("redis://h", clock)
    for answer in ([[b"x"]], [b"x"], [None]):

        async def call(*_: object, answer: Any = answer) -> Any:
            return answer

        rows._reader.call = call  # type: ignore[method-assign]
        with pytest.raises(StoreFailed, match=r"^redis://h:6379/0 does not answer as Redis does; correct thi"):
            await rows.find(KEYS[:2])


async def test_an_answer_that_the_library_cannot_read_fails_no_request(clock: Clock) -> None:
    """It raises ValueError: a request would end with it, and nothing would be written any more."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"$x\r\n" * 10)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    rows, said = rows_on(url, clock), list[str | None]()
    store = SharedThinkingStore(
        MemoryThinkingStore(clock), rows, AesSivSealer([b"k" * 64]), clock, clock, asyncio.sleep, said.append
    )
    assert await store.fetch("ann", ["call"]) is False
    assert said == [f"thinking is remembered by each node alone: {url}/0 does not answer as Redis does; {CORRECT}"]
    with pytest.raises(StoreFailed, match="does not answer as Redis does"):
        await rows.add([(KEYS[0], b"x", clock() + 100)])
    with pytest.raises(StoreFailed, match="does not answer as Redis does"):
        await asyncio.to_thread(rows.check)
    await store.aclose()
    server.close()


async def test_a_server_that_is_not_redis_is_a_failure_of_the_store() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = Connection(parse_redis_url(f"redis://127.0.0.1:{port}", "thinking.store"), AMPLE)
    with pytest.raises(StoreFailed, match=f"^redis://127.0.0.1:{port}/0: "):
        await connection.call(("MGET", "x"))
    await connection.aclose()
    server.close()
