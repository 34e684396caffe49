"""``python -m bench costliest``: searches the requests that cost the most CPU time for their size, in every dialect.

The gateway runs in this process with an upstream that answers at once. Its CPU time is measured, not its latency, so
that the figures hardly depend on other load.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from bench import payloads
from bench.costly.bodies import known
from bench.costly.everything import grown
from bench.costly.forms import PATHS, encode, form_of, small
from bench.costly.headers import known_headers
from bench.no_google import FixedTokens
from modelmux import Config
from modelmux.app import Gateway
from modelmux.process.memory import tune_gc
from modelmux.server.loop_lag import LoopLag
from modelmux.wire.http import Headers, HttpCall

#: The promise of docs/reliability.md: seconds of CPU for a MB, and for a request below 100 kB.
MOST_FOR_A_MB: Final = 0.3
MOST_FOR_A_SMALL_ONE: Final = 0.2
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)


class Cost(NamedTuple):
    """What one request costs."""

    seconds: float
    size: int
    status: int
    dialect: str
    name: str

    @property
    def share(self) -> float:
        """Of what is promised for its size."""
        most = MOST_FOR_A_SMALL_ONE if self.size <= SIZES[2] else MOST_FOR_A_MB * self.size / 1e6
        return self.seconds / most

    @property
    def is_too_much(self) -> bool:
        return self.share > 1


class _Reply:
    """A complete reply."""

    status = 200
    headers: Final[Headers] = [(b"content-type", b"application/json")]
    is_complete = True

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self, limit: int) -> bytes:
        del limit
        return self._body

    async def __aiter__(self) -> Any:
        yield self._body

    async def aclose(self) -> None:
        pass


class _Upstream:
    """Answers every call at once."""

    async def send(self, call: HttpCall) -> _Reply:
        return _Reply(b'{"input_tokens": 1}' if "count-tokens" in call.target else payloads.message())

    async def aclose(self) -> None:
        pass


def gateway() -> Gateway:
    """A gateway without network that rejects no request because of other load on the machine."""
    config = Config.from_dict({"vertex": {"project": "p", "location": "global"}, "server": {"log_level": "error"}})
    upstream: Any = _Upstream()
    app = Gateway(config, upstream=upstream, tokens=FixedTokens())
    app.readiness.loop_lag = LoopLag(clock=lambda: 0.0)
    return app


async def answer(app: Gateway, path: str, body: bytes, headers: Headers | None = None) -> tuple[int, bytes]:
    """Status and body of one request."""
    messages: Iterator[dict[str, Any]] = iter([{"type": "http.request", "body": body, "more_body": False}])
    status, parts = 0, list[bytes]()

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "root_path": "", "query_string": b"", "scheme": "http",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json"), *(headers or [])],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 3000),
    }  # fmt: skip
    application: Any = app
    await application(scope, receive, send)
    return status, b"".join(parts)


async def cost(app: Gateway, dialect: str, name: str, body: bytes, headers: Headers | None = None) -> Cost:
    """Measure one request; again if it seems too much, since a first run fills caches."""
    best = None
    for _ in range(2):
        begin = time.process_time()
        status, _response = await answer(app, PATHS[dialect], body, headers)
        assert status != 503, "not measured: the gateway sheds load"
        size = len(body) + sum(len(key) + len(value) + 4 for key, value in headers or ())
        result = Cost(time.process_time() - begin, size, status, dialect, name)
        best = result if best is None or result.seconds < best.seconds else best
        if not best.is_too_much:
            break
    assert best is not None
    return best


async def search(dialects: Sequence[str], sizes: Sequence[int]) -> list[Cost]:
    """All costs, the highest share of what is promised first."""
    app, costs = gateway(), list[Cost]()
    tune_gc()  # as the server does
    for dialect in dialects:
        for size in sizes:
            for source in (known, grown):
                for name, body in source(form_of(dialect), size):
                    costs.append(await cost(app, dialect, name, body))
            for name, headers in known_headers(size):
                costs.append(await cost(app, dialect, name, encode(small(form_of(dialect))), headers))
    await app.aclose()
    return sorted(costs, key=lambda c: c.share, reverse=True)


def main(dialects: Sequence[str] = (), sizes: Sequence[int] = SIZES) -> int:
    """Print the costliest.

    :returns: the exit status: 1 if one costs more than is promised.
    """
    costs = asyncio.run(search(dialects or list(PATHS), sizes))
    for item in costs[:40]:
        mark = "TOO MUCH" if item.is_too_much else ""
        rate = item.seconds / item.size * 1e6
        figures = f"{item.share:6.0%} {item.seconds:8.3f} s {item.size:9,} bytes {rate:9.3f} s/MB"
        print(f"{figures} {item.status} {item.dialect}: {item.name} {mark}")
    return int(any(item.is_too_much for item in costs))
