"""The file of a journal: texts that outlive the process that wrote them, whatever ends it.

The file is mapped into memory, so writing needs no system call, and the pages stay when the process is gone. It
consists of a header and slots, each of which has room for two versions of one text:

    header   HEADER_BYTES: a version of what it says of the process
    slot     size (4 bytes), nothing (12 bytes), two copies
    copy     CRC-32 of the rest (4), length of the text (4), number of the version (8), text

A version is written to the copy that has the older one. So one of them is whole at every moment, also while the other
is being written. A copy whose checksum is wrong counts as empty.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections import defaultdict
from collections.abc import Iterator
from typing import Final
from zlib import crc32

#: Says what the file is; another version of the format has another number.
MAGIC: Final = b"modelmux journal 1\n"
HEADER_BYTES: Final = 4096
#: Bytes of a file when it is made, and at most.
FIRST_BYTES: Final = 1 << 20
MOST_BYTES: Final = 1 << 30
#: Bytes of the smallest slot and of the largest; each is twice as large as the one before.
SMALLEST: Final = 2048
LARGEST: Final = 1 << 17

_SLOT_HEAD: Final = 16
_COPY: Final = struct.Struct("<IIQ")
_REST: Final = struct.Struct("<IQ")
_SIZE: Final = struct.Struct("<I")
_EMPTY: Final = bytes(_COPY.size)
_pack_rest: Final = _REST.pack
_pack_copy: Final = _COPY.pack_into


class JournalFull(Exception):
    """There is no room for a text: on the disk, or in any slot."""


class Slot:
    """Where one text is. Only the file it belongs to reads it."""

    __slots__ = ("copies", "older", "room", "size")

    def __init__(self, at: int, size: int) -> None:
        self.size = size
        self.room = _room_of(size)
        self.copies = (at + _SLOT_HEAD, at + _SLOT_HEAD + _copy_bytes(size))
        self.older = 0


class SlotFile:
    """A file that one process writes. It is not for several threads.

    :param fd: of an empty file, open for reading and writing; the caller closes it.
    :param header: what it says of the process.
    :raises OSError: there is no room for it.
    """

    def __init__(self, fd: int, header: bytes) -> None:
        self._fd = fd
        _allocate(fd, 0, FIRST_BYTES)
        self._map = mmap.mmap(fd, FIRST_BYTES)
        self._bytes = FIRST_BYTES
        self._next = HEADER_BYTES
        self._version = 0
        self._free: defaultdict[int, list[Slot]] = defaultdict(list)
        if len(MAGIC) + _COPY.size + len(header) > HEADER_BYTES:
            raise ValueError("the header is too long")
        rest = _pack_rest(len(header), 1)
        self._map[len(MAGIC) : len(MAGIC) + _COPY.size + len(header)] = (
            _SIZE.pack(crc32(header, crc32(rest))) + rest + header
        )
        self._map[: len(MAGIC)] = MAGIC

    def write(self, slot: Slot | None, text: bytes) -> Slot:
        """Replace the text of a slot; None for a new one.

        :returns: the slot that has it from now on.
        :raises JournalFull: the slot has what it had.
        """
        if len(text) > (_SMALLEST_ROOM if slot is None else slot.room):
            return self._move(slot, text)
        if slot is None:
            slot = self._take(SMALLEST)
        self._version = version = self._version + 1
        size, older = len(text), slot.older
        begin = slot.copies[older]
        _pack_copy(self._map, begin, crc32(text, crc32(_pack_rest(size, version))), size, version)
        begin += _COPY.size
        self._map[begin : begin + size] = text
        slot.older = older ^ 1
        return slot

    def clear(self, slot: Slot) -> None:
        """Drop the text. The slot is used again."""
        self._empty(slot)
        self._free[slot.size].append(slot)

    def close(self) -> None:
        """Texts that were not dropped stay."""
        self._map.close()

    def _move(self, slot: Slot | None, text: bytes) -> Slot:
        """The text is in two slots for a moment; whoever reads the file takes the later version."""
        size = SMALLEST
        while len(text) > _room_of(size):
            size *= 2
        if size > LARGEST:
            raise JournalFull(f"a text of {len(text):,} bytes is too long")
        moved = self.write(self._take(size), text)
        if slot is not None:
            self.clear(slot)
        return moved

    def _take(self, size: int) -> Slot:
        free = self._free[size]
        if free:
            return free.pop()
        at = self._next
        if at + size > self._bytes:
            self._grow()
        self._map[at : at + _SIZE.size] = _SIZE.pack(size)
        self._next = at + size
        return Slot(at, size)

    def _grow(self) -> None:
        size = 2 * self._bytes
        if size > MOST_BYTES:
            raise JournalFull(f"the journal has {self._bytes:,} bytes")
        try:
            _allocate(self._fd, self._bytes, self._bytes)
            larger = mmap.mmap(self._fd, size)
        except OSError as error:
            raise JournalFull(error.strerror or type(error).__name__) from None
        self._map.close()
        self._map = larger
        self._bytes = size

    def _empty(self, slot: Slot) -> None:
        older = slot.copies[slot.older]
        newer = slot.copies[slot.older ^ 1]
        self._map[older : older + _COPY.size] = _EMPTY  # first: else it would be what a reader sees
        self._map[newer : newer + _COPY.size] = _EMPTY


Readable = bytes | mmap.mmap


def is_of_other_format(data: Readable) -> bool:
    """Whether another version wrote it. The mark is written last, and may be missing or cut."""
    return not MAGIC.startswith(data[: len(MAGIC)].rstrip(b"\0"))


def read_header(data: Readable) -> bytes | None:
    """What the header of a file says; None if it is not whole, or not of this version."""
    if data[: len(MAGIC)] != MAGIC:
        return None
    copy = _read_copy(data, len(MAGIC), HEADER_BYTES)
    return copy[1] if copy is not None else None


def read_texts(data: Readable) -> Iterator[tuple[int, bytes]]:
    """The texts of a file with their versions, in the order of the slots. A text may be in two slots."""
    at = HEADER_BYTES
    while at + SMALLEST <= len(data):
        (size,) = _SIZE.unpack_from(data, at)
        if not SMALLEST <= size <= LARGEST or at + size > len(data):
            return
        copy_bytes = _copy_bytes(size)
        begin = at + _SLOT_HEAD
        copies = (_read_copy(data, start, start + copy_bytes) for start in (begin, begin + copy_bytes))
        newest = max((copy for copy in copies if copy is not None), default=None)
        if newest is not None:
            yield newest
        at += size


def _allocate(fd: int, begin: int, length: int) -> None:
    """Have room on the disk: writing to a mapped page without any would kill the process. :raises OSError:"""
    allocate = getattr(os, "posix_fallocate", None)
    if allocate is not None:
        allocate(fd, begin, length)
    else:  # pragma: no cover - not on Linux
        os.ftruncate(fd, begin + length)


def _copy_bytes(size: int) -> int:
    return (size - _SLOT_HEAD) // 2


def _room_of(size: int) -> int:
    """Bytes of the longest text that a slot has room for."""
    return _copy_bytes(size) - _COPY.size


_SMALLEST_ROOM: Final = _room_of(SMALLEST)


def _read_copy(data: Readable, begin: int, end: int) -> tuple[int, bytes] | None:
    """The version and the text."""
    checksum, length, version = _COPY.unpack_from(data, begin)
    text = data[begin + _COPY.size : min(begin + _COPY.size + length, end)]
    if not version or len(text) != length or crc32(text, crc32(_REST.pack(length, version))) != checksum:
        return None
    return version, text
