"""``python -m bench pages``: how long the dashboard and its API take, and what an open dashboard costs requests.

The ledger is that of ``python -m bench ledger``. Each page is asked for several times: alone, for the CPU time of the
process of the admin API, and while the gateway serves a constant rate. Then that rate is served in rounds, with and
without a visitor whose tabs ask again every two seconds. Worker and admin API have one core between them, where there
are two or more: there they compete as nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import ledger, nginx, payloads
from bench.load import Target, open_loop
from bench.plan import Plan
from bench.processes import cpu_seconds, free_port, gateway
from bench.session import Session, new_session
from bench.stats import median

#: Keys of the ledger.
_KEYS: Final = 100_000
_TIMES: Final = 10
#: Seconds of load before a page is measured, and seconds that it lasts at most.
_BEFORE: Final = 0.5
_LONG: Final = 600.0
#: Seconds between two refreshes of a page that is open.
_REFRESH: Final = 2.0
_TOKEN: Final = "owner-of-the-bench-0123456789abcdef"
PAGES: Final = (
    "", "/live", "/requests", "/requests?model=claude-model-1", "/requests?team=team_07&outcome=upstream_error",
    "/costs", "/costs?by=model&bucket=1w", "/costs?by=key", "/costs?by=tag:app&bucket=1mo", "/keys",
    "/keys?team=team+7", f"/keys/key_{7:026d}", "/budgets", "/models", "/playground", "/settings", "/settings/people",
    "/settings/audit",
)  # fmt: skip
OPERATIONS: Final = (
    "/keys?limit=1000", "/keys?status=revoked", "/teams", "/people?limit=1000", "/budgets", "/limits", "/prices",
    "/usage", "/usage?group_by=team,model", "/usage/cache-savings", "/requests", "/ledger?limit=1000", "/live",
    "/status", "/counters", "/workers", "/deployments", "/models", "/webhooks", "/settings", "/audit",
    "/traces", "/openapi.json",
)  # fmt: skip
#: What the visitor has open.
TABS: Final = ("", "/live", "/costs")


class Rounds(msgspec.Struct):
    """A figure of rounds of two kinds, in milliseconds. :param closed: without the visitor."""

    closed: list[float]
    open: list[float]

    @property
    def difference(self) -> float:
        """Of the medians."""
        return median(self.open) - median(self.closed)

    @property
    def noise(self) -> float:
        """The range of rounds that have nothing to differ by."""
        return max(self.closed) - min(self.closed)

    def verdict(self, name: str) -> str:
        """A line for people."""
        below = abs(self.difference) < self.noise
        closed, opened = (f"{median(one):.2f} ({min(one):.2f} to {max(one):.2f})" for one in (self.closed, self.open))
        return (
            f"{name}: closed {closed} ms, open {opened} ms; the difference of {self.difference:+.2f} ms is "
            f"{'below' if below else 'NOT below'} the noise of {self.noise:.2f} ms"
        )


def main(rows: int, rate: float, folder: Path | None, rounds: int, seconds: float) -> None:
    """Fill a ledger, unless the folder has one, and measure.

    :param rate: requests per second. :param rounds: of each kind. :param seconds: of a round.
    """
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = place / "accounts.db"
        asyncio.run(ledger.fill_file(path, rows, _KEYS))
        session = stack.enter_context(new_session(Plan(runs=1)))
        with _gateway(session, path) as (target, admin):
            body = payloads.request(1_000, stream=False)
            _pages(target, admin, body, rate)
            for line in _latency(target, admin, body, rate=rate, rounds=rounds, seconds=seconds):
                print(line)


@contextlib.contextmanager
def _gateway(session: Session, path: Path) -> Iterator[tuple[Target, str]]:
    """:returns: the gateway, and the URL of its admin listener."""
    port = free_port()
    lines = f'state_dir = "{session.folder}/state"\n[admin]\nlisten = "127.0.0.1:{port}"\ntoken = "{_TOKEN}"\n'
    lines += f'[accounts]\nenabled = true\nrequire_key = false\nstore = "sqlite:{path}"\ntags = ["app", "env"]\n'
    with (
        nginx.mock(session.folder, deltas=1, cores=session.back) as (_, mock),
        gateway(session.folder / "gateway", mock, cores=session.front, extra_config=lines) as (process, url),
    ):
        admin = f"http://127.0.0.1:{port}"
        process.wait_for(f"{admin}/livez")
        yield Target("gateway", url, process), admin


def _pages(target: Target, admin: str, body: bytes, rate: float) -> None:
    assert target.process is not None
    process = _admin_process(target.process.pids, admin)
    for path in (*(f"/dashboard{page}" for page in PAGES), *(f"/admin/v1{one}" for one in OPERATIONS)):
        _fetch(f"{admin}{path}")  # a process that has begun just now reads its templates
        spent = []
        for _ in range(_TIMES):
            before = cpu_seconds(process)
            _fetch(f"{admin}{path}")
            spent.append(1e3 * (cpu_seconds(process) - before))
        with _beside(_serve, target, body, rate):
            time.sleep(_BEFORE)
            times = [1e3 * _fetch(f"{admin}{path}") for _ in range(_TIMES)]
        print(
            f"{path:55} {median(spent):7.1f} ms CPU; beside load: median {median(times):7.1f} ms, highest "
            f"{max(times):7.1f} ms", flush=True,
        )  # fmt: skip


def _admin_process(pids: Sequence[int], admin: str) -> int:
    """Its id: the child that is no worker."""
    workers = [one["pid"] for one in msgspec.json.decode(_read(f"{admin}/admin/v1/workers"))["data"]]
    (pid,) = (pid for pid in pids[1:] if pid not in workers)
    return pid


def _latency(
    target: Target, admin: str, body: bytes, *, rate: float, rounds: int, seconds: float
) -> Iterator[str]:  # fmt: skip
    """Lines for people. Which kind comes first changes from round to round."""
    figures = {name: Rounds([], []) for name in ("p50", "p99")}
    for number in range(rounds):
        for is_open in (number % 2 == 1, number % 2 == 0):
            with _beside(_visit, admin) if is_open else contextlib.nullcontext():
                latency = open_loop(target, body, rate=rate, seconds=seconds)
            for name, value in (("p50", latency.p50), ("p99", latency.p99)):
                (figures[name].open if is_open else figures[name].closed).append(value)
            state = "open" if is_open else "closed"
            print(f"  round {number + 1}, {state}: {latency.p50:.2f}; {latency.p99:.2f} ms", flush=True)
    for name, one in figures.items():
        yield one.verdict(name)


@contextlib.contextmanager
def _beside(function: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """In a process of its own: a thread would slow down what measures."""
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _serve(target: Target, body: bytes, rate: float) -> None:
    open_loop(target, body, rate=rate, seconds=_LONG)


def _visit(admin: str) -> None:
    """A visitor's tabs, until the end of the process."""
    while True:
        for page in TABS:
            _fetch(f"{admin}/dashboard{page}")
        time.sleep(_REFRESH)


def _fetch(url: str) -> float:
    """Seconds until a page is there."""
    began = time.perf_counter()
    _read(url)
    return time.perf_counter() - began


def _read(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {_TOKEN}"})
    with urllib.request.urlopen(request, timeout=100) as reply:
        body: bytes = reply.read()
    return body
