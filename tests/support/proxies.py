"""The listener of the admin API behind a proxy: where a request comes from, and headers that are sent several times."""

from __future__ import annotations

from typing import Any

from support import asgi

PROXY = "10.0.3.7"
HOST = "127.0.0.1:3001"
#: As a browser sends them for a page of this listener.
SAME = {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}


async def send(
    app: Any,
    method: str,
    path: str,
    *sent: tuple[str, str],
    client: tuple[str, int] | None = (PROXY, 4711),
    server: tuple[str, int] | None = ("127.0.0.1", 3001),
    body: Any = b"",
    **headers: str,
) -> asgi.Response:
    """:param sent: headers in their order, as the parser of the server writes them. :param client: the peer.
    :param server: where the connection came in."""

    async def behind(scope: Any, receive: Any, reply: Any) -> None:
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent]
        await app(scope | {"client": client, "server": server, "headers": [*scope["headers"], *pairs]}, receive, reply)

    named = {"host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
    return await asgi.request(behind, method, path, body, named)
