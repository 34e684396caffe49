"""The windows of budgets as they are now: their limits from the directory, what is spent and held from the ledger."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from datetime import tzinfo
from pathlib import Path

from modelmux.accounts.adjustments import limit_of
from modelmux.accounts.budget_views import WindowState
from modelmux.accounts.budget_windows import window_of
from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.slices import WindowKey


async def states_of(
    path: Path,
    directory: Directory,
    chosen: Iterable[tuple[Budget, str | None]],
    now: int,
    zone: tzinfo,
    most: int = 100,
) -> list[list[WindowState]]:
    """The windows of now, for each of the budgets.

    :param path: of the ledger; nothing is created.
    :param chosen: with a subject; None for all of them, which for budgets for each are those who have spent most.
    :param now: microseconds in UTC.
    :param zone: ``accounts.zone``.
    :param most: windows of a budget for each.
    :raises StoreFailed:
    """
    pairs = list(chosen)
    windows = {budget.id: window_of(directory, budget, now, zone) for budget, _ in pairs}
    named, each = [], []
    for budget, subject in pairs:
        start = windows[budget.id].start
        if subject is None and budget.applies_to.each is not None:
            each.append((budget.id, start))
        else:
            named.append(WindowKey(budget.id, subject or "", start))
    # Imported here, because a Python may have been built without SQLite: opening the directory says so.
    store = importlib.import_module("modelmux.store.ledger.read_windows")
    spent = await store.read_windows(path, named, each, most)

    def state(budget: Budget, key: WindowKey) -> WindowState:
        window, adjustments = windows[budget.id], directory.adjustments_of(budget.id, key.subject)
        limit = limit_of(budget, adjustments, key.subject, window, now)
        return WindowState(
            subject=key.subject, window=window, limit=limit, spent=spent[key][0], held=max(0, spent[key][1])
        )

    return [
        [state(budget, key) for key in spent if key.budget == budget.id and subject in (None, key.subject)]
        for budget, subject in pairs
    ]
