"""Risk: a page without its request id, or one that no longer reaches Starlette's response."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modelmux.dialects.base import Caller
from modelmux.server.pages import page_handler


async def test_a_page_is_sent_with_its_request_id() -> None:
    async def page(request: Request) -> Response:
        return JSONResponse({"path": request.url.path}, 418, {"x-own": "1"})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "query_string": b"", "server": ("h", 1)}
    await page_handler(page)(scope, receive, send, "req_1", Caller(), {})
    assert sent[0]["status"] == 418
    assert {(b"x-request-id", b"req_1"), (b"x-own", b"1")} <= set(sent[0]["headers"])
    assert sent[1]["body"] == b'{"path":"/x"}'
