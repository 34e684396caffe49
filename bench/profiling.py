"""Where the gateway's time goes: py-spy while wrk asks, and instructions a request where the machine counts them.

py-spy, perf and strace have to be on the path; they are no dependencies.
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

from bench import cases, nginx, payloads
from bench.cases import Target
from bench.processes import Measured, gateway, halves

#: Samples a second. Each stops the process for a moment, all kinds of work alike.
RATE: Final = 500
SHOWN: Final = 25


def profile(*, stream: bool, native: bool = False, seconds: int = 10) -> None:
    """Print the functions and lines that take the most.

    :param native: C functions under their own names, where py-spy can tell them.

    :raises SystemExit: py-spy is not there.
    """
    if not shutil.which("py-spy"):
        sys.exit("error: py-spy is not on the path\nhint: pip install py-spy, anywhere on the path")
    front, back = halves()
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
            plain = cases.closed_loop(target, body, folder, stream=stream, seconds=3)
            print(f"{plain.cpu:.1f} us of CPU a {'stream' if stream else 'request'}, {plain.per_second:.0f} a second")
            print(instructions(target, body, folder, stream=stream))
            print(syscalls(target, body, folder, stream=stream))
            raw = folder / "raw.txt"
            with _spy(process, raw, seconds, native=native) as spy:
                cases.closed_loop(target, body, folder, stream=stream, seconds=seconds + 2)
                if spy.wait():
                    sys.exit(f"error: py-spy ended with {spy.returncode}\nhint: it may need root, or ptrace allowed")
            print(shown(raw.read_text(), plain.cpu))


def _spy(process: Measured, raw: Path, seconds: int, *, native: bool) -> subprocess.Popen[bytes]:
    command = ["py-spy", "record", "-p", str(process.pids[0]), "-d", str(seconds), "-r", str(RATE), "-f", "raw"]
    return subprocess.Popen([*command, "-o", str(raw), *(["--native"] if native else [])], stdout=subprocess.DEVNULL)


def instructions(target: Target, body: bytes, folder: Path, *, stream: bool, seconds: int = 3) -> str:
    """What `perf stat` counts of a process, for each request: it varies far less than time does."""
    assert target.process is not None
    if not shutil.which("perf"):
        return "instructions: not counted (no perf)"
    out = folder / "perf.txt"
    pids = ",".join(map(str, target.process.pids))
    command = ["perf", "stat", "-x,", "-e", "instructions:u,instructions:k", "-o", str(out), "-p", pids]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as counting:
        got = cases.closed_loop(target, body, folder, stream=stream, seconds=seconds)
        counting.terminate()
    return counted(out.read_text() if out.exists() else "", got.requests)


def counted(said: str, requests: int) -> str:
    """The lines `perf stat -x,` wrote, as figures a request."""
    found = re.findall(r"^(\d+),.*?,instructions:([uk])", said, re.MULTILINE)
    figures = {where: int(count) / max(1, requests) for count, where in found}
    if not figures:
        return "instructions: not counted (this machine, a virtual one perhaps, does not let perf do it)"
    names = {"u": "in user space", "k": "in the kernel"}
    return "instructions a request: " + ", ".join(f"{figures[k]:,.0f} {names[k]}" for k in figures)


def syscalls(target: Target, body: bytes, folder: Path, *, stream: bool) -> str:
    """How often each system call is made for a request: tracing slows them, but does not change their number."""
    assert target.process is not None
    if not shutil.which("strace"):
        return "system calls: not counted (no strace)"
    out = folder / "strace.txt"
    command = ["strace", "-f", "-c", "-o", str(out), "-p", str(target.process.pids[0])]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracing:
        got = cases.closed_loop(target, body, folder, stream=stream, seconds=3)
        tracing.send_signal(signal.SIGINT)
    return called(out.read_text() if out.exists() else "", got.requests)


def called(said: str, requests: int) -> str:
    """The table `strace -c` wrote, as calls a request."""
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", said, re.MULTILINE)
    often = {name: int(count) / max(1, requests) for count, name in rows if name != "total"}
    kept = [f"{each:.2f} {name}" for name, each in sorted(often.items(), key=lambda pair: -pair[1]) if each >= 0.01]
    return "system calls a request: " + (", ".join(kept) or "not counted (tracing is not allowed here)")


def shown(raw: str, whole: float) -> str:
    """Own time by function, line and file.

    :param raw: what py-spy writes: frames from the outermost, ``;`` between, and how often they were seen.
    :param whole: microseconds of a request, which the shares are of.
    """
    lines, functions, files = Counter[str](), Counter[str](), Counter[str]()
    for stack in raw.splitlines():
        frames, _, count = stack.rpartition(" ")
        last = frames.rpartition(";")[2]
        where = last.rpartition("(")[2].rstrip(")")
        lines[last] += int(count)
        functions[f"{last.partition(' (')[0]} ({where.partition(':')[0]})"] += int(count)
        files[where.partition(":")[0]] += int(count)
    tables: Mapping[str, Counter[str]] = {"function": functions, "line": lines, "file": files}
    said: Sequence[str] = [line for name, found in tables.items() for line in _top(name, found, whole)]
    return "\n".join(said)


def _top(name: str, found: Counter[str], whole: float) -> list[str]:
    total = sum(found.values()) or 1
    top = found.most_common(SHOWN)
    return [
        f"\nown time by {name} ({total} samples; what is in C counts for the Python that called it)",
        *(f"  {100 * taken / total:5.1f} %  {whole * taken / total:6.2f} us  {where}" for where, taken in top),
    ]
