"""One request to the gateway, over HTTP and with the key of the form, and what comes back as events.

The gateway sees a client like any other: keys, limits, budgets and the ledger count it. The key is in this call alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Final

import msgspec

from modelmux.dashboard.playground.answers import Answer, error_message
from modelmux.dashboard.playground.apis import APIS, Api
from modelmux.dashboard.playground.gateway import PlaygroundGateway
from modelmux.dashboard.playground.question import Question
from modelmux.errors import GatewayError
from modelmux.upstream.base import Reply
from modelmux.upstream.pool import HttpPool
from modelmux.wire.http import HttpCall, Timeouts, find_header
from modelmux.wire.sse import SSEDecoder

#: Its name and data. ``sent``, ``start``, ``text`` and ``thinking``, ``error``, ``end``, ``charged``: see ``ask``.
Event = tuple[str, dict[str, Any]]
#: Bytes of an error, and of an event of a stream.
_MAX_ERROR: Final = 256 * 1024
_MAX_EVENT: Final = 1024 * 1024
#: Longer than any that the gateway has: it tells what expired.
_TIMEOUTS: Final = Timeouts(connect=5.0, first_byte=3600.0, idle=600.0)
#: Requests of all visitors at once: each has a connection to the gateway and one to a browser.
MAX_RUNNING: Final = 64
_BUSY: Final = f"{MAX_RUNNING} requests run from this page already. Try again when one of them has ended."
_AGENT: Final = b"modelmux-playground"


async def ask(
    gateway: PlaygroundGateway, question: Question, key: str, request_id: str, clock: Callable[[], float]
) -> AsyncGenerator[Event, None]:
    """Send it. Closing the generator ends the request.

    ``start`` has the id, model, deployment and notices of the response; ``text`` and ``thinking`` a piece of it;
    ``error`` what a client would be told; ``end`` tokens, times in seconds and the reason, whatever came before.

    :param clock: monotonic seconds.
    """
    if len(gateway.running) >= MAX_RUNNING:
        yield "error", {"status": 429, "code": "playground_busy", "message": _BUSY}
        return
    api, pool, began = APIS[question.api], HttpPool(max_connections=1, max_idle=0), clock()
    gateway.running.add(request_id)
    try:
        async with _sent(pool, gateway, api, question, key, request_id) as reply:
            yield "start", _start(reply, request_id)
            if reply.status != 200:
                yield "error", _refused(reply, await reply.read(_MAX_ERROR))
                return
            async with contextlib.aclosing(_relayed(api, reply, began, clock)) as events:
                async for event in events:
                    yield event
    except GatewayError as error:
        yield "error", {"status": None, "code": error.code, "message": f"The gateway was not reached: {error.message}"}
    finally:
        gateway.running.discard(request_id)
        await pool.aclose()


@contextlib.asynccontextmanager
async def _sent(
    pool: HttpPool, gateway: PlaygroundGateway, api: Api, question: Question, key: str, request_id: str
) -> AsyncIterator[Reply]:
    headers = [*api.call_headers(key), (b"user-agent", _AGENT), (b"x-request-id", request_id.encode())]
    body = msgspec.json.encode(api.body(question))
    reply = await pool.send(HttpCall(gateway.origin, api.path, headers, body, _TIMEOUTS, resend=False))
    try:
        yield reply
    finally:
        await reply.aclose()


async def _relayed(api: Api, reply: Reply, began: float, clock: Callable[[], float]) -> AsyncGenerator[Event, None]:
    decoder, answer, first = SSEDecoder(_MAX_EVENT), Answer(), None
    problem = None
    try:
        async for chunk in reply:
            for event in decoder.feed(chunk):
                piece = api.read(event.data, answer)
                if piece is not None:
                    first = clock() - began if first is None else first
                    yield piece.kind, {"text": piece.text}
    except GatewayError as error:
        problem = f"The connection to the gateway broke: {error.message}"
    problem = answer.error or problem or (None if answer.is_complete else "The answer ended early.")
    if problem is not None:
        yield "error", {"status": 200, "code": None, "message": problem}
    yield "end", {
        "tokens": answer.tokens, "reason": answer.reason, "seconds": clock() - began, "first_seconds": first,
    }  # fmt: skip


def _start(reply: Reply, request_id: str) -> dict[str, Any]:
    notices = find_header(reply.headers, b"x-modelmux-notices") or ""
    return {
        "status": reply.status,
        "request_id": find_header(reply.headers, b"x-request-id") or request_id,
        "model": find_header(reply.headers, b"x-modelmux-model"),
        "deployment": find_header(reply.headers, b"x-modelmux-deployment"),
        "warning": find_header(reply.headers, b"x-modelmux-warning"),
        "notices": [one.strip() for one in notices.split(",") if one.strip()],
    }


def _refused(reply: Reply, body: bytes) -> dict[str, Any]:
    message, code = error_message(body)
    return {"status": reply.status, "code": code, "message": message}
