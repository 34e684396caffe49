"""SIGUSR1 and SIGUSR2 end no gateway, and a gateway inside another program leaves signals alone."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelmux import Config, create_app
from modelmux.process.listen import listen
from modelmux.process.server import server_in_thread
from modelmux.process.user_signals import handle_user_signals
from modelmux.telemetry.log import make_log

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@pytest.fixture
def restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("restored")
def test_the_first_one_opens_the_log_file_anew_and_the_second_does_nothing(tmp_path: Path) -> None:
    with open(os.devnull, "w") as out:  # noqa: PTH123
        log = make_log("info", "json", out, directory=tmp_path, in_background=True)
        handle_user_signals(log.reopen_files)
        log.info("one")
        log.flush()
        (path,) = tmp_path.iterdir()
        path.rename(tmp_path / "moved")
        os.kill(os.getpid(), signal.SIGUSR2)
        log.info("two")
        log.flush()
        os.kill(os.getpid(), signal.SIGUSR1)
        log.info("three")
        log.flush()
    assert (tmp_path / "moved").read_text().count("\n") == 2
    assert path.read_text().count("\n") == 1


def test_a_gateway_in_another_program_handles_no_signal_and_takes_no_stream() -> None:
    def state() -> list[object]:
        return [*map(signal.getsignal, signal.valid_signals()), sys.stdout, sys.stderr]

    before = state()
    app = create_app(
        Config.from_dict({"vertex": {"project": "p", "location": "global"}, "auth": {"access_token": "t"}})
    )
    with server_in_thread(app, listen("127.0.0.1", 0)):
        assert state() == before
    assert state() == before
