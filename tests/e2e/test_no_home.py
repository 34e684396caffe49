"""Risk: a user id without a passwd entry and without HOME, as in some containers and units, cannot run a command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETPRIV = shutil.which("setpriv")
pytestmark = pytest.mark.skipif(
    os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() != 0 or SETPRIV is None,
    reason="only root can become a user that does not exist",
)
COMMANDS = ["version", "config path", "config show", "config validate", "doctor", "models", "logs", "service status",
            "connect claude-code", "reload"]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_works_or_says_what_to_set(command: str, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"], "VERTEX_PROJECT": "p", "VERTEX_LOCATION": "global",
        "MODELMUX_AUTH_ACCESS_TOKEN": "t", "HTTPS_PROXY": "http://127.0.0.1:9",
    }  # fmt: skip
    assert SETPRIV is not None
    become = [SETPRIV, "--reuid", "10001", "--regid", "10001", "--clear-groups"]
    done = subprocess.run(
        [*become, sys.executable, "-m", "modelmux", *command.split()], env=environment, cwd="/",
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "went wrong" not in said
    assert "Traceback" not in said
    assert done.returncode == 0 or "hint:" in said or command == "service status", said
