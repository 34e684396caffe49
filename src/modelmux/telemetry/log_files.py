"""Daily log files: where they are, and appending lines to the one of today (UTC).

A line is one ``write`` to a file opened for appending, so that several processes may share a file. The file is opened
when its day begins and checked once a minute, not for every line. Problems are reported once and never raised, because
a gateway without log files still serves. Not in this module: the format of a line, settings.
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

from modelmux.config.home import expand_user, home_directory

if sys.platform != "win32":
    import fcntl

#: Seconds after which an open file is checked (it may have been moved) and a failed one is retried.
CHECK_SECONDS: Final = 60.0
_DAY: Final = 86_400
_NAME: Final = re.compile(r"modelmux-\d{4}-\d{2}-\d{2}\.log")
# No symbolic link is followed: in a shared directory another user could create it. Flags a platform lacks are left out.
_FLAGS: Final = (
    os.O_RDWR | os.O_APPEND | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)  # fmt: skip


def default_directory(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """The directory in which a platform keeps logs of a user's programs."""
    if platform == "win32":
        local = environment.get("LOCALAPPDATA")
        return (Path(local) if local else home_directory(environment) / "AppData" / "Local") / "modelmux" / "Logs"
    home = home_directory(environment)
    if platform == "darwin":
        return home / "Library" / "Logs" / "modelmux"
    state = environment.get("XDG_STATE_HOME", "")  # relative paths are invalid by the XDG specification
    return (Path(state) if state.startswith("/") else home / ".local" / "state") / "modelmux"


def log_directory(named: str | None, environment: Mapping[str, str]) -> Path:
    """The directory of the setting ``logs.directory``, else the platform's."""
    return expand_user(named) if named else default_directory(environment)


def log_files(directory: Path) -> list[Path]:
    """The log files of a directory, newest first; none if it cannot be read."""
    try:
        return sorted((p for p in directory.iterdir() if _NAME.fullmatch(p.name)), reverse=True)
    except OSError:
        return []


def _is_only_writer(fd: int) -> bool:
    """Whether no other process has the file open. If so, an incomplete line at its end is not just being written.

    True where files cannot be locked; the file may get an empty line then.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


def _mark_open(fd: int) -> None:
    """Show other processes that the file is open, as long as it is. Does not wait."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)


class LogFiles:
    """Appends lines to the file of the day. Safe to use from several threads.

    :param retention_days: how many files to keep; older ones are deleted when a file is opened.
    :param on_problem: called with a message, once until lines can be written again.
    :param now: Unix seconds.
    """

    def __init__(
        self,
        directory: Path,
        retention_days: int,
        on_problem: Callable[[str], None],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.directory = directory
        self._retention_days = retention_days
        self._on_problem = on_problem
        self._now = now
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._path = directory
        self._checked_at = self._check_again_at = 0.0  # the open file, or its absence, is valid in between
        self._failing = False
        self._line_cut_short = False  # the last line written here

    def write(self, line: str) -> None:
        """Append one line, which holds no line break. Errors of the disk are not raised."""
        self.append(line.encode("utf-8", "backslashreplace") + b"\n")

    def append(self, data: bytes) -> None:
        """Append lines, each with its line break. Errors of the disk are not raised."""
        with self._lock:
            now = self._now()
            if not self._checked_at <= now < self._check_again_at:
                self._check(now)
            if self._fd is None:
                return
            try:
                if os.write(self._fd, data) != len(data):
                    self._line_cut_short = True
                    raise OSError(0, "a line was cut short, the disk may be full")  # noqa: TRY301
            except OSError as error:
                self._fail(error)
            else:
                self._failing = False

    def close(self) -> None:
        """Close the file. Idempotent; a later write opens it again."""
        with self._lock:
            self._close()
            self._check_again_at = 0.0

    def after_fork_in_child(self) -> None:
        """A thread of the parent may have been writing."""
        self._lock = threading.Lock()

    def _check(self, now: float) -> None:
        """Open the file of the day, if it is not open and can be."""
        self._checked_at, self._check_again_at = now, min(now + CHECK_SECONDS, (now // _DAY + 1) * _DAY)
        path = self.directory / f"modelmux-{datetime.fromtimestamp(now, UTC):%Y-%m-%d}.log"
        try:
            if self._fd is None or path != self._path or not self._is_current():
                self._close()
                self._path = path
                self._open()
        except OSError as error:
            self._fail(error)

    def _is_current(self) -> bool:
        """Whether the open file is still the one at its path."""
        assert self._fd is not None
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(self._path, _FLAGS, 0o600)
        if _is_only_writer(self._fd) or self._line_cut_short:
            size = os.fstat(self._fd).st_size
            # A crash or a full disk may have left an incomplete line: end it, so that the next line is separate.
            if size and hasattr(os, "pread") and os.pread(self._fd, 1, size - 1) != b"\n":
                os.write(self._fd, b"\n")
            self._line_cut_short = False
        _mark_open(self._fd)
        for old in log_files(self.directory)[self._retention_days :]:
            with contextlib.suppress(OSError):  # another process may delete it too; the next day retries
                if old != self._path:  # which is an old one after the clock was set back
                    old.unlink()

    def _fail(self, error: OSError) -> None:
        self._close()
        if not self._failing:
            self._failing = True
            self._on_problem(
                f"cannot write log files in {self.directory}: {error.strerror or error}; logging to the console only. "
                "Free disk space or set logs.directory; retrying every minute"
            )

    def _close(self) -> None:
        fd, self._fd = self._fd, None  # first: a process forked during a slow close must not use the number
        if fd is not None:
            with contextlib.suppress(OSError):  # some file systems report failed writes here; they were reported
                os.close(fd)
