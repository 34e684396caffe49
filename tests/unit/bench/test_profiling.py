"""Risk: wrong shares, or shares of the wrong frame, direct the next optimization to the wrong code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

from bench import profiling


def test_time_belongs_to_the_innermost_frame() -> None:
    raw = "main (a.py:1);read (b.py:2) 30\nmain (a.py:1);read (b.py:9) 30\nmain (a.py:1) 40\n"
    by_function, by_line, by_file = profiling.own_time(raw, 200.0).split("own time by ")[1:]
    assert "  60.0 %  120.00 us  read (b.py)" in by_function
    assert "  30.0 %   60.00 us  read (b.py:9)" in by_line
    assert "  40.0 %   80.00 us  a.py" in by_file
    assert "100 samples" in by_function


def test_c_frames_are_counted() -> None:
    assert "100.0 %   10.00 us  write (libc.so.6)" in profiling.own_time("main (a.py:1);write (libc.so.6) 5", 10.0)


def test_instructions_are_per_request() -> None:
    output = "# started on Mon\n\n2000000,,instructions:u,1000,100.00,,\n500000,,instructions:k,1000,100.00,,\n"
    assert (
        profiling.format_instructions(output, 1000)
        == "instructions per request: 2,000 in user space, 500 in the kernel"
    )
    assert "not counted" in profiling.format_instructions("<not supported>,,instructions:u,0,100.00,,\n", 1000)
    assert "not counted" in profiling.format_instructions("", 0)


def test_system_calls_are_per_request() -> None:
    output = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 49.26    0.150282        1192      2000        14 futex
 34.98    0.106702           6      4000           write
  0.02    0.000035           5         7           mmap
------ ----------- ----------- --------- --------- ----------------
100.00    0.305078           5      6007        14 total
"""
    assert profiling.format_syscalls(output, 2000) == "system calls per request: 2.00 write, 1.00 futex"
    assert "not counted" in profiling.format_syscalls("", 0)
