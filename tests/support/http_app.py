"""A small ASGI application, and the process that serves it with a third-party server.

``python http_app.py SERVER FD [CERT KEY]``, where SERVER is h11, httptools or hypercorn and FD a listening socket.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import sys
from typing import Any
from urllib.parse import parse_qsl

PIECE = 64 * 1024


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("only http")  # the servers take that for "no lifespan"
    query = {name: int(value) for name, value in parse_qsl(scope["query_string"].decode())}
    digest, size, more = hashlib.sha256(), 0, True
    while more:
        message = await receive()
        digest.update(message.get("body", b""))
        size += len(message.get("body", b""))
        more = message.get("more_body", False)

    async def reply(status: int, headers: list[tuple[bytes, bytes]], parts: list[bytes]) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    if scope["path"] == "/echo":
        seen = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        body = json.dumps({"size": size, "sha256": digest.hexdigest(), "headers": seen, "path": scope["path"]}).encode()
        await reply(200, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))], [body])
    elif scope["path"] == "/chunks":
        await reply(200, [], [b"%08d" % number for number in range(query["n"])])
    elif scope["path"] == "/large":
        full, rest = divmod(query["n"], PIECE)
        parts = [b"x" * PIECE] * full + [b"x" * rest]
        await reply(200, [(b"content-length", b"%d" % query["n"])] if query.get("length") else [], parts)
    elif scope["path"] == "/status":
        await reply(query["code"], [], [])
    elif scope["path"] == "/close":
        await reply(200, [(b"connection", b"close"), (b"content-length", b"4")], [b"last"])
    else:
        await reply(404, [(b"content-length", b"0")], [])


def _serve_with_uvicorn(http: str, sock: socket.socket, tls: list[str]) -> None:
    import uvicorn

    cert, key = tls or (None, None)
    config = uvicorn.Config(
        application, http=http, loop="asyncio", lifespan="off", log_level="warning", access_log=False,
        ssl_certfile=cert, ssl_keyfile=key,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[sock])


def _serve_with_hypercorn(sock: socket.socket, tls: list[str]) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{sock.fileno()}"]
    config.errorlog = None
    if tls:
        config.certfile, config.keyfile = tls
    asyncio.run(serve(application, config))  # type: ignore[arg-type]


if __name__ == "__main__":
    server, listening = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
    if server == "hypercorn":
        _serve_with_hypercorn(listening, sys.argv[3:])
    else:
        _serve_with_uvicorn(server, listening, sys.argv[3:])
