"""A signal that comes while a gateway or the emulator starts ends it, wherever it strikes.

Risk: it comes in a finalizer, in which Python ignores what a handler raises: the gateway then runs on for ever.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import clean_environment, free_port

#: Runs the command, and sends itself SIGTERM at a place after it has said that it listens.
PROGRAM = """
import os, signal, sys
place = sys.argv.pop(1)
says = False

def profile(frame, event, argument):
    global says
    if not says:
        says = frame.f_code.co_name in ("info", "echo") and "listen" in str(frame.f_locals.values())
    elif event == "call" and (place == "at once" or frame.f_code.co_name == "cb"):  # of importlib
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGTERM)

from modelmux.cli.main import main
sys.setprofile(profile)
main()
"""
SETTINGS = ["--set", "vertex.project=p", "--set", "vertex.location=global", "--set", "auth.access_token=x"]


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGTERM")
@pytest.mark.parametrize("place", ["at once", "in a finalizer of an import"])
@pytest.mark.parametrize("arguments", [["serve", *SETTINGS], ["emulate"]], ids=["serve", "emulate"])
def test_a_signal_is_not_lost(arguments: list[str], place: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, place, *arguments, "--port", str(free_port())]
    ended = subprocess.run(
        command, env=clean_environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "stopped" in ended.stdout + ended.stderr
