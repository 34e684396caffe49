"""What ``serve`` tells people when it starts and when it stops: real processes, one and several, pipe and terminal."""

from __future__ import annotations

import http.client
import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.processes import Process, free_port
from support.terminals import TerminalProcess
from support.workers import Stream, ask, get, open_streams, until

#: Longer than any test waits at the emulator's pace here.
LONG = " ".join(["word"] * 4000)
SHORT = " ".join(["word"] * 60)
WORKERS = ["", "workers = 2"]


@pytest.fixture(scope="module")
def paced(emulate: Callable[..., Process]) -> Process:
    return emulate("--tokens-per-second", "40")


def events(gateway: Process) -> list[tuple[str, str]]:
    """(event, message) of the log lines as JSON."""
    lines = [json.loads(line) for line in gateway.output().splitlines()]
    return [(line["event"], line.get("message", "")) for line in lines]


def ask_for(gateway: Process, model: str) -> int:
    """The status of a request for a model, of a client that does not say what it is."""
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=100)
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hi"}]})
    try:
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def messages(gateway: Process, event: str) -> list[str]:
    return [message for name, message in events(gateway) if name == event]


def wait_for_start(gateway: Process) -> None:
    """Several workers listen before all of them do, and their supervisor says so."""
    until(lambda: "listening" in gateway.output())


def in_flight(gateway: Process, count: int) -> bool:
    return f"modelmux_requests_in_flight {count}.0".encode() in get(f"{gateway.url}/metrics")[1]


@pytest.mark.parametrize("workers", WORKERS)
def test_five_lines_say_what_it_read_and_what_it_serves(
    serve: Callable[..., Process], emulator: Process, workers: str
) -> None:
    gateway = serve(emulator.url, server=f'log_format = "json"\n{workers}')
    wait_for_start(gateway)
    read, models, keys, logs, responses = messages(gateway, "start")
    assert "config.toml" in read
    assert re.match(r"\d+ models; `modelmux models` lists them$", models)
    assert keys == "clients need no key; only this machine can connect"
    assert ".local/state/modelmux (30 days)" in logs
    assert responses.startswith("responses that clients ask to store are kept ")
    assert events(gateway)[0][0] == "start"
    assert all(len(line) < 200 for line in (read, models, keys, logs))


def test_a_key_and_a_log_without_files_are_told(serve: Callable[..., Process], emulator: Process) -> None:
    more = "\n[logs]\nfile = false\n"
    gateway = serve(emulator.url, server='log_format = "json"\napi_keys = ["a-long-key-of-mine"]', more=more)
    wait_for_start(gateway)
    assert messages(gateway, "start")[2:4] == ["clients need the key of server.api_keys", "log lines go here only"]


@pytest.mark.parametrize("workers", WORKERS)
def test_missing_credentials_are_the_first_line(serve: Callable[..., Process], emulator: Process, workers: str) -> None:
    gateway = serve(
        emulator.url, server=f'log_format = "json"\n{workers}', auth='service_account_file = "/nonexistent/key.json"',
        more='\n[[vertex.models]]\nname = "old"\nmodel = "claude-opus-4@20250514"\n',
    )  # fmt: skip
    wait_for_start(gateway)
    (first, message), *others = events(gateway)
    assert first == "not_ready"
    assert message.startswith("serving, but not ready: The Google credentials file does not exist (no file at /non")
    assert "Check auth.service_account_file" in message
    assert [event for event, _ in others[:4]] == ["start"] * 4
    assert any("retired" in message for event, message in others if event == "config"), "warnings follow"
    until(lambda: b"credentials" in get(f"{gateway.url}/readyz")[1])
    assert not [event for event, _ in events(gateway)[1:] if event in ("credentials", "not_ready")], "told once"
    assert gateway.output().count("Check auth.service_account_file") == 1


@pytest.mark.parametrize("workers", WORKERS)
def test_a_stop_says_what_it_waits_for_and_stopped(serve: Callable[..., Process], paced: Process, workers: str) -> None:
    gateway = serve(paced.url, server=f'log_format = "json"\ndrain_timeout = "50s"\n{workers}')
    wait_for_start(gateway)
    streams = open_streams(gateway, 2, SHORT)
    until(lambda: in_flight(gateway, 2))
    gateway.signal(signal.SIGTERM)
    assert gateway.wait(100) == 0
    assert all(stream.complete for stream in streams)
    waits = "waiting up to 50 s for 2 requests to finish; a second Ctrl-C or SIGTERM ends them at once"
    assert messages(gateway, "stopping") == [waits]
    assert events(gateway)[-1] == ("stopped", "")


@pytest.mark.parametrize("workers", WORKERS)
def test_a_second_signal_says_what_it_ends(serve: Callable[..., Process], paced: Process, workers: str) -> None:
    gateway = serve(paced.url, server=f'log_format = "json"\n{workers}')
    wait_for_start(gateway)
    stream = Stream(gateway, LONG)
    until(lambda: in_flight(gateway, 1))
    gateway.signal(signal.SIGINT)
    until(lambda: "waiting up to 30 s for 1 request" in gateway.output())
    gateway.signal(signal.SIGINT)
    assert gateway.wait(100) == 0
    assert b"gateway_draining" in stream.end()
    assert messages(gateway, "stopping")[1:] == ["ending 1 request; clients get an error"]
    assert events(gateway)[-1][0] == "stopped"


@pytest.mark.parametrize("workers", WORKERS)
def test_an_idle_gateway_stops_without_waiting(serve: Callable[..., Process], emulator: Process, workers: str) -> None:
    gateway = serve(emulator.url, server=f'log_format = "json"\n{workers}')
    wait_for_start(gateway)
    gateway.signal(signal.SIGTERM)
    assert gateway.wait(100) == 0
    assert messages(gateway, "stopping") == ["no request is running"]
    assert events(gateway)[-1][0] == "stopped"


def test_the_emulator_says_that_it_has_stopped(emulate: Callable[..., Process]) -> None:
    emulator = emulate()
    emulator.signal(signal.SIGINT)
    assert emulator.wait(100) == 0
    assert emulator.output().splitlines()[-1] == "stopped"


@pytest.fixture(params=["1", "2"])
def in_terminal(
    request: pytest.FixtureRequest, tmp_path: Path, paced: Process
) -> Iterator[tuple[TerminalProcess, Process]]:
    """A gateway in a terminal, and the address of it as other tests use it."""
    port = free_port()
    (tmp_path / "config.toml").write_text(
        f'[server]\nport = {port}\nworkers = {request.param}\n[vertex]\nproject = "e2e-project"\nlocation = "global"\n'
        f'base_url = "{paced.url}"\n[auth]\naccess_token = "e2e-token"\n'
    )
    terminal = TerminalProcess(tmp_path, "serve", "--config", "config.toml")
    address = Process.__new__(Process)
    address.url = f"http://127.0.0.1:{port}"
    try:
        terminal.wait_for("listening")
        yield terminal, address
    finally:
        terminal.stop()


def test_in_a_terminal_lines_are_short_and_ctrl_c_says_what_happens(
    in_terminal: tuple[TerminalProcess, Process],
) -> None:
    terminal, gateway = in_terminal
    assert ask(gateway, "ok") == 200
    terminal.wait_for("request ")
    assert ask_for(gateway, "gpt-9") == 404
    terminal.wait_for(" 404 ")
    stream = Stream(gateway, LONG)
    until(lambda: in_flight(gateway, 1))
    terminal.press_ctrl_c()
    terminal.wait_for("waiting up to 30 s for 1 request to finish; a second Ctrl-C")
    terminal.press_ctrl_c()
    assert terminal.wait() == 0
    assert b"gateway_draining" in stream.end()
    lines = [line.removeprefix("^C") for line in terminal.lines if line.strip("^C")]
    assert lines[-1].endswith(" stopped")
    assert all(re.match(r"\d\d:\d\d:\d\d \w+", line) for line in lines)
    (done, *_) = [line for line in lines if " request" in line and " 200 " in line]
    assert re.search(r"request( \[\d\])? 200  claude-sonnet-4-6  \d+\.\d\d s  \d+ \+ \d+ tokens$", done)
    assert [line for line in lines if re.match(r"\S+ (request|refused)\b", line) and len(line) > 80] == []
    (refused,) = [line for line in lines if " 404 " in line]
    assert re.search(r"refused( \[\d\])? 404 model_not_found POST /v1/chat/completions gpt-9( 127\.0\.0\.1)?$", refused)
    (listening,) = [line for line in lines if " listening " in line]
    assert re.search(r"/v1( with 2 workers)?$", listening)
    assert "Traceback" not in "".join(terminal.lines)
