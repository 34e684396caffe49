"""Well-formed and malformed replies, however the network splits them: the same result or an UpstreamBroken; never a
hang, never a wrong body."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.errors import UpstreamBroken
from modelmux.upstream import http1
from support.http_transport import Exchanged, exchange

HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = HEAD + b"Content-Type: application/json\r\nRequest-Id: req_1\r\nContent-Length: 11\r\n\r\n" + b'{"id":"m1"}'
CHUNKED = (
    HEAD + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nX-Empty:\r\n\r\n"
    b"10\r\nevent: ping\ndata\r\n3;ext=1\r\n: 1\r\n02\r\n\n\n\r\n0\r\nX-Trailer: t\r\nX-Other: u\r\n\r\n"
)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + LENGTH
EMPTY = b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n"
WELL_FORMED = {
    "length": (LENGTH, b'{"id":"m1"}'),
    "chunked": (CHUNKED, b"event: ping\ndata: 1\n\n"),
    "interim": (INTERIM, b'{"id":"m1"}'),
    "empty": (EMPTY, b""),
}
each_reply = pytest.mark.parametrize(("data", "body"), WELL_FORMED.values(), ids=list(WELL_FORMED))


def run(*pieces: bytes, eof: bool = False, method: str = "POST") -> Exchanged:
    return asyncio.run(exchange(pieces, eof=eof, method=method))


def refused(seen: Exchanged) -> UpstreamBroken:
    assert isinstance(seen.error, UpstreamBroken)
    assert not seen.reusable
    return seen.error


@each_reply
def test_the_reply_is_read_and_the_connection_is_reusable(data: bytes, body: bytes) -> None:
    seen = run(data)
    assert (seen.body, seen.error, seen.reusable) == (body, None, True)


@each_reply
def test_two_reads_give_the_same_reply_as_one(data: bytes, body: bytes) -> None:
    async def every_split() -> None:
        complete = await exchange([data])
        for at in range(1, len(data)):
            assert await exchange([data[:at], data[at:]]) == complete, at

    asyncio.run(every_split())


@each_reply
def test_one_byte_per_read_gives_the_same_reply(data: bytes, body: bytes) -> None:
    assert run(*(data[at : at + 1] for at in range(len(data)))) == run(data)


@given(st.sampled_from(list(WELL_FORMED.values())), st.lists(st.integers(0, 300), max_size=12))
def test_any_split_into_reads_gives_the_same_reply(reply: tuple[bytes, bytes], cuts: list[int]) -> None:
    data, _ = reply
    edges = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    assert run(*(data[start:end] for start, end in itertools.pairwise(edges))) == run(data)


@each_reply
def test_a_reply_cut_off_at_any_byte_is_an_error(data: bytes, body: bytes) -> None:
    async def every_end() -> None:
        for at in range(len(data)):
            seen = await exchange([data[:at]], eof=True)
            error = refused(seen)
            assert error.reply_started == (at > 0), at
            assert body.startswith(seen.body), at

    asyncio.run(every_end())


@pytest.mark.parametrize("after", [b"garbage", b"H", b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nother", LENGTH, b"\0", b" "])
@each_reply
def test_data_after_a_reply_is_never_part_of_it(data: bytes, body: bytes, after: bytes) -> None:
    seen = run(data + after)
    assert (seen.body, seen.error, seen.reusable) == (body, None, False)
    assert seen.headers == run(data).headers


def test_data_after_the_reply_was_read_closes_the_connection() -> None:
    seen = run(LENGTH, b"HTTP/1.1 200 OK\r\n")
    assert (seen.body, seen.error, seen.reusable) == (b'{"id":"m1"}', None, False)


def test_header_names_are_lower_case_and_in_order_without_trailers() -> None:
    assert run(CHUNKED).headers == [
        (b"content-type", b"text/event-stream"),
        (b"transfer-encoding", b"chunked"),
        (b"x-empty", b""),
    ]
    assert [name for name, _ in run(INTERIM).headers] == [b"content-type", b"request-id", b"content-length"]


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"\r\nall there is",
        b"HTTP/1.0 200 OK\r\n\r\nall there is",
        HEAD + b"Connection: close\r\n\r\nall there is",
    ],
)
def test_a_body_without_framing_ends_with_the_connection(data: bytes) -> None:
    seen = run(data, eof=True)
    assert (seen.body, seen.error, seen.reusable) == (b"all there is", None, False)


def test_a_body_without_framing_is_incomplete_until_the_connection_ends() -> None:
    seen = asyncio.run(exchange([HEAD + b"\r\nsome"], must_end=False))
    assert (seen.body, seen.error, seen.reusable) == (b"some", None, False)


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Connection: close\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ],
)
def test_a_reply_with_connection_close_is_complete_and_the_connection_is_closed(data: bytes) -> None:
    seen = run(data)
    assert (seen.body, seen.error, seen.reusable) == (b"body", None, False)


def test_an_http_1_0_reply_with_keep_alive_keeps_the_connection() -> None:
    assert run(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody").reusable


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Length: 5\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Connection: close\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_a_reply_to_head_has_no_body(data: bytes) -> None:
    seen = run(data, method="HEAD")
    assert seen.status in {200, 304}
    assert (seen.body, seen.error, seen.reusable) == (b"", None, False)


def test_a_304_has_no_body_despite_a_content_length() -> None:
    seen = run(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")
    assert (seen.status, seen.body, seen.error, seen.reusable) == (304, b"", None, True)


MALFORMED = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
    "no status": b"HTTP/1.1 \r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status below 100": b"HTTP/1.1 099 ?\r\nContent-Length: 3\r\n\r\nabc",
    "interim with a body": b"HTTP/1.1 150 ?\r\nContent-Length: 3\r\n\r\nabc" + LENGTH,
    "interim in chunks": b"HTTP/1.1 150 ?\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + LENGTH,
    "folded header": HEAD + b"A: b\r\n c\r\nContent-Length: 1\r\n\r\nx",
    "space before the colon": HEAD + b"Content-Length : 1\r\n\r\nx",
    "NUL in a header": HEAD + b"A: b\0c\r\nContent-Length: 1\r\n\r\nx",
    "CR in a header": HEAD + b"A: b\rc\r\nContent-Length: 1\r\n\r\nx",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
    "list of lengths": HEAD + b"Content-Length: 1, 1\r\n\r\nx",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\nx",
    "signed length": HEAD + b"Content-Length: +1\r\n\r\nx",
    "hexadecimal length": HEAD + b"Content-Length: 0x1\r\n\r\nx",
    "overflowing length": HEAD + b"Content-Length: 99999999999999999999\r\n\r\nx",
    "length, then chunked": HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunked, then length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "unknown transfer encoding": HEAD + b"Transfer-Encoding: gzip\r\n\r\nx",
    "gzip, chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunked not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "compressed": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
    "chunk size no number": HEAD + b"Transfer-Encoding: chunked\r\n\r\nz\r\nx\r\n0\r\n\r\n",
    "negative chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
    "overflowing chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff1\r\nx\r\n0\r\n\r\n",
    "chunk longer than said": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n",
    "chunk ended by LF": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n",
    "switch of protocol": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nx",
    "bare 101": b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + LENGTH,
    "endless interim replies": b"HTTP/1.1 102 Processing\r\n\r\n" * (http1.MAX_INTERIM + 1) + LENGTH,
    "too many headers": HEAD + b"A: b\r\n" * (http1.MAX_HEADERS + 1) + b"\r\n",
    "head too long, in one read": HEAD + b"A: " + b"x" * http1.MAX_HEAD + b"\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=list(MALFORMED))
def test_a_malformed_reply_is_rejected(data: bytes) -> None:
    error = refused(run(data))
    assert error.reply_started
    refused(run(*(data[at : at + 1] for at in range(min(len(data), 4096))), eof=True))


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (HEAD + b"A: ", b"x" * 1000),
        (HEAD, b"A: b\r\n" * 100),
        (b"HTTP/1.1 200 ", b"x" * 1000),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1;", b"e" * 1000),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: ", b"t" * 1000),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"T: b\r\n" * 100),
        (b"", b"\r\n" * 500),
    ],
    ids=["header", "headers", "reason", "chunk extension", "trailer", "trailers", "blank lines"],
)
def test_head_and_framing_are_limited(start: bytes, more: bytes) -> None:
    refused(run(start, *[more] * (http1.MAX_HEAD // len(more) + 2)))


def test_a_long_body_is_not_counted_as_framing() -> None:
    chunks = [b"%x\r\n" % http1.MAX_HEAD + b"x" * http1.MAX_HEAD + b"\r\n"] * 3
    seen = run(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *chunks, b"0", b"\r\n\r\n")
    assert (len(seen.body), seen.error, seen.reusable) == (3 * http1.MAX_HEAD, None, True)


def test_content_encoding_identity_is_accepted() -> None:
    assert run(HEAD + b"Content-Encoding: Identity\r\nContent-Length: 1\r\n\r\nx").body == b"x"


def test_bytes_before_a_break_are_delivered_before_the_error() -> None:
    seen = run(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n", b"6\r\nsecond\r\nnonsense", eof=True)
    assert seen.body == b"firstsecond"
    refused(seen)


def test_the_message_of_an_error_contains_nothing_of_the_reply() -> None:
    error = refused(run(HEAD + b"Secret-Header : secret-value\r\n\r\n"))
    assert "secret" not in f"{error.message} {error.detail}".lower()
