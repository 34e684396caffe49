"""Risk: a worker that has not read a change is taken for one that has, or one that has ended for one that has not; the
playground asks at an address that no program listens on.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from modelmux.admin import open_backend
from modelmux.admin.backend import QUERY_LIMIT
from modelmux.config import Config
from modelmux.process.server import DrainSettings
from modelmux.process.workers import admin_child
from modelmux.process.workers.admin_child import SignsOfLife, count_late, own_origin, worker_states
from modelmux.process.workers.child import ChildOptions
from modelmux.process.workers.scoreboard import Scoreboard
from modelmux.process.workers.totals import FinishedTotals
from modelmux.telemetry.deployment_report import DeploymentReport
from modelmux.telemetry.log import null_logger
from modelmux.telemetry.worker_metrics import WorkerReport, encode_report
from modelmux.wire.http import Origin


def write(board: Scoreboard, number: int, version: int | None, incarnation: int = 1) -> None:
    report = WorkerReport(
        pid=100 + number, incarnation=incarnation, ready=True, problem=None, generation=1, counts={},
        started=5.0, in_flight=3, directory_version=version,
        deployments=[DeploymentReport(id="a", in_flight=2)],
    )  # fmt: skip
    slot = board.workers[number - 1]
    slot.write(encode_report(report, slot.capacity))


def test_workers_that_are_behind_are_counted() -> None:
    board = Scoreboard(4)
    finished = FinishedTotals(board, 1)
    for number, version in enumerate((7, 8, 6, None), 1):
        write(board, number, version)
    assert [count_late(worker_states(board), version) for version in (6, 7, 8, 9)] == [1, 2, 3, 4]
    finished.fold(3)
    assert [count_late(worker_states(board), version) for version in (6, 7, 8, 9)] == [1, 1, 2, 3]
    write(board, 3, 8, incarnation=2)
    assert count_late(worker_states(board), 8) == 2


def test_what_is_shown_of_a_worker() -> None:
    board = Scoreboard(2)
    FinishedTotals(board, 1)
    assert worker_states(board) == []
    write(board, 2, 7)
    (one,) = worker_states(board)
    assert (one.index, one.pid, one.started, one.in_flight, one.directory_version) == (2, 102, 5.0, 3, 7)
    assert one.deployments == (DeploymentReport(id="a", in_flight=2),)


async def test_it_shows_that_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Scoreboard(1)
    signs = SignsOfLife(board.admin, 3600.0)
    before = board.admin.heartbeat()
    signs.start()
    first = board.admin.heartbeat()
    signs.stop()
    signs.start()
    assert len({before, first, board.admin.heartbeat()}) == 3
    signs.stop()
    assert worker_states(board) == [], "it is not a worker"


def test_its_queries_have_a_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of workers have none: a budget that is not read refuses requests."""
    limits: dict[str, float | None] = {}

    class Opened(Exception):
        pass

    def directory(config: Config, *, query_limit: float | None = None) -> None:
        limits["directory"] = query_limit

    def ledger(config: Config, *, query_limit: float | None = None) -> None:
        limits["ledger"] = query_limit
        raise Opened

    monkeypatch.setattr(open_backend, "open_directory", directory)
    monkeypatch.setattr(open_backend, "open_ledger", ledger)
    store = f"sqlite:{tmp_path / 'accounts.db'}"
    config = Config.from_dict({"accounts": {"enabled": True, "store": store}})
    with socket.socket() as link, pytest.raises(Opened):
        options = ChildOptions(
            number=0, config=config, generation=1, link=link, board=Scoreboard(1), heartbeat=1.0, drain=DrainSettings(),
            log=null_logger(),
        )  # fmt: skip
        admin_child.AdminServer(options, "127.0.0.1", Origin("http", "127.0.0.1", 1))
    assert limits == {"directory": QUERY_LIMIT, "ledger": QUERY_LIMIT}
    assert QUERY_LIMIT == 2.0


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_listener_is_reached_from_its_machine(host: str) -> None:
    try:
        server = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        origin = own_origin(*server.getsockname()[:2])
        assert origin.host in ("127.0.0.1", "::1")
        socket.create_connection((origin.host, origin.port), timeout=100).close()
