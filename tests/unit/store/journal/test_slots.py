"""Texts of a journal outlive a process that is killed at any byte of a write.

Risk: a half-written text hides the one before; a text that was dropped comes back; one that grows is lost on the way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.store.journal import slots
from modelmux.store.journal.slots import LARGEST, SMALLEST, JournalFull, Slot, SlotFile, read_header, read_texts

Open = Callable[[], SlotFile]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "one"


@pytest.fixture
def file(path: Path) -> Iterator[SlotFile]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    yield SlotFile(fd, b"header")
    os.close(fd)


def texts(path: Path) -> list[bytes]:
    return [text for _, text in read_texts(path.read_bytes())]


def test_what_was_written_last_is_read(file: SlotFile, path: Path) -> None:
    first = file.write(None, b"one")
    file.write(None, b"two")
    file.write(first, b"three")
    file.write(first, b"four")

    assert texts(path) == [b"four", b"two"]
    assert read_header(path.read_bytes()) == b"header"


def test_a_text_that_was_dropped_does_not_come_back(file: SlotFile, path: Path) -> None:
    slot = file.write(None, b"one")
    file.write(slot, b"two")
    file.clear(slot)

    assert texts(path) == []
    assert file.write(None, b"three") is slot
    assert texts(path) == [b"three"]


def test_a_text_that_grows_moves_and_is_there_once(file: SlotFile, path: Path) -> None:
    slot = file.write(None, b"x")
    sizes = [slot.size]
    for length in (1_000, 1_100, 5_000, 60_000):
        slot = file.write(slot, b"y" * length)
        sizes.append(slot.size)
        assert texts(path) == [b"y" * length]

    assert sizes == [SMALLEST, SMALLEST, 2 * SMALLEST, 8 * SMALLEST, LARGEST]
    with pytest.raises(JournalFull, match="100,000 bytes is too long"):
        file.write(slot, b"z" * 100_000)
    assert texts(path) == [b"y" * 60_000]


def test_the_file_grows(file: SlotFile, path: Path) -> None:
    written = [file.write(None, str(number).encode()) for number in range(1_500)]

    assert path.stat().st_size == 4 << 20
    assert texts(path) == [str(number).encode() for number in range(1_500)]
    file.write(written[3], b"later")
    assert texts(path)[3] == b"later"


def test_a_file_that_must_not_grow_further_takes_no_more(
    file: SlotFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "MOST_BYTES", slots.FIRST_BYTES)
    count = 0
    with pytest.raises(JournalFull, match="1,048,576 bytes"):
        while file.write(None, b"x"):
            count += 1

    assert len(texts(path)) == count == (slots.FIRST_BYTES - slots.HEADER_BYTES) // SMALLEST


def test_no_page_is_written_that_the_disk_has_no_room_for(
    file: SlotFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, begin: int, length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(JournalFull, match="No space left on device"):
        while file.write(None, b"x"):
            pass
    assert path.stat().st_size == slots.FIRST_BYTES


def test_a_file_that_cannot_be_mapped_anew_is_written_as_it_was(
    file: SlotFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, length: int) -> None:
        raise OSError(12, "Cannot allocate memory")

    first = file.write(None, b"one")
    monkeypatch.setattr(slots.mmap, "mmap", full)
    with pytest.raises(JournalFull, match="Cannot allocate memory"):
        while file.write(None, b"x"):
            pass
    file.write(first, b"two")
    assert texts(path)[0] == b"two"


@given(written=st.integers(0, 40), size=st.integers(1, 40))
def test_a_write_that_is_cut_at_any_byte_leaves_the_version_before(
    tmp_path_factory: pytest.TempPathFactory, written: int, size: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / "one"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    file = SlotFile(fd, b"header")
    slot = file.write(None, b"before")
    before = path.read_bytes()
    file.write(slot, b"a" * size)
    after = path.read_bytes()
    file.close()
    os.close(fd)
    begin = next(index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1])
    torn = after[: begin + written] + before[begin + written :]

    (text,) = [text for _, text in read_texts(torn)]

    assert text in (b"before", b"a" * size)
    assert text == b"before" or torn[begin : begin + 56] == after[begin : begin + 56]


@given(data=st.binary(max_size=200), at=st.integers(0, 3 * SMALLEST))
def test_a_file_of_any_bytes_can_be_read(tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int) -> None:
    path = tmp_path_factory.mktemp("odd") / "one"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    file = SlotFile(fd, b"header")
    for text in (b"one", b"two"):
        file.write(None, text)
    whole = path.read_bytes()[: slots.HEADER_BYTES + 2 * SMALLEST]
    file.close()
    os.close(fd)
    odd = whole[:at] + data + whole[at + len(data) :]

    assert set(dict(read_texts(odd)).values()) <= {b"one", b"two"}
    assert read_header(odd) in (b"header", None)


def test_a_header_that_is_too_long_is_an_error(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    with pytest.raises(ValueError, match="too long"):
        SlotFile(fd, b"x" * 5_000)
    os.close(fd)


def test_slots_are_used_again_by_size(file: SlotFile) -> None:
    large = file.write(None, b"x" * 3_000)
    file.clear(large)
    small: Slot = file.write(None, b"x")

    assert small is not large
    assert file.write(None, b"x" * 3_500) is large
