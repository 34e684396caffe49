"""What a serving process sets of its memory, seen in a process of its own: it cannot be taken back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from modelmux.process.memory import MemoryReturner

_FAULTS = """
import resource
from modelmux.process.memory import retain_freed_memory
retain_freed_memory({environment})
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def bodies():
    held = [b"x" * 400_000 for _ in range(16)]
    del held
bodies()
before = faults()
for _ in range(20):
    bodies()
print(faults() - before)
"""


def faults(environment: dict[str, str]) -> int:
    """Pages the kernel had to clear for 320 bodies of 400 kB."""
    program = _FAULTS.format(environment=environment)
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other ways")
def test_the_memory_of_bodies_is_used_again() -> None:
    assert faults({}) < 2_000
    assert faults({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}) > 10_000, "the operator has decided"


def test_the_collector_looks_seldom() -> None:
    program = (
        "import gc; from modelmux.process.memory import tune_for_serving; tune_for_serving({}); "
        "print(gc.get_freeze_count() > 1000, gc.get_threshold()[0] >= 10_000)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["True", "True"]


_BURST = """
import asyncio, resource
from modelmux.process import memory
memory.retain_freed_memory({})
memory._SETTLE = 0
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
async def main():
    returner = memory.MemoryReturner()
    held, kept = [], []
    for _ in range(1000):
        held.append(b"x" * 100_000)
        kept.append(b"y" * 1000)
    peak = resident()
    del held
    before = resident()
    returner()
    returner()
    await asyncio.sleep(0.05)
    print(peak, before, resident())
asyncio.run(main())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other ways")
def test_the_memory_of_a_burst_is_given_back() -> None:
    """100 MB that the allocator keeps, because something small lies in between."""
    done = subprocess.run([sys.executable, "-c", _BURST], capture_output=True, check=True, text=True)
    peak, before, after = map(int, done.stdout.split())
    assert before > peak - 70_000_000, "there was something to give back"
    assert after < peak - 90_000_000


def test_without_the_function_nothing_is_done() -> None:
    returner = MemoryReturner()
    returner._trim = None
    returner()
    assert returner._timer is None
