"""Whether the machine is ours while we measure: one measurement at a time, and what others were doing before it."""

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
def alone(lock: Path = LOCK) -> Iterator[bool]:
    """Keep other measurements waiting: two at once falsify each other, and each looks as if it were right.

    :returns: whether there was another to wait for.
    """
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            waited = False
        except BlockingIOError:
            print("another measurement is under way: waiting for its end", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
            waited = True
        yield waited


def busy(seconds: float = 1.0) -> float:
    """How many cores others keep busy, now, while we only wait."""
    before = _worked()
    time.sleep(seconds)
    return max(0.0, _worked() - before) / seconds


def _worked() -> float:
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    user, nice, system, _, _, interrupts, soft, stolen = map(int, fields[:8])
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")
