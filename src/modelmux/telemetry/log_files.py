"""Daily log files: where they lie, and appending lines to the one of today (UTC).

A line is one ``write`` to a file opened for appending, so that several processes may share a file. The file is opened
when its day begins and looked at again once a minute, never for a line. What goes wrong here is said once and never
raised: a gateway without log files still serves. What must not come in here: the format of a line, settings.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

#: Seconds after which an open file is looked at (it may have been moved away) and a failed one is tried again.
CHECK_SECONDS: Final = 60.0
_DAY: Final = 86_400
_NAME: Final = re.compile(r"modelmux-\d{4}-\d{2}-\d{2}\.log")
# No link is followed: in a shared directory somebody else could lay it. What a platform has no flag for is left out.
_FLAGS: Final = (
    os.O_RDWR | os.O_APPEND | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)  # fmt: skip


def default_directory(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where a platform keeps logs of a user's programs.

    :raises RuntimeError: there is no home directory.
    """
    if platform == "win32":
        local = environment.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "modelmux" / "Logs"
    home = Path(environment.get("HOME") or Path.home())
    if platform == "darwin":
        return home / "Library" / "Logs" / "modelmux"
    state = environment.get("XDG_STATE_HOME", "")  # relative paths are invalid by the XDG specification
    return (Path(state) if state.startswith("/") else home / ".local" / "state") / "modelmux"


def log_directory(named: str | None, environment: Mapping[str, str]) -> Path:
    """The directory of the setting ``logs.directory``, else the platform's.

    :raises RuntimeError: there is no home directory to look in.
    """
    return Path(named).expanduser() if named else default_directory(environment)


def log_files(directory: Path) -> list[Path]:
    """The log files of a directory, newest first; none if it cannot be read."""
    try:
        return sorted((p for p in directory.iterdir() if _NAME.fullmatch(p.name)), reverse=True)
    except OSError:
        return []


def _alone_with(fd: int) -> bool:
    """No other process has the file open: half a line at its end is not one that is just being written.

    Where files cannot be locked nobody knows; there the answer is yes, and an empty line may come in.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


def _share(fd: int) -> None:
    """Have others see that the file is open, for as long as it is. Waits for nobody."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)


class LogFiles:
    """Appends lines to the file of the day. Safe to use from several threads.

    :param keep: how many files stay; older ones are deleted when a file is opened.
    :param on_problem: told in a sentence what is wrong, once until lines can be written again.
    :param now: Unix seconds.
    """

    def __init__(
        self, directory: Path, keep: int, on_problem: Callable[[str], None], *, now: Callable[[], float] = time.time
    ) -> None:
        self.directory = directory
        self._keep = keep
        self._on_problem = on_problem
        self._now = now
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._path = directory
        self._checked = self._check_at = 0.0  # from when to when the open file, or its absence, stands
        self._failing = False
        self._half = False  # the last line written here was cut short

    def write(self, line: str) -> None:
        """Append one line, which holds no line break. Never raises for the disk's sake."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            now = self._now()
            if not self._checked <= now < self._check_at:
                self._check(now)
            if self._fd is None:
                return
            try:
                if os.write(self._fd, data) != len(data):
                    self._half = True
                    raise OSError(0, "a line was cut short, the disk may be full")  # noqa: TRY301
            except OSError as error:
                self._fail(error)
            else:
                self._failing = False

    def close(self) -> None:
        """Let go of the file. Idempotent; a later write opens it again."""
        with self._lock:
            self._let_go()
            self._check_at = 0.0

    def _check(self, now: float) -> None:
        """Have the file of the day open, if that can be."""
        self._checked, self._check_at = now, min(now + CHECK_SECONDS, (now // _DAY + 1) * _DAY)
        path = self.directory / f"modelmux-{datetime.fromtimestamp(now, UTC):%Y-%m-%d}.log"
        try:
            if self._fd is None or path != self._path or not self._in_place():
                self._let_go()
                self._path = path
                self._open()
        except OSError as error:
            self._fail(error)

    def _in_place(self) -> bool:
        assert self._fd is not None
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(self._path, _FLAGS, 0o600)
        if _alone_with(self._fd) or self._half:
            size = os.fstat(self._fd).st_size
            # A process that died, or a full disk, may have left half a line: end it, so that the next stands alone.
            if size and hasattr(os, "pread") and os.pread(self._fd, 1, size - 1) != b"\n":
                os.write(self._fd, b"\n")
            self._half = False
        _share(self._fd)
        for old in log_files(self.directory)[self._keep :]:
            with contextlib.suppress(OSError):  # another process may delete it too; the next day tries again
                if old != self._path:  # which a clock set back makes an old one
                    old.unlink()

    def _fail(self, error: OSError) -> None:
        self._let_go()
        if not self._failing:
            self._failing = True
            self._on_problem(
                f"no log file can be written in {self.directory}: {error.strerror or error}; lines go to the console "
                "only. Make room or set logs.directory; it is tried again every minute"
            )

    def _let_go(self) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):  # what some file systems could not write they say here; it was said
                os.close(self._fd)
            self._fd = None
