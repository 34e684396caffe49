"""Risk: a message that two parsers read in two ways hides a request or forges a reply."""

from __future__ import annotations

import pytest

from support.http_peers import Wire, outcome, peer, pool_of
from support.http_peers import call as upstream_call
from support.security import KEY, guarded
from support.served import Served

_H = b"Host: h\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n"


_SMUGGLED = b"GET /metrics HTTP/1.1\r\n" + _H + b"\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"Host: other\r\nContent-Length: 0\r\n",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: 0\r\nContent-Length: 60\r\n",
        b"Content-Length: +0\r\n",
        b"Content-Length: 0x0\r\n",
        b"Content-Length: 0, 0\r\n",
        b"Content-Length: \x0b0\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: y\r\n folded: z\r\nContent-Length: 0\r\n",
        b"X: a\nContent-Length: 0\r\n",
        b"X: a\rY: b\r\n",
        b"\x00: a\r\n",
        b"X y: a\r\n",
    ],
)
async def test_s40_an_ambiguous_request_is_rejected(head: bytes) -> None:
    subject = guarded()
    async with Served(subject.app).listening() as server:
        got = await server.talk(b"POST /v1/chat/completions HTTP/1.1\r\n" + _H + head + b"\r\n" + _SMUGGLED)
    assert got.startswith(b"HTTP/1.1 400 ")
    assert got.count(b"HTTP/1.1 ") == 1
    assert b"modelmux_requests" not in got


async def test_s40_endless_trailers_are_cut_off() -> None:
    subject = guarded()
    start = b"POST /v1/chat/completions HTTP/1.1\r\n" + _H + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"
    async with Served(subject.app).listening() as server:
        got = await server.talk(start + b"x-trailer: " + b"a" * 100 + b"\r\n" + b"t: u\r\n" * 50_000)
    assert got.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokx",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\x00b\r\ncontent-length: 2\r\n\r\nok",
        b"\x00\x00\x00 HTTP/1.1 200 OK\r\n\r\n",
    ],
)
async def test_s40_an_ambiguous_reply_is_an_error(reply: bytes) -> None:
    async def talk(wire: Wire) -> None:
        await wire.request()
        await wire.send(reply)
        await wire.wait_closed()

    async with peer(talk) as (origin, _), pool_of() as pool:
        result = await outcome(pool, upstream_call(origin))
        assert isinstance(result, Exception), result
        assert pool.idle == 0


_TWICE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"


async def test_s40_an_unsolicited_reply_is_discarded() -> None:
    async def talk(wire: Wire) -> None:
        await wire.request()
        await wire.send(_TWICE)
        await wire.wait_closed()

    async with peer(talk) as (origin, listening), pool_of() as pool:
        for _ in range(3):
            assert await outcome(pool, upstream_call(origin)) == (200, b"ok")
        assert listening.accepted == 3
