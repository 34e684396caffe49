"""Old names of settings in the commands: valid, with a warning, shown under the new name and where they are written."""

from __future__ import annotations

from pathlib import Path

from support.cli import run

OLD = """\
[server]
enable_retries = false

[logs]
keep = 7

[vertex]
project = "my-project"
location = "global"

[streaming]
mode = "never"
chunk_timeout_ms = 250
"""


def write(home: Path) -> Path:
    file = home / "old.toml"
    file.write_text(OLD)
    return file


def test_they_never_fail_the_validation(tmp_path: Path) -> None:
    file = write(tmp_path)
    done = run("config", "validate", "--config", str(file), home=tmp_path)
    assert done.code == 0
    for line, old, new in (
        (2, "server.enable_retries", "retries.max = 0"),
        (5, "logs.keep", "logs.retention_days"),
        (13, "streaming.chunk_timeout_ms", "streaming.buffer_timeout = 0.25"),
    ):
        assert f"old.toml:{line}: {old} is deprecated; set {new} instead" in done.stdout + done.stderr


def test_the_settings_are_shown_under_their_new_names_with_the_lines_of_the_old(tmp_path: Path) -> None:
    file = write(tmp_path)
    shown = run(
        "config", "show", "--origin", "--config", str(file), home=tmp_path, MODELMUX_LIMITS_QUEUE="9"
    ).stdout.splitlines()
    assert f"max = 0  # {file}:2" in shown
    assert f"retention_days = 7  # {file}:5" in shown
    assert f'mode = "single"  # {file}:12' in shown
    assert f'buffer_timeout = "250ms"  # {file}:13' in shown
    assert "max_queued_requests = 9  # environment MODELMUX_LIMITS_QUEUE" in shown
    assert not any(line.startswith(("enable_retries", "keep", "chunk_timeout_ms", "queue ")) for line in shown)
