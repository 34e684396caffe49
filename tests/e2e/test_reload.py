"""``modelmux reload`` and SIGHUP on a real process: the valid file is served, the invalid one is refused with its
errors, a stream in the middle goes on, and the service manager hears of it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from support.processes import Process, clean_environment, free_port

PATIENCE = 100.0
WORDS = "one two three four five six seven eight"


def settings(emulator: str, *names: str) -> str:
    models = "".join(f'[[vertex.models]]\nname = "{name}"\nmodel = "claude-sonnet-4-6"\n' for name in names)
    return (
        f'[auth]\naccess_token = "t"\n[vertex]\nproject = "p"\nlocation = "global"\nbase_url = "{emulator}"\n{models}'
    )


class Running:
    """A gateway with the file it reads and the socket it tells its manager by."""

    def __init__(self, folder: Path, emulator: str) -> None:
        self.folder, self.emulator, self.file = folder, emulator, folder / "config.toml"
        self.file.write_text(settings(emulator, "first"))
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(folder / "notify"))
        self.manager.settimeout(PATIENCE)
        port = free_port()
        self.process = Process(
            folder / "gateway.log", "serve", "--config", str(self.file), "--port", str(port), port=port,
            NOTIFY_SOCKET=str(folder / "notify"), WATCHDOG_USEC="300000",
        )  # fmt: skip
        self.process.wait_ready()

    def told(self) -> dict[str, str]:
        """The next message to the manager that is no sign of life."""
        while True:
            lines = self.manager.recv(4096).decode().splitlines()
            if lines != ["WATCHDOG=1"]:
                return dict(line.split("=", 1) for line in lines)

    def reload(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "modelmux", "reload"],
            env=clean_environment(self.folder), capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip

    def names(self) -> list[str]:
        with urllib.request.urlopen(f"{self.process.url}/v1/models", timeout=100) as response:
            return [model["id"] for model in json.load(response)["data"]]

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.process.url}/v1", api_key="x", max_retries=0)


@pytest.fixture
def running(tmp_path: Path, emulate: Any) -> Iterator[Running]:
    emulator: Process = emulate("--tokens-per-second", "40")
    started = Running(tmp_path, emulator.url)
    yield started
    started.process.stop()
    started.manager.close()


def test_a_valid_file_is_served_and_a_bad_one_is_refused(running: Running) -> None:
    assert running.told()["READY"] == "1"
    assert running.names() == ["first"]
    running.file.write_text(settings(running.emulator, "second"))
    done = running.reload()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"reloaded: {running.process.url}/v1")
    assert running.names() == ["second"]
    running.file.write_text(settings(running.emulator, "third") + "[server]\nprot = 1\nport = 1\n")
    done = running.reload()
    assert done.returncode == 1
    assert f"error: {running.file}:" in done.stderr
    assert "did you mean server.port?" in done.stderr
    assert "hint: The gateway keeps its previous configuration." in done.stderr
    assert running.names() == ["second"]
    running.file.write_text(settings(running.emulator, "third") + "[server]\nport = 1\n")
    assert running.reload().stderr == ""  # the port came by --port, which wins
    assert running.names() == ["third"]
    running.process.signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE) == 0
    assert list(running.folder.rglob("serve-*.json")) == []


def test_a_stream_continues_while_the_configuration_changes(running: Running) -> None:
    with running.client() as client:
        stream = client.chat.completions.create(
            model="first", max_tokens=400, stream=True,
            messages=[{"role": "user", "content": "say exactly: " + f"{WORDS} " * 4}],
        )  # fmt: skip
        chunks = iter(stream)
        got = [next(chunks) for _ in range(3)]
        running.file.write_text(settings(running.emulator, "second"))
        assert running.reload().returncode == 0
        assert running.names() == ["second"]
        got += list(chunks)
    assert (
        "".join(c.choices[0].delta.content or "" for c in got).split()
        == ["one", "two", "three", "four", "five", "six", "seven", "eight"] * 4
    )
    assert got[-1].choices[0].finish_reason == "stop"


def test_the_manager_hears_of_start_reload_life_and_end(running: Running) -> None:
    assert running.told()["READY"] == "1"
    running.process.signal(signal.SIGHUP)
    reloading = running.told()
    assert reloading["RELOADING"] == "1"
    assert reloading["MONOTONIC_USEC"].isdigit()
    assert running.told()["READY"] == "1"
    while running.manager.recv(4096) != b"WATCHDOG=1":
        pass
    running.process.signal(signal.SIGTERM)
    assert running.told()["STOPPING"] == "1"
    assert running.process.wait(PATIENCE) == 0


def test_many_hangups_at_once_are_one_reload_after_the_other(running: Running) -> None:
    stop = threading.Event()
    failures: list[Exception] = []

    def ask() -> None:
        with running.client() as client:
            while not stop.is_set():
                try:
                    client.chat.completions.create(
                        model="first", max_tokens=20, messages=[{"role": "user", "content": "say exactly: ok"}]
                    )
                except openai.OpenAIError as error:
                    failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(30):
            running.process.signal(signal.SIGHUP)
        assert running.reload().returncode == 0
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert failures == []


def test_nothing_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "modelmux", "reload"],
        env=clean_environment(tmp_path), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: no gateway of this user or of the system is running\nhint: `modelmux serve`")
