"""The window of a budget at an instant, in the zone that the budget, its team or the configuration has."""

from __future__ import annotations

from datetime import tzinfo
from zoneinfo import ZoneInfo

from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.windows import Window, window_at


def zone_of_budget(directory: Directory, budget: Budget, default: tzinfo) -> tzinfo:
    """That of its window; else that of its team, or of the team of its key, or of the next team above that has one.

    :param default: ``accounts.zone``.
    :raises ValueError, KeyError, OSError: this machine has no such zone any more.
    """
    name = budget.window.zone
    if name is None:
        key = directory.keys.get(budget.applies_to.key or "")
        team = budget.applies_to.team or (key.team if key else None)
        path = directory.team_path(team)
        name = next((one.zone for one in reversed(path) if one.zone is not None), None)
    return default if name is None else ZoneInfo(name)


def window_of(directory: Directory, budget: Budget, at: int, default: tzinfo) -> Window:
    """The window that a request belongs to which begins at an instant.

    :param at: microseconds in UTC.
    :param default: ``accounts.zone``.
    :raises ValueError, KeyError, OSError: see ``zone_of_budget``.
    """
    return window_at(budget.window, at, zone_of_budget(directory, budget, default))
