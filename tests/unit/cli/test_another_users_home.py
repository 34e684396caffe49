"""A configuration or a home directory that this user may not read, as with a ``HOME`` that ``sudo`` has kept: commands
that need none of it run, all others say what to do. None of them reports a bug.

As root, the commands run without capabilities, because root may read everything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelmux.version import __version__
from support.cli import environment

#: Owner of what is not readable, where the tests run as root.
SOMEBODY = 65534
ROOT = os.geteuid() == 0
SETPRIV = [shutil.which("setpriv") or "", "--bounding-set=-all", "--inh-caps=-all"] if ROOT else []
VALID = '[vertex]\nproject = "my-project"\nlocation = "global"\n'


def _works() -> bool:
    try:
        return subprocess.run([*SETPRIV, sys.executable, "-c", ""], capture_output=True).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not _works(), reason="root needs setpriv, to be without capabilities")


def lock(path: Path) -> None:
    path.chmod(0)
    if ROOT:
        os.chown(path, SOMEBODY, SOMEBODY)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home directory that cannot be entered."""
    path = tmp_path / "home"
    (path / ".config/modelmux").mkdir(parents=True)
    (path / ".config/modelmux/config.toml").write_text(VALID)
    lock(path)
    yield path
    path.chmod(0o700)


def run(*arguments: str, home: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SETPRIV, sys.executable, "-W", "error", "-m", "modelmux", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, cwd=cwd,
        env=environment(home, EDITOR="true"), check=False,
    )  # fmt: skip


def test_the_version_needs_no_configuration(home: Path, tmp_path: Path) -> None:
    for arguments in (["version"], ["--version"], ["version", "--json"]):
        result = run(*arguments, home=home, cwd=tmp_path)
        assert (result.returncode, result.stderr) == (0, "")
        assert __version__ in result.stdout
    assert (
        f"configuration {home}/.config/modelmux/config.toml (unreadable for this user)"
        in run("version", home=home, cwd=tmp_path).stdout
    )


def test_the_files_that_are_read_are_listed(home: Path, tmp_path: Path) -> None:
    result = run("config", "path", home=home, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"unreadable  user       {home}/.config/modelmux/config.toml\n" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve"], ["config", "validate"], ["config", "show"], ["config", "edit"],
        ["config", "init", "--yes", "--project", "my-project"], ["models"], ["chat", "Hi"], ["logs"], ["codex-catalog"],
        ["connect", "codex"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_commands_that_need_the_configuration_say_what_to_do(arguments: list[str], home: Path, tmp_path: Path) -> None:
    result = run(*arguments, home=home, cwd=tmp_path)
    assert result.returncode == 1
    error, hint = result.stderr.splitlines()
    assert error.startswith(f"error: {home}/.config/modelmux/config.toml: ")
    assert error.endswith("Permission denied")
    assert hint.startswith("hint: Run it as a user who may ")


def test_no_gateway_is_found_in_a_directory_that_cannot_be_entered(home: Path, tmp_path: Path) -> None:
    result = run("reload", home=home, cwd=tmp_path)
    assert (result.returncode, result.stderr.splitlines()[0]) == (
        1, "error: no gateway of this user or of the system is running",
    )  # fmt: skip


def test_a_named_configuration_is_enough(home: Path, tmp_path: Path) -> None:
    """Credentials, logs and state in such a home are not there for this user."""
    (tmp_path / "ok.toml").write_text(VALID)
    result = run("config", "validate", "--config", "ok.toml", home=home, cwd=tmp_path)
    assert (result.returncode, "Permission denied" in result.stderr) == (0, False)
    report = run("doctor", "--config", "ok.toml", home=home, cwd=tmp_path)
    assert f"log files: {home}/.local/state/modelmux: no permission to write in {home}" in report.stdout
    assert report.stderr == ""


def test_an_unreadable_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1")
    lock(tmp_path / ".env")
    result = run("config", "validate", home=tmp_path, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "error: .env: cannot be read: Permission denied",
        "hint: Run it as a user who may read the file, or work in another directory.",
    ]
