"""``modelmux chat`` at a terminal: turns, Ctrl-C in an answer, Ctrl-D; and against a running gateway."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelmux.emulator import EmulatorSettings
from modelmux.emulator.faults.rules import FaultSpec, Match, Rule, Scenario
from support.cli import environment, run
from support.emulator_server import ThreadedEmulator, threaded
from support.processes import Process

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminals are opened the Unix way")


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, *arguments: str, home: Path, **variables: str) -> None:
        self._main, other = os.openpty()
        os.set_blocking(self._main, False)
        self.output = ""
        self._seen = 0
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "modelmux", *arguments],
            stdin=other, stdout=other, stderr=other, cwd=home, env=environment(home, **variables),
        )  # fmt: skip
        os.close(other)

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def wait_for(self, text: str, seconds: float = 100) -> None:
        """Until ``text`` comes after all that was waited for before."""
        end = time.monotonic() + seconds
        while (at := self.output.find(text, self._seen)) < 0:
            assert time.monotonic() < end, f"{text!r} did not come: {self.output!r}"
            try:
                self.output += os.read(self._main, 4096).decode("utf-8", "replace")
            except (BlockingIOError, OSError):
                time.sleep(0.01)
        self._seen = at + len(text)

    def wait_until_it_reads(self) -> None:
        """Until the process sleeps: a signal between the prompt and the read of the line would not interrupt that."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        end = time.monotonic() + 100
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < end, "it never read a line"
            time.sleep(0.01)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(100)
        os.close(self._main)


@pytest.fixture
def emulator() -> Iterator[ThreadedEmulator]:
    endless = Rule(match=Match(text="without end"), fault=FaultSpec(stall_after_event=8))
    with threaded(EmulatorSettings(first_token_delay=0, scenario=Scenario(rule=(endless,)))) as running:
        yield running


@pytest.fixture
def terminal(tmp_path: Path, emulator: ThreadedEmulator) -> Iterator[Terminal]:
    started = Terminal(
        "chat", "--direct", "-m", "claude-sonnet-4-6", home=tmp_path, VERTEX_PROJECT="p", VERTEX_LOCATION="global",
        ANTHROPIC_VERTEX_BASE_URL=emulator.base_url, MODELMUX_AUTH_ACCESS_TOKEN="t",
    )  # fmt: skip
    yield started
    started.close()


def outcomes(emulator: ThreadedEmulator) -> list[str]:
    return [request["outcome"] for request in emulator.app.requests()]


def test_ctrl_c_stops_the_answer_and_not_the_talk(terminal: Terminal, emulator: ThreadedEmulator) -> None:
    terminal.wait_for("> ")
    terminal.type("say exactly: first\n")
    terminal.wait_for("\nfirst")
    terminal.wait_for("> ")
    terminal.type("repeat after me: " + "word " * 300 + "without end\n")
    terminal.wait_for("\nword word")
    terminal.process.send_signal(signal.SIGINT)
    terminal.wait_for("(stopped; ")
    end = time.monotonic() + 100
    while "client_gone" not in outcomes(emulator) and time.monotonic() < end:
        time.sleep(0.01)
    assert outcomes(emulator)[-1] == "client_gone"
    terminal.wait_for("> ")
    terminal.type("say exactly: again\n")
    terminal.wait_for("\nagain")
    turns = json.loads(bytes(emulator.app.requests()[-1]["body"]))["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    terminal.wait_for("> ")
    terminal.type("\x04")
    assert terminal.process.wait(100) == 0
    assert "Traceback" not in terminal.output


def test_ctrl_c_twice_ends_it(terminal: Terminal) -> None:
    terminal.wait_for("> ")
    terminal.wait_until_it_reads()
    terminal.process.send_signal(signal.SIGINT)
    terminal.wait_for("Ctrl-C again")
    terminal.wait_for("> ")
    terminal.wait_until_it_reads()
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.process.wait(100) == 130


def test_a_running_gateway_is_called_with_the_configured_key(
    tmp_path: Path, serve: Any, emulator: ThreadedEmulator
) -> None:
    gateway: Process = serve(emulator.base_url, server='api_keys = ["sk-1"]')
    port = gateway.url.rpartition(":")[2]
    result = run(
        "chat", "say exactly: through", "--set", f"server.port={port}", home=tmp_path, MODELMUX_API_KEYS="sk-1"
    )
    assert (result.code, result.stdout) == (0, "through\n"), result.text()
    result = run("chat", "hi", "--url", f"{gateway.url}/v1", home=tmp_path)
    assert result.code == 1
    assert "hint: Pass a key for the gateway with --api-key, or in $MODELMUX_KEY." in result.stderr
    result = run("chat", "say exactly: keyed", "--url", gateway.url, "--api-key", "sk-1", home=tmp_path)
    assert result.stdout == "keyed\n"
