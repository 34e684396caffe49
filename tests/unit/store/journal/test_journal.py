"""What a process leaves is taken over by one other, and by none while it lives.

Risk: the journal of a living process is taken from it; two processes take the same; one that was killed as it began
stays for ever; a file without notes is left at each stop.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelmux.store.journal import journal as module
from modelmux.store.journal.journal import Journal, OtherFormat, boot_id, journal_paths, owner_of, take_dead
from modelmux.store.journal.slots import MAGIC

PROBLEMS: list[str] = []


def opened(directory: Path) -> Journal:
    return Journal(directory, "me", PROBLEMS.append)


def left_by_a_killed_process(directory: Path) -> None:
    """Two texts, one of them changed, and one that was dropped."""
    code = (
        "import os, pathlib, sys\n"
        "from modelmux.store.journal.journal import Journal\n"
        "journal = Journal(pathlib.Path(sys.argv[1]), 'dead', print)\n"
        "first = journal.write(None, b'one')\n"
        "journal.write(None, b'two')\n"
        "journal.write(first, b'three')\n"
        "journal.clear(journal.write(None, b'four'))\n"
        f"os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(directory)], check=False)
    assert ended.returncode == -signal.SIGKILL


def test_what_a_killed_process_left_is_read(tmp_path: Path) -> None:
    left_by_a_killed_process(tmp_path / "journals")

    (path,) = journal_paths(tmp_path / "journals")
    journal = take_dead(path)

    assert journal is not None
    assert journal.texts == [b"two", b"three"], "in the order in which they were written"
    assert journal.owner is not None
    assert (journal.owner.holder, journal.is_of_this_boot) == ("dead", True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert take_dead(path) is None, "another process is dealing with it"
    journal.close()
    again = take_dead(path)
    assert again is not None
    again.remove()
    again.close()
    assert journal_paths(tmp_path / "journals") == []


def test_a_living_process_keeps_its_journal(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.write(None, b"one")

    assert take_dead(journal.path) is None
    owner = owner_of(journal.path)
    assert owner is not None
    assert owner.holder == "me"
    journal.close()


def test_a_stop_without_notes_leaves_nothing_and_one_with_notes_leaves_them(tmp_path: Path) -> None:
    empty = opened(tmp_path)
    slot = empty.write(None, b"one")
    assert slot is not None
    empty.clear(slot)
    empty.close()
    empty.close()
    assert journal_paths(tmp_path) == []

    full = opened(tmp_path)
    full.write(None, b"one")
    full.close()
    journal = take_dead(full.path)
    assert journal is not None
    assert journal.texts == [b"one"]
    journal.close()


@pytest.mark.parametrize("size", [0, 100, 1 << 20])
def test_a_process_that_was_killed_as_it_began_left_nothing(tmp_path: Path, size: int) -> None:
    draft = tmp_path / "1-2.draft"
    draft.write_bytes(bytes(size))

    (path,) = journal_paths(tmp_path)
    journal = take_dead(path)

    assert journal is not None
    assert (journal.owner, journal.texts, journal.is_of_this_boot) == (None, [], False)
    journal.close()


@pytest.mark.parametrize("written", range(len(MAGIC) + 1))
def test_a_mark_that_was_cut_is_no_other_version(tmp_path: Path, written: int) -> None:
    (tmp_path / "1-2.draft").write_bytes(MAGIC[:written].ljust(1 << 20, b"\0"))

    journal = take_dead(tmp_path / "1-2.draft")

    assert journal is not None
    assert journal.owner is None
    journal.close()


def test_a_journal_of_another_version_is_refused_and_not_locked(tmp_path: Path) -> None:
    path = tmp_path / "1.journal"
    path.write_bytes(b"modelmux journal 2\n".ljust(1 << 20, b"\0"))

    for _ in range(2):
        with pytest.raises(OtherFormat, match="another version"):
            take_dead(path)


def test_another_start_of_the_machine_is_another_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by_a_killed_process(tmp_path)
    later = tmp_path / "boot"
    later.write_text("another\n")
    monkeypatch.setattr(module, "_BOOT_ID", later)

    journal = take_dead(journal_paths(tmp_path)[0])

    assert journal is not None
    assert not journal.is_of_this_boot
    journal.close()
    later.unlink()
    assert boot_id() == ""


def test_a_file_that_was_removed_meanwhile_is_no_journal(tmp_path: Path) -> None:
    assert take_dead(tmp_path / "1.journal") is None
    assert owner_of(tmp_path / "1.journal") is None


def test_a_file_that_is_replaced_while_it_is_opened_is_left_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_by_a_killed_process(tmp_path)
    (path,) = journal_paths(tmp_path)
    lock = module.fcntl.flock

    def replace_first(fd: int, how: int) -> None:
        path.unlink()
        lock(fd, how)

    monkeypatch.setattr(module.fcntl, "flock", replace_first)
    assert take_dead(path) is None


def test_a_text_without_room_is_counted_and_reported_once(tmp_path: Path) -> None:
    PROBLEMS.clear()
    journal = opened(tmp_path)
    slot = journal.write(None, b"one")

    assert journal.write(slot, b"x" * 100_000) is slot
    assert journal.write(None, b"x" * 100_000) is None
    assert (journal.missed, journal.size, PROBLEMS) == (2, 1, ["a text of 100,000 bytes is too long"])
    journal.close()


def test_a_directory_that_cannot_be_written_is_an_error_and_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, begin: int, length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        opened(tmp_path)
    assert list(tmp_path.iterdir()) == []
