"""The state of the machine: one measurement at a time, and the load from other processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LOCK: Final = Path(tempfile.gettempdir()) / "modelmux-bench.lock"


@contextlib.contextmanager
def exclusive(lock: Path = LOCK) -> Iterator[bool]:
    """Wait until no other measurement is running, and block others: two at once distort each other unnoticed.

    :returns: whether it had to wait.
    """
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            waited = False
        except BlockingIOError:
            print("another measurement is running: waiting until it ends", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
            waited = True
        yield waited


def busy_cores(seconds: float = 1.0) -> float:
    """The number of cores that other processes keep busy, sampled while this one sleeps."""
    before = _busy_seconds()
    time.sleep(seconds)
    return max(0.0, _busy_seconds() - before) / seconds


def _busy_seconds() -> float:
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    user, nice, system, _, _, interrupts, soft, steal = map(int, fields[:8])
    return (user + nice + system + interrupts + soft + steal) / os.sysconf("SC_CLK_TCK")
