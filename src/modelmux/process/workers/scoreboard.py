"""Memory that a supervisor and its workers share: one slot for each worker, and one for the workers that have ended.

It is an anonymous mapping, created before the fork. Each slot has one writer (its worker; the supervisor for the slot
of those that ended) and any number of readers. There are no locks:

* A slot has two buffers, written alternately. A buffer starts with a header: sequence number (8 bytes), length of the
  payload (4) and the CRC-32 of both and the payload (4).
* A reader takes the valid buffer with the higher sequence number. While a buffer is being written, and also if its
  writer was killed in the middle, its CRC is wrong and the buffer before it is still valid.
* If a header changed while the reader read, the writer may have replaced both buffers, one before and one after the
  reader looked at it. Then it reads again, a bounded number of times.

What the bytes mean is in ``totals.py``.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from typing import Final, Protocol, overload

#: Bytes of a buffer, with its header: enough for some 700 routes with a deployment each. Pages never written to cost no
#: memory.
BUFFER_BYTES: Final = 512 * 1024
_FIELDS: Final = struct.Struct("<QI")
_CRC: Final = struct.Struct("<I")
_HEADER_BYTES: Final = _FIELDS.size + _CRC.size
#: Reading takes microseconds, and a writer begins a record every few milliseconds at most: the second attempt succeeds.
_READ_ATTEMPTS: Final = 16


class Memory(Protocol):
    """Bytes that can be read and replaced: an ``mmap``, or a ``bytearray``."""

    @overload
    def __getitem__(self, index: int, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> bytes | bytearray: ...
    def __setitem__(self, index: slice, value: bytes, /) -> None: ...


class Slot:
    """One slot: a record that its writer replaces at any time.

    :param start: index of its first byte.
    """

    def __init__(self, memory: Memory, start: int, buffer_bytes: int = BUFFER_BYTES) -> None:
        self.capacity = buffer_bytes - _HEADER_BYTES
        self._memory = memory
        self._starts = (start, start + buffer_bytes)
        self._written: tuple[int, int] | None = None
        self._last_read = (0, b"")

    def write(self, payload: bytes) -> None:
        """Replace the record. Only the slot's writer may call this.

        :raises ValueError: the payload is larger than ``capacity``.
        """
        if len(payload) > self.capacity:
            raise ValueError(f"{len(payload)} bytes do not fit into a slot of {self.capacity}")
        sequence, index = self._newest() if self._written is None else self._written
        self._written = sequence, index = sequence + 1, 1 - index
        fields = _FIELDS.pack(sequence, len(payload))
        record = fields + _CRC.pack(zlib.crc32(payload, zlib.crc32(fields))) + payload
        start = self._starts[index]
        self._memory[start : start + len(record)] = record

    def read(self) -> bytes | None:
        """The newest record; None if nothing was written yet."""
        for _ in range(_READ_ATTEMPTS):
            before = self.heartbeat()
            valid = [record for index in (0, 1) if (record := self._record(index)) is not None]
            self._last_read = max([*valid, self._last_read])
            if self.heartbeat() == before:
                break
        sequence, payload = self._last_read
        return payload if sequence else None

    def heartbeat(self) -> bytes:
        """A value that every write changes. Cheap, and without meaning otherwise."""
        first, second = self._starts
        memory = self._memory
        return bytes(memory[first : first + _HEADER_BYTES]) + bytes(memory[second : second + _HEADER_BYTES])

    def _record(self, index: int) -> tuple[int, bytes] | None:
        """The sequence number and the payload of a buffer; None if it is not valid."""
        start = self._starts[index]
        header = bytes(self._memory[start : start + _HEADER_BYTES])
        fields = header[: _FIELDS.size]
        sequence, length = _FIELDS.unpack(fields)
        if not sequence or length > self.capacity:
            return None
        payload = bytes(self._memory[start + _HEADER_BYTES : start + _HEADER_BYTES + length])
        (crc,) = _CRC.unpack(header[_FIELDS.size :])
        return (sequence, payload) if crc == zlib.crc32(payload, zlib.crc32(fields)) else None

    def _newest(self) -> tuple[int, int]:
        """Sequence number and index of the newest valid buffer: the writer must not replace that one."""
        valid = [(record[0], index) for index in (0, 1) if (record := self._record(index)) is not None]
        return max(valid, default=(0, 1))


class Scoreboard:
    """All slots of a gateway.

    :param workers: how many. Their slots are ``workers[number - 1]``; ``finished`` is that of the workers that ended,
        and ``admin`` that of the process of the admin API, which only shows that it runs.
    """

    def __init__(self, workers: int, buffer_bytes: int = BUFFER_BYTES) -> None:
        slot_bytes = 2 * buffer_bytes
        self._memory = mmap.mmap(-1, (workers + 2) * slot_bytes)
        self.finished, self.admin, *self.workers = [
            Slot(self._memory, index * slot_bytes, buffer_bytes) for index in range(workers + 2)
        ]
