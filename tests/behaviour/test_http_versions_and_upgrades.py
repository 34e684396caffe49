"""Risk: a request of another version of HTTP, or one that asks for another protocol, is answered by the wrong rules: in
chunks that its client cannot read, on a connection that stays open against its word, or without its Host header."""

from __future__ import annotations

import pytest

from support.fakes import FakeUpstream
from support.gateway import gateway
from support.served import Served

_UPGRADE = b"Upgrade: h2c\r\nConnection: "


async def _talk(raw: bytes) -> bytes:
    async with Served(gateway(FakeUpstream([]))).listening() as server:
        return await server.talk(raw)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"Host: localhost\r\n",
        _UPGRADE + b"upgrade\r\n",
        b"Host: localhost\r\n" + _UPGRADE + b"keep-alive, Upgrade\r\n",
    ],
)
async def test_http_1_0_stays_http_1_0(head: bytes) -> None:
    got = await _talk(b"GET /livez HTTP/1.0\r\n" + head + b"\r\n")
    assert got.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding" not in got
    assert b"connection: close\r\n" in got


@pytest.mark.parametrize(
    "head",
    [
        _UPGRADE + b"close, upgrade\r\n",
        _UPGRADE + b"Upgrade , Close\r\n",
        _UPGRADE + b"upgrade\r\nConnection: close\r\n",
        b"Connection: close, upgrade\r\n",
    ],
)
async def test_the_wish_to_close_survives_a_wish_to_upgrade(head: bytes) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n"
    got = await _talk(request + b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.count(b"HTTP/1.1 ") == 1
    assert b"connection: close\r\n" in got


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.0", b"HTTP/1.2"])
@pytest.mark.parametrize("head", [b"", b"Host: localhost\r\n", b"Host: localhost\r\n" + _UPGRADE + b"upgrade\r\n"])
async def test_another_version_is_refused(version: bytes, head: bytes) -> None:
    got = await _talk(b"GET /livez " + version + b"\r\n" + head + b"\r\n")
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"HTTP/1.1" in got.partition(b"\r\n\r\n")[2]
