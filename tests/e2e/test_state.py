"""What ``modelmux serve`` keeps on the machine, seen from outside: private files, made once, and a word about them."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import Process, free_port

Serve = Callable[..., Process]
CONFIG = '[auth]\naccess_token = "t"\n[vertex]\nproject = "p"\nlocation = "global"\n'


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a gateway with the given options, whose home is ``tmp_path``."""
    started: list[Process] = []
    (tmp_path / "config.toml").write_text(CONFIG)

    def begin(*options: str, **variables: str) -> Process:
        port = free_port()
        arguments = ["serve", "--config", "config.toml", "--port", str(port), "--set", "server.log_format=json"]
        process = Process(tmp_path / f"log-{port}", *arguments, *options, port=port, **variables)
        started.append(process)
        process.wait_ready("/readyz")
        return process

    yield begin
    for process in started:
        process.stop()


def files(directory: Path) -> dict[str, str]:
    """Names and modes."""
    return {
        path.name: f"{stat.S_IMODE(path.stat().st_mode):o}" for path in directory.iterdir() if path.suffix != ".log"
    }


def messages(process: Process, level: str) -> list[str]:
    lines: list[dict[str, Any]] = [json.loads(line) for line in process.output().splitlines()]
    return [line["message"] for line in lines if line["event"] == "config" and line["level"] == level]


def test_several_workers_share_a_key_and_a_file(serve: Serve, tmp_path: Path) -> None:
    state = tmp_path / ".local/state/modelmux"
    process = serve("--workers", "2")
    made = files(state)
    assert (made["seal.key"], made["responses.sqlite3"]) == ("600", "600")
    assert set(made.values()) == {"600"}
    (notice,) = messages(process, "info")
    assert f"{state}/responses.sqlite3, prompts included, for 1 h" in notice
    assert messages(process, "warning") == []
    key = (state / "seal.key").read_text()
    assert key.strip() not in process.output()
    process.stop()
    serve("--workers", "2").stop()
    assert (state / "seal.key").read_text() == key


def test_one_worker_keeps_its_key_only_and_the_service_manager_says_where(serve: Serve, tmp_path: Path) -> None:
    process = serve(STATE_DIRECTORY=str(tmp_path / "given"))
    assert files(tmp_path / "given") == {"seal.key": "600"}
    (notice,) = messages(process, "info")
    assert "in memory, prompts included" in notice


def test_where_nothing_can_be_written_it_serves_and_says_so_once(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = serve("--workers", "2", "--set", f"server.state_dir={tmp_path}/file/state")
    assert messages(process, "info") == []
    key, store = messages(process, "warning")
    assert key.startswith("the seal key is kept in memory (")
    assert store.startswith("no responses are stored (")
