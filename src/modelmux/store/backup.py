"""A copy of the database of accounts, as it is at one moment, while the gateway goes on.

SQLite's own backup copies all pages within one read transaction: commits before it are in the copy, later ones are not.
Such a transaction neither waits for writers nor holds them up, so it needs no turn of their lock.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from modelmux.store.accounts_file import AccountsFile
from modelmux.store.base import StoreFailed
from modelmux.store.files import create_once
from modelmux.store.sqlite_problems import describe

#: Seconds that it waits for a process that creates or migrates the file.
_TIMEOUT: Final = 5.0


class BackupExists(StoreFailed):
    """There is a file already, which is not replaced."""


def back_up(database: Path, target: Path) -> int:
    """Copy a database, whatever version it has, to a file that there is not yet. The copy is checked, durable, for its
    owner only, and one file: it has no log beside it.

    :returns: its bytes.
    :raises BackupExists: nothing was written. :raises StoreFailed: likewise, and why.
    """
    if os.path.lexists(target):
        raise BackupExists(f"{target} exists already")
    file, written = AccountsFile(database), list[os.stat_result]()

    def write(draft: Path) -> None:
        _copy(file, draft)
        written.append(draft.stat())

    try:
        create_once(target, write)
        status = target.stat()
    except sqlite3.Error as error:
        raise StoreFailed(f"{database} cannot be copied to {target}: it {describe(error)}") from None
    except OSError as error:
        raise StoreFailed(f"{target} cannot be written: {describe(error)}") from None
    if not written or not os.path.samestat(status, written[0]):
        raise BackupExists(f"{target} was created by another process meanwhile")
    return status.st_size


def _copy(file: AccountsFile, draft: Path) -> None:
    """:raises StoreFailed, sqlite3.Error:"""
    with (
        contextlib.closing(file.open_as_it_is(_TIMEOUT)) as source,
        contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as copy,
    ):
        file.check_present(source)
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
        problems = [text for (text,) in copy.execute("PRAGMA quick_check(1)") if text != "ok"]
        if problems:
            raise StoreFailed(f"{file.path} is damaged ({problems[0]}), and was not copied")
