"""The journals of the processes that share a ledger: one file each, beside it, in a directory of their own.

A process holds a lock on its file for as long as it lives. A file that is not locked is what a process left that was
killed, and whoever gets the lock turns it into rows.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from modelmux.store.journal.slots import (
    HEADER_BYTES,
    JournalFull,
    Slot,
    SlotFile,
    is_of_other_format,
    read_header,
    read_texts,
)

_SUFFIX: Final = ".journal"
_DRAFT: Final = ".draft"
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_OPEN: Final = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Owner(Struct):
    """Of a journal.

    :param holder: the name under which the process has leases.
    :param boot: names the start of the machine; empty where that is not known.
    """

    holder: str
    boot: str


class OtherFormat(OSError):
    """A journal of another version of this program, which alone can read it."""


class Journal:
    """That of this process. Its texts are for the event loop only.

    :param directory: created if there is none.
    :param on_full: called once with the cause, when a text could not be written.
    :raises OSError: the file cannot be created.
    """

    def __init__(self, directory: Path, holder: str, on_full: Callable[[str], None]) -> None:
        self._on_full = on_full
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = directory / f"{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
        draft = self.path.with_suffix(_DRAFT)
        self._fd = os.open(draft, _CREATE, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._slots = SlotFile(self._fd, msgspec.json.encode(Owner(holder, boot_id())))
            draft.rename(self.path)
        except BaseException:
            os.close(self._fd)
            draft.unlink(missing_ok=True)
            raise
        #: Texts that could not be written.
        self.missed = 0
        #: Texts that it has.
        self.size = 0

    def write(self, slot: Slot | None, text: bytes) -> Slot | None:
        """Replace the text of a slot; None for a new one.

        :returns: the slot that has it; the old one if there is no room, which is counted, or after ``close``.
        """
        if self._fd < 0:
            return slot
        try:
            written = self._slots.write(slot, text)
        except JournalFull as error:
            self.missed += 1
            if self.missed == 1:
                self._on_full(str(error))
            return slot
        self.size += slot is None
        return written

    def clear(self, slot: Slot) -> None:
        """Drop its text: the row is in the ledger. After ``close`` it stays: a row counts once."""
        if self._fd < 0:
            return
        self._slots.clear(slot)
        self.size -= 1

    def close(self) -> None:
        """Remove the file, if there is no text left. Idempotent."""
        if self._fd < 0:
            return
        if not self.size:
            self.path.unlink(missing_ok=True)
        self._slots.close()
        os.close(self._fd)
        self._fd = -1


class DeadJournal:
    """One whose process has ended, locked by this one until ``close``.

    :ivar owner: None if the process had just begun.
    :ivar texts: the latest of each slot, in the order in which they were written.
    :raises OtherFormat:
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self.owner: Owner | None = None
        self.texts: list[bytes] = []
        if os.fstat(fd).st_size < HEADER_BYTES:
            return
        with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as data:
            if is_of_other_format(data):
                raise OtherFormat(f"{path.name} has the format of another version of ModelMux; start that one once")
            header = read_header(data)
            if header is not None:
                self.owner = msgspec.json.decode(header, type=Owner)
                self.texts = [text for _, text in sorted(read_texts(data))]

    @property
    def is_of_this_boot(self) -> bool:
        """Whether nothing of it can be missing: pages that were not on the disk are lost with the machine."""
        return self.owner is not None and self.owner.boot == boot_id()

    def remove(self) -> None:
        """All of it is in the ledger."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._fd)


def take_dead(path: Path) -> DeadJournal | None:
    """The journal at a path; None if its process lives, or another process is dealing with it. The caller closes it.

    :raises OSError: it cannot be read; see ``OtherFormat``, too.
    """
    try:
        fd = os.open(path, _OPEN)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(path.stat(), os.fstat(fd)):  # else it was removed while it was being opened
            return DeadJournal(path, fd)
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def owner_of(path: Path) -> Owner | None:
    """Whose journal it is, whether its process lives or not; None if there is none, or it has just begun."""
    try:
        with path.open("rb") as file:
            header = read_header(file.read(HEADER_BYTES))
    except FileNotFoundError:
        return None
    return None if header is None else msgspec.json.decode(header, type=Owner)


def journal_directory(ledger: Path) -> Path:
    """Where the journals of a ledger are, beside its file."""
    return ledger.with_name(f"{ledger.name}-journals")


def journal_paths(directory: Path) -> list[Path]:
    """All journals, those of living processes, too; and what is left of one that was killed as it began."""
    return sorted(path for path in directory.glob("*") if path.suffix in (_SUFFIX, _DRAFT))


def boot_id() -> str:
    """See ``Owner``."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
