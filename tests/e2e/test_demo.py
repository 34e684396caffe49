"""``modelmux demo`` as somebody sees it who has just cloned the project."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from modelmux.cli.connect.table import clients
from modelmux.cli.demo.tour import MODEL
from support.processes import Process, clean_environment, free_port
from support.workers import until

#: Of a terminal, and how many rows "two screens" are.
COLUMNS, ROWS = 100, 2 * 40


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    port = free_port()
    folder = tmp_path_factory.mktemp("demo")
    process = Process(
        folder / "log", "demo", "--port", str(port), port=port, COLUMNS=str(COLUMNS), PATH="/usr/bin:/bin"
    )
    end = time.monotonic() + 100
    while "Press Ctrl-C to stop" not in process.output() and time.monotonic() < end:
        time.sleep(0.05)
    yield process
    process.signal(signal.SIGINT)
    assert process.wait(100) == 0
    assert process.output().splitlines()[-1] == "stopped"
    process.stop()


def test_a_reader_that_leaves_ends_the_demo_in_silence(tmp_path: Path) -> None:
    """``modelmux demo | head -1``: the end of the pipe is that of the tour, and no traceback."""
    command = f"{sys.executable} -m modelmux demo --once --port 0 | head -1"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "A plain question" in done.stdout
    assert done.stderr == ""


def test_the_tour_and_what_follows_fit_two_screens(demo: Process) -> None:
    lines = demo.output().splitlines()
    assert sum(max(1, -(-len(line) // COLUMNS)) for line in lines) <= ROWS
    serving = next(number for number, line in enumerate(lines) if "keeps serving" in line)
    tour = lines[:serving]
    assert len(tour) <= 40
    assert all(len(line) <= COLUMNS for line in tour)
    assert any("gateway → client     200" in line and "You said" in line for line in tour), "answers are visible"


def test_lines_to_paste_are_whole(demo: Process) -> None:
    lines = demo.output().splitlines()
    curl = next(line for line in lines if line.startswith("curl http"))
    assert curl.endswith("}'")
    first = lines.index("from openai import OpenAI")
    for line in lines[first : first + 4]:
        compile(line, "pasted", "exec")
    assert f"OpenAI base URL     {demo.url}/v1 " in demo.output()


def test_every_client_has_a_line_whose_command_works(demo: Process) -> None:
    commands = [line for line in demo.output().splitlines() if " connect " in line]
    named = [line.split(" connect ")[1].split()[0] for line in commands]
    assert named == clients().names
    codex = next(line for line in commands if " connect codex " in line)
    folder = Path(sys.executable).parent
    assert str(folder) in codex, "the program is not on this PATH, so its path is shown"
    result = subprocess.run(
        ["sh", "-c", codex], capture_output=True, text=True, timeout=90, check=True, env=clean_environment(Path("/tmp"))
    )
    assert demo.url in result.stdout


def test_it_says_how_to_reach_the_program(demo: Process) -> None:
    line = next(line for line in demo.output().splitlines() if "not on your PATH" in line)
    assert shlex.quote(str(Path(sys.executable).parent / "modelmux")) in line
    assert "pipx install ." in line
    assert "uv tool install ." in line


def test_verbose_shows_bodies_whole(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "modelmux", "demo", "--once", "--verbose", "--port", str(free_port())],
        capture_output=True, text=True, timeout=100, check=True, env=clean_environment(tmp_path, COLUMNS="120"),
    )  # fmt: skip
    assert "╭─ client → gateway" in result.stdout
    assert '"finish_reason": "tool_calls"' in result.stdout
    assert "Timings" in result.stdout


def test_a_terminal_is_filled_and_not_overfilled(tmp_path: Path) -> None:
    """Colours included: what decides is the number of characters that are seen."""
    parent, child = pty.openpty()
    environment = clean_environment(tmp_path, COLUMNS="80", TERM="xterm-256color")
    arguments = [sys.executable, "-m", "modelmux", "demo", "--once", "--port", str(free_port())]
    with subprocess.Popen(arguments, stdout=child, stderr=child, env=environment) as process:
        os.close(child)
        output = b""
        try:
            while data := os.read(parent, 65536):
                output += data
        except OSError:  # Linux says so when the other end is closed
            pass
        assert process.wait(100) == 0
    os.close(parent)
    lines = output.decode().replace("\r", "").splitlines()
    assert len(lines) <= 45
    assert "\x1b[" in output.decode()


def test_the_link_signs_in_to_the_dashboard(demo: Process) -> None:
    """The requests of the tour are there; the playground answers; a key that is made there works at once."""
    link = next(line for line in demo.output().splitlines() if "/dashboard/sign-in?token=" in line)
    base, _, token = link.partition("/dashboard/sign-in?token=")
    headers = {"origin": base, "sec-fetch-site": "same-origin"}
    with httpx2.Client(base_url=base, headers=headers, timeout=100) as client:
        assert "as <strong>the owner</strong>" in client.get(link).text
        assert client.post("/dashboard/sign-in", data={"token": token}).status_code == 303
        until(lambda: client.get("/dashboard.json").json()["total"]["requests"] >= 6)
        csrf = client.get("/dashboard/session.json").json()["csrf_token"]
        ask = {"api": "messages", "model": MODEL, "message": "say exactly: playing", "csrf": csrf}
        page = client.post("/dashboard/playground", data=ask).text
        assert '<div class="written" id="part-text">playing</div>' in page, "no key is asked for yet"
        assert "charged to anonymous" in page
        page = client.post("/dashboard/keys", data={"name": "mine", "csrf": csrf}).text
        (secret,) = set(re.findall(r"sk-mmx-[A-Za-z0-9]{49}", page))
        assert f"{demo.url}/v1" in page
        body = {"model": MODEL, "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}
        for key, status in ((secret, 200), ("unused", 401)):
            answer = client.post(f"{demo.url}/v1/messages", json=body, headers={"x-api-key": key})
            assert answer.status_code == status
        story = f"[[emulator: tokens_per_second=4]] say exactly: {'once upon a time ' * 200}"
        body |= {"max_tokens": 4000, "stream": True, "messages": [{"role": "user", "content": story}]}
        with ThreadPoolExecutor() as threads:
            headers = {"x-api-key": secret}
            asking = threads.submit(httpx2.post, f"{demo.url}/v1/messages", json=body, headers=headers, timeout=100)
            (running,) = until(lambda: client.get("/dashboard/live.json").json()["running"])
            assert running["key_name"] == "mine"
            ended = client.post(f"/dashboard/live/{running['id']}/end", data={"csrf": csrf})
            assert ended.status_code == 303
            assert "has ended the request" in asking.result(100).text
