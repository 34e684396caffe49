"""Memory settings of a process that serves: Python's collector and the C library's allocator, set for many short
requests.

Neither changes what the program does; without them it is slower. Figures in docs/adr/0014.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Mapping
from typing import Any, Final

#: glibc's parameters (malloc.h): number, the variable that sets it, and its value. Freed memory at the end of the heap
#: is reused up to the first; blocks above the second are mapped, and returned to the kernel at once. One heap for all
#: threads: ``malloc_trim`` gives back the free end of the first heap only, and that of another has up to 64 MB.
_MALLOC_OPTIONS: Final = (
    (-1, "MALLOC_TRIM_THRESHOLD_", 64 * 1024 * 1024),
    (-3, "MALLOC_MMAP_THRESHOLD_", 4 * 1024 * 1024),
    (-8, "MALLOC_ARENA_MAX", 1),
)

#: Seconds after a burst until free memory is given back. Under load there is always another burst.
_SETTLE: Final = 5.0


def tune_for_serving(environment: Mapping[str, str] = os.environ) -> None:
    """Call once everything is imported, in the process that serves."""
    tune_gc()
    retain_freed_memory(environment)


def tune_gc() -> None:
    """Imported modules are never freed, so the collector need not visit them again. And a request creates some hundred
    objects and no cycles (``tests/chaos/test_no_cycles.py``), so a collection every 700 objects is too often."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def retain_freed_memory(environment: Mapping[str, str]) -> None:
    """Call before the first thread: it would get a heap of its own, which is never merged with the other.

    Bodies are allocated and freed many times a second. By default glibc returns their memory each time, and the
    kernel clears every page of it again: that was half of the cost of a prompt of 400 kB. Settings in the environment
    take precedence; other C libraries are left alone."""
    if "glibc.malloc" in environment.get("GLIBC_TUNABLES", ""):
        return
    mallopt = _c_function("mallopt")
    if mallopt is None:
        return
    for number, name, size in _MALLOC_OPTIONS:
        if name not in environment:
            mallopt(number, size)


class MemoryReturner:
    """Gives the memory that a burst of large requests has left free back to the kernel, once it is over: the allocator
    keeps it otherwise, for as long as the process runs. Called at the end of each burst, in the event loop."""

    def __init__(self, trim: Any = None) -> None:
        self._trim = trim or _c_function("malloc_trim")
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        if self._trim is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_SETTLE, self._give_back)

    def _give_back(self) -> None:
        self._timer = None
        gc.collect()  # it also empties Python's lists of free objects, each of which keeps a block of 1 MB
        self._trim(0)


def _c_function(name: str) -> Any:
    """A function of the C library; None where there is none: musl, macOS, Windows."""
    try:
        import ctypes  # missing in a Python that was built without libffi

        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, ImportError, OSError, TypeError):
        return None
