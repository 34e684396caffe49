"""A signal that comes while a gateway or the emulator starts ends it, wherever it strikes.

Risk: it comes in a finalizer, in which Python ignores what a handler raises: the gateway then runs on for ever.
"""

from __future__ import annotations

import signal
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
#: Sends itself a signal as the command is imported.
IMPORTING = """
import os, sys
number = int(sys.argv.pop(1))

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "modelmux.app":
            print("sent", flush=True)
            os.kill(os.getpid(), number)

sys.meta_path.insert(0, Finder)
from modelmux.cli.main import main
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


@pytest.mark.skipif(sys.platform == "win32", reason="it has no user signals")
@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2"])
def test_a_user_signal_while_the_command_is_imported_ends_nothing(name: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTING, str(int(signal.Signals[name])), "serve", "--help"],
        env=clean_environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("sent\nUsage:")
