"""Reading log files: lines from the end backwards, and new lines as they are written. Nothing is formatted here."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from modelmux.telemetry.log_files import log_files

#: Bytes read at a time.
_BLOCK: Final = 64 * 1024
#: Seconds between two reads of a followed file.
POLL_SECONDS: Final = 0.2

LineFilter = Callable[[bytes], bool]


def last_lines(files: Iterable[Path], count: int, matches: LineFilter) -> list[bytes]:
    """The last ``count`` matching lines, oldest first.

    :param files: newest first; read only as far back as necessary.
    """
    lines: deque[bytes] = deque()
    for path in files:
        if len(lines) >= count:
            break
        for line in _backwards(path):
            if matches(line):
                lines.appendleft(line)
                if len(lines) >= count:
                    break
    return list(lines)


def _backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file, last one first; none if it was deleted meanwhile or cannot be read."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        position, rest = file.seek(0, os.SEEK_END), b""
        while position:
            step = min(_BLOCK, position)
            position -= step
            file.seek(position)
            first, *lines = (file.read(step) + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line.strip())
            rest = first
        if rest.strip():
            yield rest


class Follower:
    """New lines of the newest log file in a directory, across midnight, truncation and replacement.

    :param from_start: treat the lines that are already in the file as new.
    """

    def __init__(self, directory: Path, *, from_start: bool = False) -> None:
        self._directory = directory
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._rest = b""
        newest = next(iter(log_files(directory)), None)
        if newest is not None:
            self._open(newest, at_end=not from_start)

    def poll(self) -> list[bytes]:
        """The complete lines that were added since the last call."""
        lines = self._read()
        newest = next(iter(log_files(self._directory)), None)
        if newest is not None and (newest != self._path or self._replaced()):
            lines += self._read()  # lines that were added before the change
            lines += [self._rest] if self._rest.strip() else []
            self._open(newest)
            lines += self._read()
        return lines

    def follow(self, sleep: Callable[[float], None] = time.sleep) -> Iterator[bytes]:
        """New lines, without end."""
        while True:
            yield from self.poll()
            sleep(POLL_SECONDS)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, path: Path, *, at_end: bool = False) -> None:
        self.close()
        self._path, self._rest = path, b""
        try:
            self._file = path.open("rb")
            if at_end:
                self._file.seek(0, os.SEEK_END)
        except OSError:  # deleted or not readable: the next poll tries again
            self._path = None

    def _replaced(self) -> bool:
        assert self._path is not None
        try:
            return self._file is None or not os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except OSError:
            return False  # deleted and not created again yet

    def _read(self) -> list[bytes]:
        if self._file is None:
            return []
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # truncated
            self._rest = b""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [line for line in lines if line.strip()]
