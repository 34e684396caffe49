"""What ``modelmux serve`` keeps on the machine, seen from outside: private files, made once, and a word about them."""

from __future__ import annotations

import json
import stat
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import Process, free_port
from support.workers import until

Serve = Callable[..., Process]
MODEL = "claude-sonnet-4-6"
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


def lines(process: Process) -> list[dict[str, Any]]:
    complete = process.output().rpartition("\n")[0]
    return [json.loads(line) for line in complete.splitlines()]


def notice(process: Process) -> str:
    """What the start says of stored responses, once all workers are ready."""
    (listening,) = until(lambda: [line for line in lines(process) if line["event"] == "listening"])
    assert "message" not in listening
    message: str = [line["message"] for line in lines(process) if line["event"] == "start"][-1]
    return message


def warnings(process: Process) -> list[str]:
    return [line["message"] for line in lines(process) if line["level"] == "warning"]


def test_several_workers_share_a_key_and_a_file(serve: Serve, tmp_path: Path) -> None:
    state = tmp_path / ".local/state/modelmux"
    process = serve("--workers", "2")
    made = files(state)
    assert (made["seal.key"], made["responses.sqlite3"]) == ("600", "600")
    assert set(made.values()) == {"600"}
    assert f"{state}/responses.sqlite3, prompts included, for 1 h" in notice(process)
    assert warnings(process) == []
    key = (state / "seal.key").read_text()
    assert key.strip() not in process.output()
    process.stop()
    serve("--workers", "2").stop()
    assert (state / "seal.key").read_text() == key


def test_one_worker_keeps_its_key_only_and_the_service_manager_says_where(serve: Serve, tmp_path: Path) -> None:
    process = serve(STATE_DIRECTORY=str(tmp_path / "given"))
    assert files(tmp_path / "given") == {"seal.key": "600"}
    assert "in memory, prompts included" in notice(process)


def test_where_nothing_can_be_written_it_serves_and_says_so_once(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = serve("--workers", "2", "--set", f"server.state_dir={tmp_path}/file/state")
    assert notice(process) == "no responses are stored"
    key, store = warnings(process)
    assert key.startswith("the seal key is kept in memory (")
    assert store.startswith("no responses are stored (")


def call(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> tuple[int, dict[str, Any]]:
    """On a connection of its own, so that any worker may get it."""
    data = None if body is None else json.dumps(body).encode()
    try:
        call = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(call, timeout=100) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_four_workers_share_a_conversation(serve: Serve, emulator: Process) -> None:
    process = serve("--workers", "4", "--set", f"vertex.base_url={emulator.url}")
    url = f"{process.url}/v1/responses"
    ids: list[str] = []
    for turn in range(12):
        previous = {"previous_response_id": ids[-1]} if ids else {}
        status, response = call(url, {"model": MODEL, "input": f"say exactly: turn {turn}", **previous})
        assert (status, response["store"]) == (200, True), response
        assert response["output"][-1]["content"][0]["text"] == f"turn {turn}"
        ids.append(response["id"])
    for id in ids:
        assert call(f"{url}/{id}")[0] == 200
    assert len(call(f"{url}/{ids[-1]}/input_items")[1]["data"]) >= 1
    assert call(f"{url}/{ids[0]}", method="DELETE") == (200, {"id": ids[0], "object": "response", "deleted": True})
    for _ in range(8):
        assert call(f"{url}/{ids[0]}")[0] == 404
        status, error = call(url, {"model": MODEL, "input": "and now?", "previous_response_id": ids[-1]})
        assert (status, error["error"]["code"]) == (400, "previous_response_not_found")


def test_a_gateway_that_cannot_store_says_so_in_its_responses(serve: Serve, tmp_path: Path, emulator: Process) -> None:
    (tmp_path / "file").touch()
    options = [f"vertex.base_url={emulator.url}", f"server.state_dir={tmp_path}/file", "responses.store=sqlite"]
    process = serve(*(word for option in options for word in ("--set", option)))
    status, response = call(f"{process.url}/v1/responses", {"model": MODEL, "input": "hi"})
    assert (status, response["store"]) == (200, False)
    assert call(f"{process.url}/v1/responses/{response['id']}")[0] == 404
