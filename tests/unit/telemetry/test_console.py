"""What is written to stderr and stdout behind the log's back: it waits for no reader, and keeps its place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import logging, sys, threading, traceback, warnings
from modelmux.telemetry.console import redirect_standard_streams
from modelmux.telemetry.log import make_log
log = make_log("info", "json", flush_interval=0.1, in_background=True)
redirect_standard_streams(log.console)
for number in range(int(sys.argv[1])):
    log.info("first", text="x" * 100)
    logging.getLogger("uvicorn.error").error("second")
    warnings.warn("third " + str(number))
    print("fourth", file=sys.stderr)
    try:
        raise ValueError("fifth")
    except ValueError:
        traceback.print_exc()
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    print("out", number)
print("over", end="", file=sys.stderr)
sys.stderr.flush()
assert sys.stderr.fileno() == 2 and not sys.stderr.isatty()
open(sys.argv[2], "w").write("done")
sys.exit(3)
"""


def test_everything_keeps_its_order_and_is_written_before_the_end(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, "2", str(tmp_path / "done")], capture_output=True, text=True,
                          timeout=100, check=False)  # fmt: skip
    assert done.returncode == 3
    assert done.stdout == "out 0\nout 1\n"
    found = re.findall("first|second|third|fourth|fifth|ZeroDivisionError|over", done.stderr)
    once = ["first", "second", "third", "fourth", "fifth", "ZeroDivisionError"]
    assert list(dict.fromkeys(found)) == [*once, "over"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes of POSIX")
def test_nothing_waits_for_a_reader(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        done = subprocess.run([sys.executable, "-c", SCRIPT, "2000", str(tmp_path / "done")], stdout=writing,
                              stderr=writing, timeout=100, check=False)  # fmt: skip
        assert done.returncode == 3
        assert (tmp_path / "done").read_text() == "done"
    finally:
        os.close(reading)
        os.close(writing)


PROCESS = """
import sys
from modelmux.telemetry import console
console._shared = True
write = console.bytes_writer(sys.stderr)
sys.stdin.read(1)  # the signal to begin
for _ in range(int(sys.argv[3])):
    assert write(sys.argv[1].encode() * int(sys.argv[2]) + b"\\n")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes of POSIX")
def test_a_short_line_never_comes_between_the_parts_of_a_long_one() -> None:
    """A full pipe takes a long write in parts, and short ones of another process whenever it has room."""
    reading, writing = os.pipe()
    command = [sys.executable, "-c", PROCESS]
    long = subprocess.Popen([*command, "l", "200000", "10"], stdin=subprocess.PIPE, stderr=writing)
    short = subprocess.Popen([*command, "s", "1", "2000"], stdin=subprocess.PIPE, stderr=writing)
    os.close(writing)
    for process in (long, short):
        assert process.stdin is not None
        process.stdin.write(b"x")
        process.stdin.close()
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().splitlines()
    assert (long.wait(60), short.wait(60)) == (0, 0)
    assert sorted(set(lines)) == [b"l" * 200_000, b"s"]
    assert (lines.count(b"s"), len(lines)) == (2000, 2010)
