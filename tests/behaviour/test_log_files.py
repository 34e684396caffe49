"""Risk: a line is missing from the log files, or a gateway that cannot write them does not serve."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from support.processes import Process, clean_environment, free_port

CONFIG = """
[server]
port = {port}
[retries]
max = 0
[logs]
directory = "{directory}"
{more}
[vertex]
project = "secret-project-42"
location = "global"
base_url = "http://127.0.0.1:1"
[auth]
access_token = "ya29.secret"
"""


def gateway(folder: Path, directory: Path, more: str = "") -> Process:
    port = free_port()
    config = folder / "config.toml"
    config.write_text(CONFIG.format(port=port, directory=directory, more=more))
    process = Process(folder / "log", "serve", "--config", str(config), port=port)
    process.wait_ready()
    return process


def ask(process: Process) -> int:
    body = json.dumps({"model": "claude-sonnet-4-6", "messages": [{"role": "user", "content": "a secret prompt"}]})
    request = urllib.request.Request(
        f"{process.url}/v1/chat/completions", body.encode(), {"content-type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=100)
    with caught.value:
        return caught.value.code


def test_lines_are_json_in_a_private_file_and_hold_no_secret(tmp_path: Path) -> None:
    process = gateway(tmp_path, tmp_path / "logs", "retention_days = 7")
    try:
        assert ask(process) >= 500
    finally:
        process.stop()
    (path,) = (tmp_path / "logs").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    events = [json.loads(line)["event"] for line in text.splitlines()]
    assert events[:6] == [*["start"] * 5, "listening"]
    assert "request" in events
    for secret in ("secret-project-42", "ya29.secret", "a secret prompt"):
        assert secret not in text


def test_without_a_directory_for_log_files_it_serves_and_warns_once(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    process = gateway(tmp_path, tmp_path / "logs")
    try:
        assert ask(process) >= 500
        assert ask(process) >= 500
    finally:
        process.stop()
    assert process.output().count("cannot write log files") == 1
    assert "Traceback" not in process.output()


def test_log_files_can_be_turned_off(tmp_path: Path) -> None:
    process = gateway(tmp_path, tmp_path / "logs", "file = false")
    process.stop()
    assert not (tmp_path / "logs").exists()


def test_logs_follows_a_running_gateway_until_ctrl_c(tmp_path: Path) -> None:
    process = gateway(tmp_path, tmp_path / "logs")
    follower = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "modelmux", "logs", "-f", "--json", "--config", "config.toml"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=clean_environment(tmp_path),
    )  # fmt: skip
    try:
        assert follower.stdout is not None
        started = [json.loads(follower.stdout.readline())["event"] for _ in range(6)]
        assert started == [*["start"] * 5, "listening"]
        ask(process)
        events = [json.loads(follower.stdout.readline()) for _ in range(2)]
        assert [event["event"] for event in events] == ["attempt_failed", "request"]
        follower.send_signal(signal.SIGINT)
        out, err = follower.communicate(timeout=100)
        assert (follower.returncode, out, err) == (130, "", "")
    finally:
        follower.kill()
        follower.communicate()
        process.stop()
