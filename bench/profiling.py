"""Where the gateway's time goes: py-spy while wrk asks. py-spy has to be on the path; it is no dependency."""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from bench import nginx, payloads
from bench.processes import gateway


def profile(*, stream: bool, seconds: int = 8) -> None:
    """Print the lines and files that take the most."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with nginx.mock(folder, deltas=100) as (_, upstream), gateway(folder, upstream) as (process, url):
            script = folder / "wrk.lua"
            body = payloads.request(1000, stream=stream).decode()
            script.write_text(
                'wrk.method = "POST"\nwrk.headers["authorization"] = "Bearer sk-bench"\n'
                f'wrk.headers["content-type"] = "application/json"\nwrk.body = [==[{body}]==]\n'
            )
            load = ["wrk", "-t1", "-c32", f"-d{seconds + 2}s", "-s", str(script), f"{url}/v1/chat/completions"]
            with subprocess.Popen(load, stdout=subprocess.DEVNULL) as running:
                raw = folder / "raw.txt"
                spy = [
                    "py-spy",
                    "record",
                    "-p",
                    str(process.pids[0]),
                    "-d",
                    str(seconds),
                    "-r",
                    "500",
                    "-f",
                    "raw",
                    "-o",
                    str(raw),
                ]
                subprocess.run(spy, check=True, stdout=subprocess.DEVNULL)
                running.wait()
            show(raw.read_text())


def show(raw: str) -> None:
    """Own time by line and by file, as shares."""
    lines: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for stack in raw.splitlines():
        frames, _, count = stack.rpartition(" ")
        last = frames.rpartition(";")[2]
        lines[last] += int(count)
        files[last.rpartition("(")[2].partition(":")[0]] += int(count)
    total = sum(lines.values()) or 1
    for title, found in (("by file", files), ("by line", lines)):
        print(title)
        for name, taken in found.most_common(30):
            print(f"  {100 * taken / total:5.1f} %  {name}")
