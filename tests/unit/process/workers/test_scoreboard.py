"""Risk: a reader that sees half a record, or none because its writer was killed in the middle of one."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator

import pytest

from modelmux.process.workers.scoreboard import BUFFER_BYTES, Scoreboard, Slot

BUFFER = 64
HEADER = 16


class Shared(bytearray):
    """Memory in which another process runs between any two accesses of this one."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.interrupt: Callable[[], None] | None = None

    def __getitem__(self, index):  # type: ignore[no-untyped-def, override]
        if self.interrupt is not None:
            interrupt, self.interrupt = self.interrupt, None
            interrupt()
            self.interrupt = interrupt
        return super().__getitem__(index)


@pytest.fixture
def memory() -> Shared:
    return Shared(2 * BUFFER)


def slot(memory: bytearray) -> Slot:
    """The slot, as one process sees it."""
    return Slot(memory, 0, BUFFER)


def test_the_newest_record_is_read(memory: Shared) -> None:
    writer, reader = slot(memory), slot(memory)
    assert reader.read() is None
    for number in range(300):
        writer.write(b"record %d" % number)
        assert reader.read() == b"record %d" % number


def test_an_empty_record_is_a_record(memory: Shared) -> None:
    slot(memory).write(b"")
    assert slot(memory).read() == b""


def test_a_successor_continues_where_the_writer_before_it_stopped(memory: Shared) -> None:
    for number in range(5):
        slot(memory).write(b"%d" % number)  # a new process each time
        assert slot(memory).read() == b"%d" % number


@pytest.mark.parametrize("before", [1, 2, 3])
def test_a_writer_killed_at_any_byte_costs_only_the_record_it_was_writing(memory: Shared, before: int) -> None:
    writer = slot(memory)
    for number in range(before):
        writer.write(b"record %d of the dead" % number)
    old = bytes(memory)
    writer.write(b"the last record, cut off")
    new = bytes(memory)
    changed = [index for index in range(len(old)) if old[index] != new[index]]
    for end in range(changed[0], changed[-1] + 1):
        memory[:] = new[:end] + old[end:]
        assert slot(memory).read() == b"record %d of the dead" % (before - 1), end
        slot(memory).write(b"of the successor")
        assert slot(memory).read() == b"of the successor"
    memory[:] = new
    assert slot(memory).read() == b"the last record, cut off"


def test_a_first_record_that_was_cut_off_is_none(memory: Shared) -> None:
    slot(memory).write(b"only")
    complete = bytes(memory)
    for end in range(1, BUFFER + HEADER + 4):
        memory[:] = complete[:end] + bytes(len(complete) - end)
        assert slot(memory).read() == (b"only" if memory == complete else None)


def test_a_buffer_with_a_wrong_crc_is_not_read(memory: Shared) -> None:
    writer = slot(memory)
    writer.write(b"older")
    writer.write(b"newer")
    (start,) = (index for index in (0, BUFFER) if bytes(memory[index + HEADER : index + HEADER + 5]) == b"newer")
    for index in range(start, start + HEADER + 5):
        memory[index] ^= 1
        assert slot(memory).read() == b"older"
        memory[index] ^= 1
    assert slot(memory).read() == b"newer"


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_a_reader_that_races_a_writer_reads_a_whole_record_and_never_an_older_one(memory: Shared, writes: int) -> None:
    """The writer writes ``writes`` records at one access of the reader, at each of them in turn."""
    writer, number = slot(memory), 0

    def write() -> bytes:
        nonlocal number
        number += 1
        record = b"%d" % number * 20
        writer.write(record)
        return record

    for access in range(12):
        before, accesses = write(), iter(range(100))

        def race(access: int = access, accesses: Iterator[int] = accesses) -> None:
            if next(accesses) == access:
                for _ in range(writes):
                    write()

        memory.interrupt = race
        record = slot(memory).read()
        memory.interrupt = None
        assert record is not None
        assert len({record[i : i + len(record) // 20] for i in range(0, len(record), len(record) // 20)}) == 1
        assert int(before[: len(before) // 20]) <= int(record[: len(record) // 20]) <= number


def test_a_writer_that_never_pauses_leaves_the_reader_with_what_it_read_last(memory: Shared) -> None:
    writer, reader = slot(memory), slot(memory)
    writer.write(b"first")
    assert reader.read() == b"first"
    flip = iter(range(10_000))

    def scribble() -> None:  # both buffers are invalid, and different, at every access
        memory[:] = bytes([next(flip) % 255 + 1]) * len(memory)

    memory.interrupt = scribble
    assert reader.read() == b"first"
    assert next(flip) < 200, "it gives up"


def test_what_is_larger_than_a_slot_is_refused_and_changes_nothing(memory: Shared) -> None:
    writer = slot(memory)
    writer.write(b"x" * writer.capacity)
    assert len(slot(memory).read() or b"") == writer.capacity
    with pytest.raises(ValueError, match="do not fit"):
        writer.write(b"x" * (writer.capacity + 1))
    assert slot(memory).read() == b"x" * writer.capacity


def test_every_write_changes_the_heartbeat(memory: Shared) -> None:
    writer, seen = slot(memory), set()
    for _ in range(10):
        writer.write(b"the same")
        seen.add(slot(memory).heartbeat())
    assert len(seen) == 10


def test_slots_do_not_overlap_and_forked_processes_share_them() -> None:
    board = Scoreboard(3)
    full = board.finished.capacity
    pids = []
    for number, worker in enumerate(board.workers, 1):
        pid = os.fork()
        if not pid:
            worker.write(bytes([number]) * full)
            os._exit(0)
        pids.append(pid)
    board.finished.write(b"\0" * full)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]
    assert [worker.read() for worker in board.workers] == [bytes([number]) * full for number in (1, 2, 3)]
    assert board.finished.read() == b"\0" * full


def test_buffers_are_whole_pages() -> None:
    """Pages that no report reaches cost no memory."""
    assert BUFFER_BYTES % mmap.PAGESIZE == 0
