"""Risk: a request hides in another, a slow client costs memory, or a response reaches the wrong request. The server's
side of HTTP, byte by byte."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from modelmux.server.http.request import ON_DISCONNECT
from support.served import PATIENCE, Client, Served

POST = b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%b"


def post(body: bytes) -> bytes:
    return POST % (len(body), body)


class Echo:
    """Answers with method, path and body; keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.seen.append((scope["method"], scope["path"], body))
        answer = scope["path"].encode() + b" " + body
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer})


async def test_one_connection_serves_many_requests() -> None:
    app = Echo()
    async with Served(app).listening() as server:
        client = await server.connect()
        for number in range(3):
            await client.send(post(b"%d" % number))
            status, headers, body = await client.response()
            assert (status, body, headers["date"]) == (200, b"/x %d" % number, "Thu, 01 Jan 2026 00:00:00 GMT")
        client.close()
    assert app.scopes[0]["http_version"] == "1.1"
    assert app.scopes[0]["headers"] == [(b"host", b"h"), (b"content-length", b"1")]
    assert app.scopes[0]["client"][0] == "127.0.0.1"


async def test_any_cut_of_the_bytes_is_the_same_request() -> None:
    raw = b"POST /a%20b?c=%C3%A9 HTTP/1.1\r\nHost: h\r\nX-Y: z\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw += b"3\r\nabc\r\n1;e=f\r\nd\r\n0\r\nt: u\r\n\r\n"
    for cut in range(1, len(raw), 3):
        app = Echo()
        async with Served(app).listening() as server:
            client = await server.connect()
            await client.send(raw[:cut])
            await asyncio.sleep(0)
            await client.send(raw[cut:])
            assert (await client.response())[2] == b"/a b abcd"
            client.close()
        assert app.scopes[0]["query_string"] == b"c=%C3%A9"
        assert (b"t", b"u") not in app.scopes[0]["headers"]


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    app = Echo()
    async with Served(app).listening() as server:
        client = await server.connect()
        await client.send(b"".join(post(b"%d" % n) for n in range(20)))
        assert [(await client.response())[2] for _ in range(20)] == [b"/x %d" % n for n in range(20)]
        client.close()


async def test_the_body_before_a_request_is_not_part_of_its_head() -> None:
    body = b"x" * 200_000
    async with Served(Echo()).listening() as server:
        client = await server.connect()
        await client.send(post(body) + b"POST /y HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n")
        assert (await client.response())[2] == b"/x " + body
        await client.send(b"z")
        assert (await client.response())[2] == b"/y z"
        client.close()


async def test_too_many_requests_ahead_end_the_connection_after_what_was_answered() -> None:
    async with Served(Echo(), pipelined=4).listening() as server:
        got = await server.talk(b"".join(post(b"%d" % n) for n in range(50)))
    assert got.startswith(b"HTTP/1.1 200 OK")
    assert got.count(b"HTTP/1.1") == 1


_P = b"POST / HTTP/1.1\r\nHost: h\r\n"
_G = b"GET / HTTP/1.1\r\nHost: h\r\n"
_CHUNKED = _P + b"Transfer-Encoding: chunked"
NO_REQUESTS: list[tuple[str, bytes, int]] = [
    ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("no host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("two lengths", _P + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    ("signed length", _P + b"Content-Length: +1\r\n\r\na", 400),
    ("hex length", _P + b"Content-Length: 0x1\r\n\r\na", 400),
    ("length list", _P + b"Content-Length: 1, 1\r\n\r\na", 400),
    ("length and chunked", _P + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked and length", _CHUNKED + b"\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    ("chunked is not last", _CHUNKED + b", identity\r\n\r\n0\r\n\r\n", 400),
    ("unknown coding", _P + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked by tab", _P + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("space before colon", _P + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    ("folded header", _G + b"X: a\r\n b\r\n\r\n", 400),
    ("bare LF", b"GET / HTTP/1.1\nHost: h\n\n", 400),
    ("bare CR", _G + b"X: a\rY: b\r\n\r\n", 400),
    ("NUL in a header", _G + b"X: a\x00b\r\n\r\n", 400),
    ("bad chunk size", _CHUNKED + b"\r\n\r\n-1\r\na\r\n0\r\n\r\n", 400),
    ("chunk longer than it says", _CHUNKED + b"\r\n\r\n1\r\nabc\r\n0\r\n\r\n", 400),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("HTTP/3.7", b"GET / HTTP/3.7\r\nHost: h\r\n\r\n", 400),
    ("long target", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 431),
    ("long header", _G + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    ("endless header", _G + b"X: " + b"a" * 200_000, 431),
    ("many headers", _G + b"" + b"X: a\r\n" * 300 + b"\r\n", 431),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "status"), [(r, s) for _, r, s in NO_REQUESTS], ids=[n for n, _, _ in NO_REQUESTS])
async def test_what_is_no_request_gets_an_envelope_and_the_end(raw: bytes, status: int) -> None:
    app = Echo()
    async with Served(app).listening() as server:
        got = await server.talk(raw + b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n")
    assert ("GET", "/hidden", b"") not in app.seen
    assert got.count(b"HTTP/1.1 ") == 1
    top, _, body = got.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close" in top
    error = json.loads(body)["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]


async def test_endless_trailers_and_extensions_are_no_way_around_the_limits() -> None:
    chunked = b"POST /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
    for flood in (b"0\r\n" + b"t: u\r\n" * 20_000, b"1;" + b"e" * 100_000, b"0\r\nt: " + b"u" * 100_000):
        app = Echo()
        async with Served(app).listening() as server:
            await server.talk(chunked + flood)
        assert app.seen == []


async def test_many_small_chunks_are_a_body_like_any_other() -> None:
    app = Echo()
    chunks = b"".join(b"1\r\n%c\r\n" % (97 + n % 26) for n in range(30_000))
    async with Served(app).listening() as server:
        client = await server.connect()
        await client.send(b"POST /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        assert len((await client.response())[2]) == 30_003
        client.close()


async def test_garbage_behind_a_running_request_does_not_get_into_its_answer() -> None:
    go_on = asyncio.Event()

    async def slow(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"two"})

    async with Served(slow).listening() as server:
        client = await server.connect()
        await client.send(post(b"") + b"\x00\x01 nonsense\r\n\r\n")
        await asyncio.sleep(0.05)
        go_on.set()
        assert (await client.response())[2] == b"onetwo"
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"", None), (b"GET / HTTP/1.1\r\nHo", 408), (POST % (9, b"abc"), 408)],
    ids=["nothing", "half a head", "half a body"],
)
async def test_slow_senders_are_cut_off(sent: bytes, status: int | None) -> None:
    limits = {"keep_alive": 0.15, "head_seconds": 0.15, "body_idle_seconds": 0.15, "body_seconds": 5.0}
    async with Served(Echo(), **limits).listening() as server:
        got = await server.talk(sent)
        assert (int(got.split()[1]) if got else None) == status


async def test_a_sender_that_drips_is_cut_off_however_steadily() -> None:
    limits = {"head_seconds": 0.2, "body_idle_seconds": 5.0, "body_seconds": 0.3}
    async with Served(Echo(), **limits).listening() as server:
        for start, rest in ((b"", b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 100), (POST % (200, b""), b"a" * 200)):
            client = await server.connect()
            await client.send(start)
            reading = asyncio.create_task(client.rest())
            for byte in rest:
                await client.send(bytes([byte]))
                await asyncio.sleep(0.01)
                if reading.done():
                    break
            assert b" 408 " in await reading


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    async def slow(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(0.4)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    limits = {"keep_alive": 0.15, "head_seconds": 0.15, "body_idle_seconds": 0.15, "body_seconds": 0.2}
    async with Served(slow, **limits).listening() as server:
        client = await server.connect()
        await client.send(post(b"abc"))
        assert (await client.response())[2] == b"ok"
        assert await client.rest() == b""


async def test_a_disconnect_is_reported_by_a_call_and_by_receive() -> None:
    called, received = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, _: Any) -> None:
        scope["extensions"][ON_DISCONNECT](called.set)
        while (await receive())["type"] != "http.disconnect":
            pass
        received.set()

    async with Served(app).listening() as server:
        client = await server.connect()
        await client.send(post(b"abc"))
        await asyncio.sleep(0.05)
        assert not called.is_set()
        client.close()
        async with asyncio.timeout(PATIENCE):
            await called.wait()
            await received.wait()


async def test_a_slow_reader_makes_the_application_wait() -> None:
    sent = 0

    async def flood(_: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while sent < 1000:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            sent += 1
        await send({"type": "http.response.body", "body": b""})

    async with Served(flood).listening() as server:
        client = await server.connect()
        await client.send(post(b""))
        before = -1
        while sent != before or not before:
            before = sent
            await asyncio.sleep(0.3)
        assert before < 500
        assert len((await client.response())[2]) == 1000 * 65536
        client.close()


async def test_a_slow_reader_that_leaves_frees_the_application() -> None:
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def flood(_: Any, receive: Any, send: Any) -> None:
        await receive()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        except OSError as error:
            ended.set_result(type(error).__name__)
            raise

    async with Served(flood).listening() as server:
        client = await server.connect()
        await client.send(post(b""))
        await asyncio.sleep(0.1)
        client.writer.transport.abort()
        assert await asyncio.wait_for(ended, PATIENCE) == "ClientDisconnected"


async def test_a_body_is_not_taken_faster_than_the_application_reads() -> None:
    go_on, size = asyncio.Event(), 0

    async def app(_: Any, receive: Any, send: Any) -> None:
        nonlocal size
        await go_on.wait()
        more = True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with Served(app).listening() as server:
        client = await server.connect()
        sending = asyncio.create_task(client.send(post(b"y" * 20_000_000)))
        await asyncio.sleep(0.2)
        (connection,) = server.connections
        assert connection._active._body_size < 1_000_000
        go_on.set()
        await sending
        assert b" 204 " in await client.reader.readuntil(b"\r\n\r\n")
        client.close()
    assert size == 20_000_000


async def test_an_early_answer_reaches_a_client_that_is_still_sending() -> None:
    async def refuse(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"no"})

    async with Served(refuse).listening() as server:
        client = await server.connect()
        for _ in range(2):  # and the connection is good for another request
            await client.send(post(b"y" * 5_000_000))
            assert (await client.response())[::2] == (401, b"no")
        client.close()


async def test_what_is_sent_after_an_answer_is_bounded() -> None:
    async def refuse(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"no"})

    async with Served(refuse, discard=1_000_000).listening() as server:
        got = await server.talk(post(b"y" * 20_000_000))
    assert got.startswith(b"HTTP/1.1 401") or got == b""


async def test_a_client_that_expects_100_gets_it() -> None:
    async with Served(Echo()).listening() as server:
        client = await server.connect()
        await client.send(b"POST /x HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"hi")
        assert (await client.response())[2] == b"/x hi"
        client.close()


async def test_a_wish_to_speak_another_protocol_is_passed_over() -> None:
    async with Served(Echo()).listening() as server:
        client = await server.connect()
        upgrade = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
        await client.send(b"POST /x HTTP/1.1\r\nhost: h\r\n" + upgrade + b"content-length: 2\r\n\r\nhi")
        assert (await client.response())[2] == b"/x hi"
        client.close()


async def _headers(server: Served, raw: bytes) -> tuple[bytes, Client]:
    client = await server.connect()
    await client.send(raw)
    return await client.reader.readuntil(b"\r\n\r\n"), client


async def test_framing_follows_the_version_and_the_method() -> None:
    async def stream(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"a", b"", b"bc"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with Served(stream).listening() as server:
        head, client = await _headers(server, b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        assert b"transfer-encoding: chunked" in head
        assert await client.reader.readuntil(b"0\r\n\r\n") == b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
        client.close()
        head, client = await _headers(server, b"GET / HTTP/1.0\r\n\r\n")
        assert (b"transfer-encoding" in head, b"connection: close" in head) == (False, True)
        assert await client.rest() == b"abc"
        head, client = await _headers(server, b"HEAD / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        assert await client.rest() == b""


async def test_head_and_first_body_leave_together() -> None:
    async with Served(Echo()).listening() as server:
        client = await server.connect()
        await asyncio.sleep(0.02)
        (connection,) = server.connections
        writes: list[bytes] = []
        real = connection.transport

        class Counting:
            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

            def write(self, data: bytes) -> None:
                writes.append(data)
                real.write(data)

        connection.transport = Counting()
        await client.send(post(b"abc"))
        await client.response()
        assert len(writes) == 1
        client.close()


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: x", b"a\nb", b"a\rb"])
async def test_no_header_value_becomes_a_header_of_its_own(value: bytes) -> None:
    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        with pytest.raises(ValueError, match="line break"):
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x", value)]})

    async with Served(app).listening() as server:
        got = await server.talk(post(b""))
    assert got.startswith(b"HTTP/1.1 500 ")
    assert b"cookie" not in got


async def test_an_application_that_stops_in_the_middle_leaves_an_incomplete_response() -> None:
    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    async with Served(app).listening() as server:
        got = await server.talk(post(b""))
    assert got.endswith(b"4\r\nhalf\r\n")  # no last chunk


async def test_shutdown_closes_idle_connections_and_lets_busy_ones_finish() -> None:
    go_on = asyncio.Event()

    async def slow(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async with Served(slow).listening() as server:
        idle, busy = await server.connect(), await server.connect()
        await busy.send(post(b"") + post(b"again"))
        await asyncio.sleep(0.05)
        for connection in server.connections:
            connection.shutdown()
        assert await idle.rest() == b""
        go_on.set()
        status, headers, body = await busy.response()
        assert (status, headers["connection"], body) == (200, "close", b"ok")
        assert await busy.rest() == b""


async def test_nothing_is_left_of_a_thousand_connections_that_end_anyhow() -> None:
    async with Served(Echo()).listening() as server:
        for number in range(300):
            client = await server.connect()
            await client.send([b"", b"GET", post(b"abc"), POST % (99, b"a"), b"\x00"][number % 5])
            if number % 2:
                client.writer.transport.abort()
            client.close()
        async with asyncio.timeout(PATIENCE):
            await server.quiet()
