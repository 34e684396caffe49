"""Every recorded exchange once more, over real sockets: a server that sends the recorded bytes in random pieces, the
gateway's own HTTP client, and the official SDK's types as the judge of what comes out."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from modelmux import Config
from modelmux.app import Gateway
from support.asgi import request
from support.clock import current_runtime
from support.fakes import FakeTokens
from support.gateway import PATH, ask
from support.recordings import recordings


@asynccontextmanager
async def replaying(recording: dict[str, Any], seed: int) -> AsyncIterator[str]:
    """A raw HTTP/1.1 server; gives its base URL."""
    dice = random.Random(seed)
    stream = recording["kind"] == "stream"
    body = (recording["sse"] if stream else json.dumps(recording["body"], ensure_ascii=False)).encode()
    kind = b"text/event-stream" if stream else b"application/json"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-l"))
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ntransfer-encoding: chunked\r\n\r\n")
        left = body
        while left:
            piece, left = left[: (size := dice.choice((1, 5, 60, 700, 4000)))], left[size:]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if dice.random() < 0.2:
                await writer.drain()
                await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("recording", recordings("message", "stream"))
async def test_the_sdk_accepts_what_comes_out(recording: dict[str, Any], stream: bool) -> None:
    async with replaying(recording, seed=5) as base_url:
        settings = {"vertex": {"project": "p", "location": "global", "base_url": base_url}}
        app = Gateway(Config.from_dict(settings), tokens=FakeTokens(), environment={}, runtime=current_runtime())
        try:
            response = await request(app, "POST", PATH, ask(stream=stream))
        finally:
            await app.aclose()
    assert response.status == 200
    if stream:
        *chunks, done = response.events()
        assert done == "[DONE]"
        for chunk in chunks:
            ChatCompletionChunk.model_validate(chunk, strict=True)
    else:
        ChatCompletion.model_validate(response.json(), strict=True)
