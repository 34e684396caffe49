"""A lock that one thread of one process holds, on a file that all of them can open."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
#: Seconds between attempts: ``flock`` itself would wait without a timeout.
_FIRST_PAUSE: Final = 0.0005
_LONGEST_PAUSE: Final = 0.01


class LockTimeout(TimeoutError):
    """Another process, or thread, held the lock all the time."""


@contextlib.contextmanager
def lock_file(path: Path, timeout: float, owner_of: Path | None = None) -> Iterator[None]:
    """Hold the lock around the block. The end of a process, whatever ends it, releases what it holds.

    The file is opened anew each time, so nothing is carried into a forked process.

    :param path: created if there is none, with mode 0600; it stays.
    :param timeout: seconds.
    :param owner_of: a file whose owner gets the lock file, too, if root is the user of this process.
    :raises LockTimeout:
    :raises OSError: the file cannot be created or opened.
    """
    fd = _acquire(path, time.monotonic() + timeout, owner_of)
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)  # closing would not be enough if the process was forked meanwhile
        os.close(fd)


def _acquire(path: Path, deadline: float, owner_of: Path | None) -> int:
    while True:
        fd = os.open(path, _FLAGS, 0o600)
        try:
            if owner_of is not None:
                _give_away(fd, owner_of)
            _wait(fd, deadline)
            if _is_at(path, fd):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # it was deleted while this process waited, and others may lock a new one


def _give_away(fd: int, owner_of: Path) -> None:
    """Root's commands lock no service out of its own file."""
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):  # the lock is good nevertheless
        owner = owner_of.stat()
        if os.fstat(fd).st_uid != owner.st_uid:
            os.fchown(fd, owner.st_uid, owner.st_gid)


def _wait(fd: int, deadline: float) -> None:
    pause = _FIRST_PAUSE
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise LockTimeout
        time.sleep(min(pause, remaining))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False
