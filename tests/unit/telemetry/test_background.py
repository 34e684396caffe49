"""Lines that a thread writes: none waits for the output, none changes its place, and what is missing is told."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from modelmux.telemetry.background import BackgroundWriter
from modelmux.telemetry.console import BackgroundStream, bytes_writer

PATIENCE = 100.0


class Sink:
    """An output that waits while ``open`` is clear."""

    def __init__(self, limit: int = 100) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.fails = False
        self.written = b""
        self.writer = BackgroundWriter(self._write, lambda count, at: b"<%d>\n" % count, limit)

    def _write(self, data: bytes) -> bool:
        self.entered.set()
        assert self.open.wait(PATIENCE)
        if not self.fails:
            self.written += data
        return not self.fails

    def block(self) -> None:
        """Until the thread waits in a write of ``first``."""
        self.writer.put(b"first\n")
        assert self.entered.wait(PATIENCE)

    def result(self) -> list[str]:
        self.open.set()
        assert self.writer.flush(PATIENCE)
        return self.written.decode().splitlines()


def test_lines_keep_their_order() -> None:
    sink = Sink(limit=1_000_000)
    for number in range(1000):
        sink.writer.put(b"%d\n" % number)
    assert sink.result() == [str(number) for number in range(1000)]
    assert sink.writer.dropped == 0


def test_a_full_buffer_drops_lines_and_tells_how_many_in_their_place() -> None:
    sink = Sink(limit=100)
    sink.block()
    for number in range(100):
        sink.writer.put(b"line %03d\n" % number)
    lines = sink.result()
    kept = (100 - len(b"first\n")) // len(b"line 000\n")
    assert lines == ["first", *(f"line {number:03d}" for number in range(kept)), f"<{100 - kept}>"]
    assert sink.writer.dropped == 100 - kept
    sink.writer.put(b"after\n")
    assert sink.result()[-2:] == [f"<{100 - kept}>", "after"]


def test_lines_after_a_gap_come_after_its_notice() -> None:
    sink = Sink(limit=100)
    sink.block()
    sink.writer.put(b"a" * 60 + b"\n")
    sink.writer.put(b"lost\nlost\n" * 10)
    sink.writer.put(b"x\n")  # would fit, but lines come back once half of the buffer is free
    assert sink.writer.dropped == 21
    sink.open.set()
    assert sink.writer.flush(PATIENCE)
    sink.open.clear()
    sink.entered.clear()
    sink.block()
    sink.writer.put(b"after\n")
    assert sink.result() == ["first", "a" * 60, "<21>", "first", "after"]


def test_lines_that_fail_are_told_with_the_next_that_do_not() -> None:
    sink = Sink()
    sink.open.set()
    sink.fails = True
    sink.writer.put(b"one\ntwo\n")
    assert sink.writer.flush(PATIENCE)
    assert sink.writer.dropped == 2
    sink.fails = False
    sink.writer.put(b"three\n")
    assert sink.result() == ["<2>", "three"]
    assert sink.writer.dropped == 2


def test_an_output_that_raises_does_not_end_the_thread() -> None:
    seen: list[bytes] = []

    def write(data: bytes) -> bool:
        seen.append(data)
        raise RuntimeError

    writer = BackgroundWriter(write, lambda count, at: b"<%d>\n" % count)
    writer.put(b"one\n")
    assert writer.flush(PATIENCE)
    writer.put(b"two\n")
    assert writer.flush(PATIENCE)
    assert seen == [b"one\n", b"<1>\ntwo\n"]
    assert writer.dropped == 2


def test_one_piece_larger_than_the_buffer_is_written_if_nothing_waits() -> None:
    sink = Sink(limit=10)
    sink.writer.put(b"x" * 50 + b"\n")
    assert sink.result() == ["x" * 50]


def test_a_flush_waits_no_longer_than_its_timeout() -> None:
    sink = Sink()
    sink.block()
    assert not sink.writer.flush(0.0)
    sink.open.set()
    assert sink.writer.flush(PATIENCE)


def test_a_flush_of_nothing_starts_no_thread() -> None:
    before = threading.active_count()
    assert Sink().writer.flush(PATIENCE)
    assert threading.active_count() == before


def test_a_pause_ends_the_thread_and_the_next_line_starts_another() -> None:
    sink = Sink()
    sink.open.set()
    before = threading.active_count()
    sink.writer.put(b"one\n")
    sink.writer.pause(PATIENCE)
    assert threading.active_count() == before
    assert sink.written == b"one\n"
    sink.writer.pause(PATIENCE)
    sink.writer.put(b"two\n")
    assert sink.result() == ["one", "two"]


def test_a_pause_does_not_wait_for_an_output_that_is_stuck() -> None:
    sink = Sink()
    sink.block()
    for _ in range(3):
        sink.writer.pause(0.0)
    sink.writer.put(b"two\n")
    assert sink.result() == ["first", "two"]
    sink.writer.put(b"three\n")
    assert sink.result() == ["first", "two", "three"]


def test_a_thread_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink()
    sink.open.set()

    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        sink.writer.put(b"one\n")
        assert not sink.writer.flush(PATIENCE), "nobody would write it"
    sink.writer.put(b"two\n")
    assert sink.result() == ["one", "two"]


def test_an_action_is_called_after_the_lines_before_it() -> None:
    sink = Sink()
    seen: list[bytes] = []
    sink.block()
    sink.writer.call(lambda: seen.append(sink.written))
    sink.writer.put(b"after\n")
    sink.result()
    assert seen == [b"first\n"]


FORK = """
import os, sys
from modelmux.telemetry.background import BackgroundWriter
from modelmux.telemetry.console import bytes_writer
writer = BackgroundWriter(bytes_writer(sys.stderr), lambda count, at: b"<%d>\\n" % count)
stuck = sys.argv[1] == "stuck"
writer.put((b"x" * 999 + b"\\n") * (1000 if stuck else 1))
writer.put(b"parent\\n")
pid = os.fork()
if pid == 0:
    assert writer.dropped == 0
    writer.put(b"child\\n")
    if not stuck:
        writer.flush(30)
    os.write(1, b"forked\\n")
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
writer.put(b"again\\n")
writer.flush(0.1 if stuck else 30)
"""


def test_a_fork_copies_no_line() -> None:
    done = subprocess.run([sys.executable, "-c", FORK, "flows"], capture_output=True, timeout=100, check=True)
    assert done.stderr.splitlines()[1:] == [b"parent", b"child", b"again"]


def test_a_fork_beside_a_write_that_hangs_works_and_the_process_ends(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        done = subprocess.run([sys.executable, "-c", FORK, "stuck"], stdout=subprocess.PIPE, stderr=writing,
                              timeout=100, check=True)  # fmt: skip
        assert done.stdout == b"forked\n"
        assert os.get_blocking(writing), "the parent's pipe is as it was"
    finally:
        os.close(reading)
        os.close(writing)


def test_a_pipe_that_another_process_made_non_blocking_loses_nothing() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb") as reader:
        writer = BackgroundWriter(bytes_writer(stream), lambda count, at: b"<%d>\n" % count)
        lines = [b"%06d" % number + b"x" * 100 for number in range(5000)]
        for line in lines:
            writer.put(line + b"\n")
        assert [reader.readline().rstrip(b"\n") for _ in lines] == lines


def test_a_reader_that_is_gone_raises_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        assert not bytes_writer(stream)(b"line\n")


def test_what_stands_for_stderr_passes_whole_lines_in_one_piece() -> None:
    sink = Sink(limit=1_000_000)
    pieces: list[bytes] = []
    sink.writer.put = pieces.append  # type: ignore[method-assign]
    stream = BackgroundStream(sys.__stderr__, sink.writer)  # type: ignore[arg-type]
    print("one", "two", file=stream)
    assert pieces == [b"one two\n"]
    stream.write("a\nb\nc")
    assert pieces[1:] == [b"a\nb\n"]
    stream.flush()
    stream.flush()
    assert pieces[2:] == [b"c"]
    stream.write("\ud800\n")
    assert pieces[3:] == [b"\\ud800\n"]
    stream.write("x" * 10_000)
    assert pieces[4:] == [b"x" * 10_000], "what is held of a line is bounded"
