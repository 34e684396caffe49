"""What the windows of budgets have spent now, with their limits, for commands, the admin API and holders of keys."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Protocol

from modelmux.accounts.adjustments import limit_of
from modelmux.accounts.budget_windows import WindowState, usable_zone_of_budget
from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.windows import window_at
from modelmux.config import Config
from modelmux.config.accounts_check import zone_of
from modelmux.store.ledger.open_ledger import database_of, ledger_path, open_existing_ledger


class ReadWindows(Protocol):
    """``Ledger.windows``."""

    def __call__(
        self, windows: Sequence[WindowKey], each: Sequence[tuple[str, int]] = ..., most: int = ...
    ) -> Awaitable[Mapping[WindowKey, tuple[int, int]]]: ...


async def states_of(
    config: Config, directory: Directory, now: int, chosen: Iterable[tuple[Budget, str | None]], most: int = 100
) -> list[list[WindowState]]:
    """The same as ``states_from``, where no ledger is open. Nothing is created.

    :raises ValueError: this machine does not know the zone of the configuration. :raises StoreFailed:
    """
    pairs, zone = list(chosen), zone_of(config.accounts.zone)
    if database_of(config) is not None:
        ledger = open_existing_ledger(config)
        try:
            return await states_from(ledger.windows, directory, now, zone, pairs, most)
        finally:
            await ledger.aclose()
    # Imported here, because a Python may have been built without SQLite: opening the directory says so.
    store = importlib.import_module("modelmux.store.ledger.read_windows")
    path = ledger_path(config)

    def read(
        windows: Sequence[WindowKey], each: Sequence[tuple[str, int]] = (), most: int = 100
    ) -> Awaitable[Mapping[WindowKey, tuple[int, int]]]:
        spent: Awaitable[Mapping[WindowKey, tuple[int, int]]] = store.read_windows(path, windows, each, most)
        return spent

    return await states_from(read, directory, now, zone, pairs, most)


async def states_from(
    read: ReadWindows,
    directory: Directory,
    now: int,
    zone: tzinfo,
    chosen: Iterable[tuple[Budget, str | None]],
    most: int = 100,
) -> list[list[WindowState]]:
    """The windows of now, for each of the budgets.

    :param read: of an open ledger.
    :param now: microseconds in UTC.
    :param zone: ``accounts.zone``.
    :param chosen: with a subject; None for all of them, which for budgets for each are those who have spent most.
    :param most: windows of a budget for each.
    :raises StoreFailed:
    """
    pairs = list(chosen)
    windows = {
        budget.id: window_at(budget.window, now, usable_zone_of_budget(directory, budget, zone)) for budget, _ in pairs
    }
    named, each = [], []
    for budget, subject in pairs:
        start = windows[budget.id].start
        if subject is None and budget.applies_to.each is not None:
            each.append((budget.id, start))
        else:
            named.append(WindowKey(budget.id, subject or "", start))
    spent = await read(named, each, most)

    def state(budget: Budget, key: WindowKey) -> WindowState:
        window, adjustments = windows[budget.id], directory.adjustments_of(budget.id, key.subject)
        limit = limit_of(budget, adjustments, key.subject, window, now)
        return WindowState(
            subject=key.subject, window=window, limit=limit, spent=spent[key][0], held=max(0, spent[key][1])
        )

    by_budget: dict[str, list[WindowKey]] = {}
    for key in spent:
        by_budget.setdefault(key.budget, []).append(key)
    return [
        [
            state(budget, key)
            for key in (
                by_budget.get(budget.id, ())
                if subject is None
                else (WindowKey(budget.id, subject, windows[budget.id].start),)
            )
        ]
        for budget, subject in pairs
    ]
