"""The picture at the top of the README: a terminal session that was really run, as SVG.

``python -m tools.docs.recording`` (``make recording``) starts the emulator, types ``COMMANDS`` into bash in a terminal
of its own, and draws what came out, each line at the time it came. Nothing in the picture is written by hand. Claude
Code and Codex have to be installed (``make clients``), and port 3000 has to be free.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tools.docs.terminal_picture import Line, draw

ROOT: Final = Path(__file__).resolve().parents[2]
PICTURE: Final = ROOT / "docs" / "images" / "session.svg"
MODULES: Final = ROOT / "tests" / "e2e" / "clients" / "node" / "node_modules"
#: What is typed. The gateway finds its configuration, which names the emulator, where every gateway looks for it.
COMMANDS: Final = (
    "modelmux serve 2> gateway.log &",
    'modelmux chat "Please repeat after me: streams arrive word by word."',
    "modelmux connect openai-python 2> notes > hello.py",
    "python hello.py",
    'eval "$(modelmux connect claude-code 2> notes)"',
    'claude -p "Hello!"',
    "modelmux codex-catalog --output ~/.codex/modelmux-models.json 2> notes",
    "modelmux connect codex 2> notes > ~/.codex/config.toml",
    'codex exec --skip-git-repo-check "Hello!" 2> notes',
    "curl -s localhost:3000/health; echo",
)
_COLUMNS: Final = 80
_PORT: Final = 3000
_CONFIG: Final = """\
[vertex]
project = "my-project"
location = "global"
base_url = "{emulator}"

[auth]
access_token = "of-the-emulator"
"""
#: What shells print before a prompt for terminals that know it (OSC 133): where a command has ended.
_PROMPT_MARK: Final = b"\x1b]133;A\x07"
_OSC: Final = re.compile(r"\x1b\][^\x07]*\x07")
#: Seconds that a command may take. Far above what any of them does.
_LIMIT: Final = 120.0


class Chunk(NamedTuple):
    """What the terminal got in one read, ``at`` seconds after the start."""

    at: float
    text: str


def lines(chunks: list[Chunk]) -> list[Line]:
    """The lines of a session, each with the time of its first character."""
    result, text, at = [], "", 0.0
    for chunk in chunks:
        for character in chunk.text:
            if character == "\n":
                result.append(Line(at if text else chunk.at, text))
                text = ""
            elif character != "\r":
                at = at if text else chunk.at
                text += character
    return [*result, Line(at, text)] if text else result


@contextmanager
def _emulator() -> Iterator[str]:
    """The URL of a running emulator."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("modelmux")), "emulate", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + _LIMIT
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"error: nothing listens on port {port}")


def _home(folder: Path, emulator: str, modules: Path) -> dict[str, str]:
    """A home for the session, and the environment of its shell."""
    config = folder / ".config" / "modelmux" / "config.toml"
    for path in (config.parent, folder / ".codex", folder / "bin"):
        path.mkdir(parents=True)
    config.write_text(_CONFIG.format(emulator=emulator))
    config.chmod(0o600)
    programs = {
        "claude": modules / "@anthropic-ai" / "claude-code-linux-x64" / "claude",
        "codex": modules / "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex",
        "modelmux": Path(sys.executable).with_name("modelmux"),
        "python": Path(sys.executable),
    }
    for name, path in programs.items():
        if not path.exists():
            raise SystemExit(f"error: {path} does not exist\nhint: `make clients` installs the clients")
        # Not a link: Python looks for its packages beside the path by which it was started.
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{path}" "$@"\n')
        script.chmod(0o755)
    (folder / ".inputrc").write_text("set enable-bracketed-paste off\n")
    return {
        "HOME": str(folder),
        "PATH": f"{folder / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "PS1": "\\[\\e]133;A\\a\\]$ ",
        "INPUTRC": str(folder / ".inputrc"),
        "MODELMUX_KEY": "unused",
        # Whatever does not go to this machine meets a closed door.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
    }


class _Shell:
    """Bash in a terminal."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._terminal, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, _COLUMNS, 0, 0))
        bash = shutil.which("bash") or "/bin/bash"
        self._process = subprocess.Popen(  # noqa: S603
            [bash, "--noprofile", "--norc", "-i"],
            stdin=child, stdout=child, stderr=child, env=environment, cwd=folder, start_new_session=True,
        )  # fmt: skip
        os.close(child)
        self._started = time.monotonic()
        self.chunks: list[Chunk] = []

    def read_to_prompt(self) -> None:
        """Record until the shell prompts."""
        until = time.monotonic() + _LIMIT
        prompted = False
        while not prompted or select.select([self._terminal], [], [], 0.2)[0]:
            if not select.select([self._terminal], [], [], max(0.0, until - time.monotonic()))[0]:
                raise SystemExit(f"error: a command did not end within {_LIMIT:g} s\n{self.text[-2000:]}")
            data = os.read(self._terminal, 65536)
            prompted = prompted or _PROMPT_MARK in data
            at = time.monotonic() - self._started
            self.chunks.append(Chunk(at, _OSC.sub("", data.decode("utf-8", "replace"))))

    @property
    def text(self) -> str:
        """All that was printed."""
        return "".join(chunk.text for chunk in self.chunks)

    def type(self, command: str) -> None:
        """A line and Enter."""
        os.write(self._terminal, command.encode() + b"\n")

    def close(self) -> None:
        """End the shell; it ends its background jobs."""
        os.write(self._terminal, b"kill %1\nexit\n")
        self._process.wait(timeout=_LIMIT)
        os.close(self._terminal)


def record(modules: Path) -> list[Line]:
    """Run the session."""
    with tempfile.TemporaryDirectory() as folder, _emulator() as emulator:
        home = Path(folder)
        shell = _Shell(_home(home, emulator, modules), home)
        shell.read_to_prompt()
        shell.type("set +m")  # so that no job is announced with its number
        shell.read_to_prompt()
        shell.chunks = [Chunk(shell.chunks[-1].at, "$ ")]
        for command in COMMANDS:
            shell.type(command)
            shell.read_to_prompt()
            if command.endswith("&"):
                _wait_for(_PORT)
        session = lines(shell.chunks)
        shell.close()
    return session[:-1] if session[-1].text == "$ " else session


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the session that the README shows.")
    parser.add_argument("--modules", type=Path, default=MODULES, help="the node_modules with Claude Code and Codex")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", _PORT)) == 0:
            raise SystemExit(f"error: port {_PORT} is in use\nhint: stop the program that listens on it")
    session = record(parser.parse_args().modules)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(session, _COLUMNS, "ModelMux with three clients, in front of the emulator"), "utf-8")
    sys.stdout.write("\n".join(line.text for line in session) + "\n")


if __name__ == "__main__":
    main()
