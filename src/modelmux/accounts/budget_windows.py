"""The budgets of a key, and the window of a budget: in its zone, that of its team or that of the configuration."""

from __future__ import annotations

from datetime import tzinfo
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts.adjustments import Adjustment, holds
from modelmux.accounts.budgets import Budget, Request, chain_of, of_any_request
from modelmux.accounts.directory import Directory
from modelmux.accounts.records import Key
from modelmux.accounts.windows import Window, window_at


class WindowState(Struct, frozen=True, kw_only=True):
    """The window of a subject of a budget.

    :param limit: with top-ups and overrides, in the unit of the budget, as ``spent`` and ``held``.
    :param held: what the processes of the gateway keep for requests that run, and for the next ones.
    """

    subject: str
    window: Window
    limit: int
    spent: int
    held: int


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


def usable_zone_of_budget(directory: Directory, budget: Budget, default: tzinfo) -> tzinfo:
    """The same, or the default where this machine has lost the budget's own."""
    try:
        return zone_of_budget(directory, budget, default)
    except (KeyError, ValueError, OSError):
        return default


def window_of(directory: Directory, budget: Budget, at: int, default: tzinfo) -> Window:
    """The window that a request belongs to which begins at an instant.

    :param at: microseconds in UTC.
    :param default: ``accounts.zone``.
    """
    return window_at(budget.window, at, usable_zone_of_budget(directory, budget, default))


def current_adjustments(directory: Directory, budget: Budget, now: int, default: tzinfo) -> list[Adjustment]:
    """The top-ups and overrides of a budget that count now, in the order in which they apply.

    :param now: microseconds in UTC. :param default: ``accounts.zone``.
    """
    window = window_of(directory, budget, now, default)
    current = [one for one in directory.adjustments_of(budget.id) if holds(one, window, now)]
    return sorted(current, key=lambda one: (one.created, one.id))


def budgets_of_key(directory: Directory, key: Key) -> list[tuple[Budget, str]]:
    """The budgets that requests of a key may be charged to, each with the subject: those for a model, a route or a tag,
    too, whatever these are. Budgets for each end user are left out: who that is, a request says."""
    teams = tuple(team.id for team in directory.team_path(key.team))
    any_request = [
        replace(one, applies_to=of_any_request(one.applies_to))
        for one in directory.budgets_of((key.id, key.person, *teams))
    ]
    chain = chain_of(any_request, Request(key=key.id, teams=teams, person=key.person))
    return [(directory.budgets[one.id], subject) for one, subject in chain]
