"""A command in a terminal: what it shows there, and the keys that reach it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path

from support.processes import clean_environment
from support.workers import until


def _take_terminal() -> None:
    """Make stdin the terminal of this new session, so that Ctrl-C is a signal to its processes."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class TerminalProcess:
    """``modelmux`` with a terminal as its stdin, stdout and stderr."""

    def __init__(self, home: Path, *arguments: str, **variables: str) -> None:
        self._parent, child = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "modelmux", *arguments],
            stdin=child, stdout=child, stderr=child, cwd=home, start_new_session=True,
            env=clean_environment(home, TERM="xterm-256color", **variables),
            preexec_fn=_take_terminal,
        )  # fmt: skip
        os.close(child)
        self._bytes = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._parent, 65536):
                self._bytes += data
        except OSError:  # Linux says so when nobody has the other end open
            pass

    @property
    def raw(self) -> bytes:
        return self._bytes

    @property
    def lines(self) -> list[str]:
        """What was shown, without colours."""
        text = re.sub(r"\x1b\[[\d;]*m", "", self._bytes.decode(errors="replace"))
        return text.replace("\r", "").splitlines()

    def wait_for(self, text: str) -> None:
        until(lambda: any(text in line for line in self.lines) or self._process.poll() is not None)
        assert any(text in line for line in self.lines), self.lines

    def press_ctrl_c(self) -> None:
        """As the terminal does it: every process of the foreground group gets SIGINT."""
        os.write(self._parent, b"\x03")

    def wait(self, seconds: float = 100) -> int:
        """The exit code, once everything was shown."""
        code = self._process.wait(seconds)
        self._reader.join(5)
        return code

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(100)
        self._reader.join(5)
        os.close(self._parent)
