"""Where the gateway's CPU time goes: py-spy under load, and instructions and system calls per request.

py-spy has to be on the path; perf and strace are used if they are. None of them is a dependency.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bench import load, nginx, payloads
from bench.load import Target
from bench.processes import MeasuredProcess, gateway, split_cores

#: Samples per second. Each stops the process briefly, whatever it is doing.
RATE: Final = 500
#: Rows per table.
ROWS: Final = 25


def profile(*, stream: bool, native: bool = False, seconds: int = 10) -> None:
    """Print the functions, lines and files with the most CPU time of their own.

    :param native: show C functions under their own names.
    :raises SystemExit: py-spy is not installed.
    """
    if not shutil.which("py-spy"):
        sys.exit("error: py-spy is not on the path\nhint: pip install py-spy, anywhere on the path")
    front, back = split_cores()
    if back:
        os.sched_setaffinity(0, back)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            nginx.mock(folder, deltas=100, cores=back) as (_, upstream),
            gateway(folder, upstream, cores=front) as (process, url),
        ):
            target = Target("ModelMux", url, process)
            body = payloads.request(1000, stream=stream)
            plain = load.closed_loop(target, body, folder, stream=stream, seconds=3)
            print(
                f"{plain.cpu:.1f} us of CPU per {'stream' if stream else 'request'}, {plain.per_second:.0f} per second"
            )
            print(instructions(target, body, folder, stream=stream))
            print(syscalls(target, body, folder, stream=stream))
            raw = folder / "raw.txt"
            with _spy(process, raw, seconds, native=native) as spy:
                load.closed_loop(target, body, folder, stream=stream, seconds=seconds + 2)
                if spy.wait():
                    sys.exit(f"error: py-spy ended with {spy.returncode}\nhint: run as root, or allow ptrace")
            print(own_time(raw.read_text(), plain.cpu))


def _spy(process: MeasuredProcess, raw: Path, seconds: int, *, native: bool) -> subprocess.Popen[bytes]:
    command = ["py-spy", "record", "-p", str(process.pids[0]), "-d", str(seconds), "-r", str(RATE), "-f", "raw"]
    return subprocess.Popen([*command, "-o", str(raw), *(["--native"] if native else [])], stdout=subprocess.DEVNULL)


def instructions(target: Target, body: bytes, folder: Path, *, stream: bool, seconds: int = 3) -> str:
    """Instructions per request, counted by `perf stat`: they vary far less than time does."""
    assert target.process is not None
    if not shutil.which("perf"):
        return "instructions: not counted (no perf)"
    out = folder / "perf.txt"
    pids = ",".join(map(str, target.process.pids))
    command = ["perf", "stat", "-x,", "-e", "instructions:u,instructions:k", "-o", str(out), "-p", pids]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as perf:
        got = load.closed_loop(target, body, folder, stream=stream, seconds=seconds)
        perf.terminate()
    return format_instructions(out.read_text() if out.exists() else "", got.requests)


def format_instructions(output: str, requests: int) -> str:
    """The output of `perf stat -x,` as figures per request."""
    counts = re.findall(r"^(\d+),.*?,instructions:([uk])", output, re.MULTILINE)
    figures = {mode: int(count) / max(1, requests) for count, mode in counts}
    if not figures:
        return "instructions: not counted (this machine, perhaps a virtual one, does not support it)"
    names = {"u": "in user space", "k": "in the kernel"}
    return "instructions per request: " + ", ".join(f"{figures[k]:,.0f} {names[k]}" for k in figures)


def syscalls(target: Target, body: bytes, folder: Path, *, stream: bool) -> str:
    """System calls per request. Tracing slows them down, but does not change their number."""
    assert target.process is not None
    if not shutil.which("strace"):
        return "system calls: not counted (no strace)"
    out = folder / "strace.txt"
    command = ["strace", "-f", "-c", "-o", str(out), "-p", str(target.process.pids[0])]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as strace:
        got = load.closed_loop(target, body, folder, stream=stream, seconds=3)
        strace.send_signal(signal.SIGINT)
    return format_syscalls(out.read_text() if out.exists() else "", got.requests)


def format_syscalls(output: str, requests: int) -> str:
    """The table of `strace -c` as calls per request."""
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", output, re.MULTILINE)
    calls = {name: int(count) / max(1, requests) for count, name in rows if name != "total"}
    shown = [f"{rate:.2f} {name}" for name, rate in sorted(calls.items(), key=lambda pair: -pair[1]) if rate >= 0.01]
    return "system calls per request: " + (", ".join(shown) or "not counted (tracing is not allowed here)")


def own_time(raw: str, total_us: float) -> str:
    """Own time by function, line and file.

    :param raw: the output of py-spy: a line per stack, outermost frame first, separated by ``;``, with its samples.
    :param total_us: microseconds per request, of which the tables show shares.
    """
    lines, functions, files = Counter[str](), Counter[str](), Counter[str]()
    for stack in raw.splitlines():
        frames, _, count = stack.rpartition(" ")
        last = frames.rpartition(";")[2]
        location = last.rpartition("(")[2].rstrip(")")
        lines[last] += int(count)
        functions[f"{last.partition(' (')[0]} ({location.partition(':')[0]})"] += int(count)
        files[location.partition(":")[0]] += int(count)
    tables: Mapping[str, Counter[str]] = {"function": functions, "line": lines, "file": files}
    rows: Sequence[str] = [row for name, samples in tables.items() for row in _table(name, samples, total_us)]
    return "\n".join(rows)


def _table(name: str, samples: Counter[str], total_us: float) -> list[str]:
    total = sum(samples.values()) or 1
    top = samples.most_common(ROWS)
    return [
        f"\nown time by {name} ({total} samples; C functions count for the Python function that called them)",
        *(f"  {100 * count / total:5.1f} %  {total_us * count / total:6.2f} us  {location}" for location, count in top),
    ]
