"""Rows of remembered thinking that wait to be written: bounded by number and bytes, the oldest are dropped first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from modelmux.claude.draft import SignedThinking

#: Rows that wait at most, and bytes that they take in memory.
MAX_WAITING: Final = 2_000
MAX_WAITING_BYTES: Final = 32 * 1024 * 1024
#: Rows of one batch at most, and bytes that they take in memory; a batch has at least one row.
MAX_BATCH: Final = 64
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024


class WaitingRow(NamedTuple):
    """
    :param expires_at: Unix seconds.
    :param size: bytes in memory.
    """

    model: str
    blocks: tuple[SignedThinking, ...]
    expires_at: float
    size: int


Batch = Sequence[tuple[bytes, WaitingRow]]


class WaitingRows:
    """By key; a later row takes the place of one with the same key.

    :ivar bytes: of all, in memory. :ivar dropped: rows that were dropped, as there were too many.
    """

    def __init__(self) -> None:
        self._rows: OrderedDict[bytes, WaitingRow] = OrderedDict()
        self.bytes = self.dropped = 0

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, key: bytes, row: WaitingRow) -> None:
        """Behind all others."""
        self._pop(key)
        self._add(key, row)
        self._bound()

    def put_back(self, batch: Batch) -> None:
        """What could not be written, in front of all others; not where a later row waits."""
        for key, row in reversed(batch):
            if key not in self._rows:
                self._add(key, row)
                self._rows.move_to_end(key, last=False)
        self._bound()

    def take(self) -> Batch:
        """The oldest ones, which wait no more."""
        batch: list[tuple[bytes, WaitingRow]] = []
        size = 0
        while self._rows and len(batch) < MAX_BATCH:
            key, row = next(iter(self._rows.items()))
            size += row.size
            if batch and size > MAX_BATCH_BYTES:
                break
            self._pop(key)
            batch.append((key, row))
        return batch

    def _add(self, key: bytes, row: WaitingRow) -> None:
        self._rows[key] = row
        self.bytes += row.size

    def _pop(self, key: bytes) -> None:
        row = self._rows.pop(key, None)
        if row is not None:
            self.bytes -= row.size

    def _bound(self) -> None:
        while len(self._rows) > MAX_WAITING or self.bytes > MAX_WAITING_BYTES:
            self._pop(next(iter(self._rows)))
            self.dropped += 1
