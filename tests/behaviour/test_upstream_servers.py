"""Risk: our HTTP client does not understand a common server: uvicorn with h11 and with httptools, hypercorn, nginx."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from modelmux.wire.http import Origin
from support.http_peers import call, fetch, on_both_loops, pool_of, until
from support.http_servers import asgi_server, needs_nginx, nginx_server

MEGABYTES_30 = 30_000_000


@pytest.fixture(scope="module", params=["h11", "httptools", "hypercorn"])
def origin(request: pytest.FixtureRequest) -> Iterator[Origin]:
    with asgi_server(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def nginx() -> Iterator[Origin]:
    with nginx_server("keepalive_requests 100;") as started:
        yield started


async def echo(pool: Any, origin: Origin, body: bytes) -> dict[str, Any]:
    status, reply = await fetch(pool, call(origin, body, target="/echo"))
    assert status == 200
    seen: dict[str, Any] = json.loads(reply)
    assert seen["size"] == len(body)
    assert seen["sha256"] == hashlib.sha256(body).hexdigest()
    return seen


@on_both_loops
async def test_what_is_sent_arrives_as_it_is(origin: Origin) -> None:
    async with pool_of() as pool:
        seen = await echo(pool, origin, b'{"a":1}')
        headers = dict(seen["headers"])
        assert headers["host"] == origin.authority
        assert headers["content-length"] == "7"
        assert headers["x-test"] == "1"
        assert headers["accept-encoding"] == "identity"
        assert "transfer-encoding" not in headers


@on_both_loops
async def test_many_calls_one_connection(origin: Origin) -> None:
    async with pool_of() as pool:
        for number in range(30):
            await echo(pool, origin, b"x" * number)
        assert (pool.created_total, pool.reused_total) == (1, 29)


@on_both_loops
async def test_many_calls_at_once(origin: Origin) -> None:
    async with pool_of(max_connections=10) as pool:
        await asyncio.gather(*(echo(pool, origin, b"%d" % number * 100) for number in range(200)))
        assert pool.created_total == 10


@on_both_loops
async def test_chunks_arrive_complete_and_in_order(origin: Origin) -> None:
    async with pool_of() as pool:
        for _ in range(2):
            status, body = await fetch(pool, call(origin, target="/chunks?n=3000"))
            assert (status, body) == (200, b"".join(b"%08d" % number for number in range(3000)))
        assert pool.created_total == 1


@pytest.mark.parametrize("code", [204, 304])
@on_both_loops
async def test_replies_without_a_body_keep_the_connection(origin: Origin, code: int) -> None:
    async with pool_of() as pool:
        for _ in range(3):
            assert await fetch(pool, call(origin, target=f"/status?code={code}")) == (code, b"")
        assert pool.created_total == 1


@on_both_loops
async def test_head_and_get(origin: Origin) -> None:
    async with pool_of() as pool:
        assert await fetch(pool, call(origin, b"", method="GET", target="/large?n=5&length=1")) == (200, b"xxxxx")
        assert await fetch(pool, call(origin, b"", method="HEAD", target="/large?n=5&length=1")) == (200, b"")
        assert await fetch(pool, call(origin, b"", method="GET", target="/nothing")) == (404, b"")


@on_both_loops
async def test_a_server_that_closes_after_its_reply(origin: Origin) -> None:
    async with pool_of() as pool:
        for number in (1, 2):
            assert await fetch(pool, call(origin, target="/close")) == (200, b"last")
            assert (pool.open, pool.created_total) == (0, number)


@on_both_loops
async def test_thirty_megabytes_up(origin: Origin) -> None:
    async with pool_of() as pool:
        body = bytes(range(256)) * (MEGABYTES_30 // 256)
        await echo(pool, origin, body)
        await echo(pool, origin, b"and the connection is still good")
        assert pool.created_total == 1


@pytest.mark.parametrize("length", [0, 1], ids=["chunked", "content-length"])
@on_both_loops
async def test_thirty_megabytes_down(origin: Origin, length: int) -> None:
    async with pool_of() as pool:
        what = call(origin, target=f"/large?n={MEGABYTES_30}&length={length}")
        status, body = await fetch(pool, what)
        assert (status, len(body), body.count(b"x")) == (200, MEGABYTES_30, MEGABYTES_30)
        assert pool.idle == 1


@on_both_loops
async def test_a_slow_reader_does_not_fill_the_memory(origin: Origin) -> None:
    async with pool_of() as pool:
        what = call(origin, target=f"/large?n={MEGABYTES_30}&length=1")
        tracemalloc.start()
        try:
            reply = await pool.send(what)
            size = largest = 0
            async for part in reply:
                size += len(part)
                largest = max(largest, len(part))
                if size < 3_000_000:
                    await asyncio.sleep(0.02)  # the server is far ahead of us
            await reply.aclose()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert size == MEGABYTES_30
        assert largest < 1_000_000
        assert peak < 4_000_000


@needs_nginx
@on_both_loops
async def test_nginx_closes_after_a_hundred_requests_and_no_call_notices(nginx: Origin) -> None:
    async with pool_of() as pool:
        for _ in range(250):
            assert await fetch(pool, call(nginx, b"", method="GET", target="/hello")) == (200, b"hello")
        assert pool.created_total == 3


@needs_nginx
@on_both_loops
async def test_nginx_under_concurrency(nginx: Origin) -> None:
    async with pool_of(max_connections=16) as pool:
        what = call(nginx, b"", method="GET", target="/hello")
        results = await asyncio.gather(*(fetch(pool, what) for _ in range(1500)))
        assert set(results) == {(200, b"hello")}


@needs_nginx
@on_both_loops
async def test_nginx_empty_and_large_and_missing(nginx: Origin) -> None:
    async with pool_of() as pool:
        assert await fetch(pool, call(nginx, b"", method="GET", target="/empty")) == (204, b"")
        status, body = await fetch(pool, call(nginx, b"", method="GET", target="/files/large"))
        assert (status, len(body)) == (200, MEGABYTES_30)
        assert (await fetch(pool, call(nginx, b"", method="GET", target="/files/none")))[0] == 404
        assert pool.created_total == 1


@needs_nginx
@on_both_loops
async def test_nginx_refuses_a_large_body_before_it_has_read_it(nginx: Origin) -> None:
    async with pool_of() as pool:
        status, body = await fetch(pool, call(nginx, b"x" * 20_000_000, target="/limited"))
        assert status == 413
        assert b"413" in body
        assert pool.open == 0
        assert (await fetch(pool, call(nginx, b"small", target="/limited")))[0] in {200, 405}


@needs_nginx
@on_both_loops
async def test_nginx_drops_idle_connections_and_no_call_notices() -> None:
    with nginx_server("keepalive_timeout 1s;") as origin:
        async with pool_of() as pool:
            for _ in range(2):
                await asyncio.gather(*(fetch(pool, call(origin, b"", method="GET", target="/hello")) for _ in range(3)))
                assert pool.idle == 3
                await until(lambda: pool.open == 0)


@needs_nginx
async def test_nginx_says_how_long_it_keeps_connections() -> None:
    now = [0.0]
    with nginx_server("keepalive_timeout 30s 20s;") as origin:
        async with pool_of(clock=lambda: now[0]) as pool:
            what = call(origin, b"", method="GET", target="/hello")
            for at, created in ((0.0, 1), (18.9, 1), (38.0, 2)):
                now[0] = at
                await fetch(pool, what)
                assert pool.created_total == created
