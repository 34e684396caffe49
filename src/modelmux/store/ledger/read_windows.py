"""What windows of budgets have spent, for commands: read from one state of the file, and nothing is created."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from modelmux.accounts.slices import WindowKey
from modelmux.config.home import visible
from modelmux.store.accounts_file import BUSY_TIMEOUT, AccountsFile, AccountsReader
from modelmux.store.connection_thread import ConnectionThread
from modelmux.store.ledger.sqlite_windows import windows_of


async def read_windows(
    path: Path, windows: Sequence[WindowKey], each: Sequence[tuple[str, int]] = (), most: int = 100
) -> dict[WindowKey, tuple[int, int]]:
    """What windows have spent, and what of them is leased, in the units of their budgets.

    :param windows: those that are wanted whether they have spent anything or not.
    :param each: ids of budgets with a window for each subject, and when these windows began: of each the ``most`` that
        have spent most come behind the others.
    :raises StoreFailed:
    """
    if not visible(path):
        return dict.fromkeys(windows, (0, 0))
    file = AccountsFile(path)
    thread = ConnectionThread("modelmux-windows-reader", AccountsReader(file), BUSY_TIMEOUT)

    def read(connection: sqlite3.Connection) -> dict[WindowKey, tuple[int, int]]:
        with file.read(connection):
            return windows_of(connection, windows, each, most)

    try:
        return await thread.run(read)
    finally:
        await thread.aclose()
