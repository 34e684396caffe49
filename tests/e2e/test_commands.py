"""The commands as a stranger uses them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.processes import Process, free_port

MODELMUX = [sys.executable, "-W", "error", "-m", "modelmux"]


def modelmux(*arguments: str, home: Path, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "COLUMNS": "120"}
    return subprocess.run(
        [*MODELMUX, *arguments], capture_output=True, text=True, timeout=seconds, env=environment, check=False
    )


def test_version(tmp_path: Path) -> None:
    result = modelmux("--version", home=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("modelmux 2.")


def test_help_lists_the_commands(tmp_path: Path) -> None:
    result = modelmux("--help", home=tmp_path)
    assert result.returncode == 0
    for command in ("serve", "demo", "emulate"):
        assert command in result.stdout


def test_serve_without_configuration_says_what_to_do(tmp_path: Path) -> None:
    for arguments in ((), ("serve",)):
        result = modelmux(*arguments, home=tmp_path)
        assert result.returncode == 1
        assert result.stderr.startswith("error: no model can be served")
        assert "modelmux demo" in result.stderr


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[server]\nprot = 1\nhosst = 1\n", [":2: server.prot: unknown key: did you mean server.port?", "hosst"]),
        ("[server]\nport = 'x'\n", ["server.port: 'x' is a string; expected a whole number"]),
        ("[server\n", ["not valid TOML"]),
        ("", ["no Google Cloud project and location"]),
        ("[vertex]\nproject='p'\nlocation='global'\n[server]\nhost='0.0.0.0'\n", ["server.api_keys is empty", "hint:"]),
        ("[vertex]\nproject='p'\nregion='us-east5'\nmodel='claude-opus-5'\n", ["is not served in us-east5", "global"]),
    ],
)
def test_a_wrong_configuration_is_explained(tmp_path: Path, toml: str, says: list[str]) -> None:
    config = tmp_path / "config.toml"
    config.write_text(toml)
    result = modelmux("serve", "--config", str(config), home=tmp_path)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    for text in says:
        assert text in result.stderr


def test_a_port_in_use_is_explained(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = tmp_path / "config.toml"
        config.write_text(f"[vertex]\nproject='p'\nlocation='global'\n[server]\nport={port}\n")
        result = modelmux("serve", "--config", str(config), home=tmp_path)
    assert result.returncode == 1
    assert f"error: port {port} on 127.0.0.1 is in use" in result.stderr
    assert "hint:" in result.stderr


def test_demo_once_shows_the_tour_and_ends_with_0(tmp_path: Path) -> None:
    result = modelmux("demo", "--once", "--port", str(free_port()), home=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    steps = ("A plain question", "A stream", "tool-calling loop", "get_weather('Paris')", "Timings")
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages"):
        assert f"POST {path}" in result.stdout
    sides = ("client → gateway", "gateway → Vertex AI", "gateway → client", ":rawPredict", ":streamRawPredict")
    for text in steps + sides:
        assert text in result.stdout


def test_demo_serves_what_it_prints(tmp_path: Path) -> None:
    port = free_port()
    process = Process(tmp_path / "log", "demo", "--port", str(port), port=port)
    try:
        end = time.monotonic() + 100
        while "Press Ctrl-C to stop" not in process.output() and time.monotonic() < end:
            time.sleep(0.05)
        output = process.output()
        curl = next(line for line in output.splitlines() if line.startswith("curl http"))
        answer = subprocess.run(["bash", "-c", f"{curl} -s"], capture_output=True, text=True, timeout=100, check=True)
        assert json.loads(answer.stdout)["choices"][0]["message"]["content"]
        lines = output.splitlines()
        first = lines.index("from openai import OpenAI")
        snippet = "\n".join(lines[first : first + 4])
        answer = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, timeout=90, check=True)
        assert len(answer.stdout.splitlines()) == 2, "by Chat Completions and by Responses"
    finally:
        process.signal(signal.SIGINT)
        assert process.wait(100) == 0
        process.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_idle_gateway_cleanly(serve: Any, emulator: Process, number: int) -> None:
    process = serve(emulator.url)
    process.signal(number)
    assert process.wait(100) == 0
    assert "Traceback" not in process.output()


def test_ctrl_c_in_the_middle_of_a_stream_lets_it_finish(serve: Any, emulate: Any) -> None:
    emulator = emulate("--tokens-per-second", "40")
    process: Process = serve(emulator.url)
    connection = http.client.HTTPConnection(process.url.removeprefix("http://"), timeout=100)
    body = {"model": "claude-sonnet-4-6", "stream": True, "max_tokens": 300,
            "messages": [{"role": "user", "content": "repeat after me: " + "word " * 40}]}  # fmt: skip
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    response = connection.getresponse()
    response.read(400)
    process.signal(signal.SIGINT)
    rest = response.read()
    connection.close()
    assert rest.endswith(b"data: [DONE]\n\n")
    assert process.wait(100) == 0
    assert "Traceback" not in process.output()
