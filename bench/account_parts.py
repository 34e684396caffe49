"""Where the time of accounts goes, part by part: requests to a gateway within this process, without sockets.

Each batch of requests has a sum for each part, and the figure is that of the batch that is quicker than nine of ten: so
other programs on the machine change little. Parts in the event loop have the time that passes, those of the thread that
writes rows its CPU time. To look at the clock takes some tenths of a microsecond, which parts with others in them have.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench import payloads
from bench.no_google import FixedTokens
from modelmux import Config
from modelmux.app import Gateway
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.limits.rate_gate import RateGate
from modelmux.gateway.metering import budget_guard, ledger_observer
from modelmux.gateway.metering.log_fields import AccountFields
from modelmux.gateway.metering.metering import Metering
from modelmux.gateway.metering.request_journal import Note, RequestJournal
from modelmux.server.asgi import Application
from modelmux.store.connection_thread import ConnectionThread
from modelmux.store.ledger import sqlite_append, sqlite_ledger
from modelmux.wire.http import Headers, HttpCall

_KEY: Final = "a-key-of-the-bench-0123456789abcdef"
_BATCHES: Final = 80
_REQUESTS: Final = 96
_AT_ONCE: Final = 32
_PATH: Final = "/v1/chat/completions"


class Part(NamedTuple):
    """:param inside: the part whose time has this one's."""

    name: str
    owner: Any
    attribute: str
    inside: str = ""
    in_thread: bool = False


_SETTLED: Final = "what ends a request, beside"
_PARTS: Final = (
    Part("the key", Application, "_account_caller"),
    Part("limits: admission", RateGate, "enter"),
    Part("limits: headers", Exchange, "_own_headers"),
    Part("hold, beside", budget_guard.BudgetGuard, "hold"),
    Part("hold: bound of the prompt", budget_guard, "demand_of", inside="hold, beside"),
    Part("journal: note", RequestJournal, "note_call"),
    Part("journal: two writes", Note, "save"),
    Part(_SETTLED, ledger_observer.LedgerObserver, "settled"),
    Part("row: made", ledger_observer, "entry_of", inside=_SETTLED),
    Part("row: checked", sqlite_ledger.SqliteLedger, "check_entry", inside=_SETTLED),
    Part("settled with budgets", budget_guard.BudgetGuard, "settle", inside=_SETTLED),
    Part("metrics", Metering, "_count", inside=_SETTLED),
    Part("fields of the log", AccountFields, "__call__"),
    Part("journal: dropped", RequestJournal, "drop"),
    Part("thread: transaction, commit, leases", ConnectionThread, "call", in_thread=True),
    Part("thread: windows and sums", sqlite_append.Appender, "append", "thread: transaction, commit, leases", True),
    Part("thread: values of columns", sqlite_append.Appender, "_values", "thread: windows and sums", True),
    Part("thread: INSERT", sqlite_append, "_insert", "thread: windows and sums", True),
)


class _Reply:
    status = 200
    is_complete = True

    def __init__(self) -> None:
        self.headers: Headers = [(b"content-type", b"application/json")]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield _MESSAGE

    async def read(self, limit: int) -> bytes:
        del limit
        return _MESSAGE

    async def aclose(self) -> None:
        pass


_MESSAGE: Final = payloads.message()


class _Upstream:
    async def send(self, call: HttpCall) -> _Reply:
        if call.on_sent is not None:
            call.on_sent()
        return _Reply()

    async def aclose(self) -> None:
        pass


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        figures = asyncio.run(_measure(Path(name)))
    print("accounts by part, us a request (unary, 1 kB; rows, journal, a budget and a limit)")
    for title, cost in figures.items():
        print(f"  {title:<38} {cost:6.1f}")
    print(f"  {'all of these':<38} {sum(figures.values()):6.1f}")


async def _measure(folder: Path) -> dict[str, float]:
    sums = defaultdict[str, int](int)
    with _timed(sums):
        app = _gateway(folder)
        app.apply_accounts()
        await app.startup()
        app.readiness.loop_lag.stop()  # on a busy machine it would reject requests
        await _requests(app, 10 * _AT_ONCE)
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)  # as `modelmux serve` does
        writer = app.metering.writer
        assert writer is not None, "accounts are on"
        batches: list[dict[str, int]] = []
        for _ in range(_BATCHES):
            sums.clear()
            await _requests(app, _REQUESTS)
            await writer.exchange()
            batches.append(dict(sums))
        await app.aclose()
    return {part.name: _figure(part, batches) for part in _PARTS}


def _figure(part: Part, batches: list[dict[str, int]]) -> float:
    """Microseconds of a request, without what is inside."""
    inner = [one.name for one in _PARTS if one.inside == part.name]
    own = sorted(batch.get(part.name, 0) - sum(batch.get(name, 0) for name in inner) for batch in batches)
    return own[len(own) // 10] / _REQUESTS / 1_000


def _gateway(folder: Path) -> Gateway:
    applies_to = {"each": "key"}
    budget = {"name": "all", "applies_to": applies_to, "limit": "1000000", "window": "month"}
    settings: dict[str, Any] = {
        "vertex": {"project": "bench", "location": "global"},
        "server": {"api_keys": [_KEY], "state_dir": str(folder)},
        "admin": {"listen": "off"},
        "accounts": {
            "enabled": True,
            "budgets": [budget],
            "limits": [{"name": "all", "applies_to": applies_to, "rpm": 100_000_000}],
        },
    }
    return Gateway(Config.from_dict(settings), upstream=_Upstream(), tokens=FixedTokens(), environment={})


async def _requests(app: Gateway, count: int) -> None:
    for _ in range(count // _AT_ONCE):
        await asyncio.gather(*(_request(app) for _ in range(_AT_ONCE)))


async def _request(app: Gateway) -> None:
    body = payloads.request(1_000, stream=False)
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message.get("status", 200) != 200:
            raise RuntimeError(f"the gateway answered {message['status']}")

    headers = [
        (b"host", b"localhost"), (b"authorization", b"Bearer " + _KEY.encode()),
        (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)),
    ]  # fmt: skip
    scope: dict[str, Any] = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": _PATH,
        "raw_path": _PATH.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    await app(scope, receive, send)


@contextlib.contextmanager
def _timed(sums: dict[str, int]) -> Iterator[None]:
    """Within the block, each part adds the nanoseconds of its calls to the sums."""
    with contextlib.ExitStack() as stack:
        for part in _PARTS:
            before = inspect.getattr_static(part.owner, part.attribute)
            clock = time.thread_time_ns if part.in_thread else time.perf_counter_ns
            setattr(part.owner, part.attribute, _with_clock(before, clock, sums, part.name))
            stack.callback(setattr, part.owner, part.attribute, before)
        yield


def _with_clock(
    function: Callable[..., Any], clock: Callable[[], int], sums: dict[str, int], name: str
) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def timed(*arguments: Any, **named: Any) -> Any:
            began = clock()
            result = await function(*arguments, **named)
            sums[name] += clock() - began
            return result

        return timed

    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        began = clock()
        result = function(*arguments, **named)
        sums[name] += clock() - began
        return result

    return called
