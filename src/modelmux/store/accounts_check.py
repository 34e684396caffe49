"""Whether a file of accounts is whole and can be written to now, for `modelmux doctor`. Nothing in it is changed."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from modelmux.store.accounts_file import AccountsFile
from modelmux.store.base import StoreFailed, StoreOutdated
from modelmux.store.sqlite_problems import damaged

#: Seconds for which pages are read: some gigabytes of them would take minutes.
CHECK_SECONDS: Final = 5.0
#: Seconds that other processes have to end their writes.
_LOCK_SECONDS: Final = 2.0


class Timer(Protocol):
    """As of ``threading``."""

    def start(self) -> None: ...
    def cancel(self) -> None: ...
    def join(self) -> None: ...


def check_accounts_file(path: Path, timer: Callable[[float, Callable[[], None]], Timer] = threading.Timer) -> None:
    """Read the file as far as ``CHECK_SECONDS`` go, and see whether a write could begin.

    :param timer: of seconds and what is called after them, in another thread.
    :raises StoreFailed: it is damaged, locked by another program, or cannot be read. The message says what to do.
    """
    file = AccountsFile(path, _LOCK_SECONDS)
    try:
        with contextlib.closing(file.open_to_read(_LOCK_SECONDS, leaves_nothing=True)) as connection:
            problem = _damage(connection, timer(CHECK_SECONDS, connection.interrupt))
        if problem is None:
            file.check_lock()
    except StoreOutdated:
        return  # the next start brings it up to date
    except (sqlite3.Error, OSError) as error:
        raise file.failure(error) from None
    if problem is not None:
        raise StoreFailed(f"{file.path}: {damaged(problem)}")


def _damage(connection: sqlite3.Connection, timer: Timer) -> str | None:
    """What SQLite finds first; None if it finds nothing until it is interrupted. It calls no progress handler inside of
    a check before 3.41.

    :raises sqlite3.Error:
    """
    timer.start()
    try:
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return None
    finally:
        timer.cancel()
        timer.join()  # before the connection is closed
    return None if answer == "ok" else " ".join(str(answer).split())
