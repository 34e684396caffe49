"""Risk: a small compressed body, reply or download expands in memory."""

from __future__ import annotations

import gzip
import json

import pytest

from support.asgi import request
from support.fakes import SSE_HEADERS, FakeReply, FakeUpstream
from support.fetch_servers import PNG
from support.gateway import PATH, ask, gateway
from support.pictures import image_part, image_site
from support.security import BEARER, called, guarded, send

#: Unpacks what the gateway has packed itself, of bodies that were within its bounds.
OWN_CAPTURES = "store/captures/record.py"


async def test_s18_a_compressed_request_is_rejected_unread() -> None:
    subject = guarded()
    for coding in (b"gzip", b"br", b"deflate", b"zstd", b"gzip, gzip", b"GZIP"):
        response = await send(subject.app, "POST", PATH, [*BEARER, (b"content-encoding", coding)], None)
        assert response.status == 415
    unpacked = list(called("gzip.decompress", "zlib.decompress", "zlib.decompressobj", "brotli.decompress"))
    assert [place.partition(":")[0] for place in unpacked] == [OWN_CAPTURES]


@pytest.mark.parametrize("stream", [False, True])
async def test_s18_a_compressed_reply_is_not_unpacked(stream: bool) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    assert len(bomb) < 60_000
    headers = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")]
    subject = guarded(FakeReply(200, SSE_HEADERS if stream else headers, [bomb]), retries={"max": 0})
    response = await send(subject.app, "POST", PATH, BEARER, json.dumps(ask(stream=stream)).encode())
    assert response.status == 502
    assert len(response.body) < 2000


async def test_s18_a_compressed_download_is_not_unpacked() -> None:
    bomb = gzip.compress(PNG + b"0" * 50_000_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
    async with image_site({"/": head % len(bomb) + bomb}) as (served, settings):
        app = gateway(upstream := FakeUpstream([]), **settings)
        response = await request(
            app, "POST", PATH, ask() | {"messages": [{"role": "user", "content": [image_part(served.url())]}]}
        )
        await app.aclose()
        assert b"accept-encoding: identity" in served.heads[0].lower()
    assert response.status == 400
    assert not upstream.calls
