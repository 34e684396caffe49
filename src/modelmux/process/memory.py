"""How a serving process treats memory: Python's collector and the C library's allocator, set for many short requests.

Neither changes what the program does; without them it is slower. Figures in docs/adr/0014.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping
from typing import Final

#: Numbers of glibc's parameters (malloc.h), and bytes. Freed memory at the heap's end stays up to the first; what is
#: larger than the second is mapped, and given back at once.
_KEPT: Final = ((-1, "MALLOC_TRIM_THRESHOLD_", 64 * 1024 * 1024), (-3, "MALLOC_MMAP_THRESHOLD_", 4 * 1024 * 1024))


def settle_for_serving(environment: Mapping[str, str] = os.environ) -> None:
    """Call once everything is imported, in the process that serves."""
    calm_collector()
    keep_freed_memory(environment)


def calm_collector() -> None:
    """What was imported stays for ever: the collector need not look at it again. And a request makes some hundred
    objects and no cycles (``tests/chaos/test_no_cycles.py``), so looking every 700 of them is often."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def keep_freed_memory(environment: Mapping[str, str]) -> None:
    """Bodies come and go many times a second. By default glibc gives their memory back each time, and the kernel clears
    every page of it anew: that was half of what a prompt of 400 kB cost. What the environment says goes before; other
    C libraries do without."""
    if "glibc.malloc" in environment.get("GLIBC_TUNABLES", ""):
        return
    try:
        import ctypes  # which a Python made without libffi has not

        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, ImportError, OSError, TypeError):  # musl, macOS; Windows has no such library to ask
        return
    for number, name, size in _KEPT:
        if name not in environment:
            mallopt(number, size)
