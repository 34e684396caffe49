"""Which thresholds of a budget a window has reached, and what people are told then.

Each threshold is told once in a window, whoever reaches it: the store remembers what was told, so this needs no memory.
A hard budget refuses requests shortly before it is spent, so the first refusal tells its threshold of 100 %, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from modelmux.accounts.alert_types import AlertWindow, BudgetAlert, BudgetName, InDoubtAlert, alert_id, alert_time
from modelmux.accounts.amounts import format_amount
from modelmux.accounts.budgets import Budget
from modelmux.accounts.entry import Entry
from modelmux.accounts.slices import WindowKey

#: Windows of which a process knows limit and thresholds; of one more, the one that was used longest ago is forgotten.
MOST_WATCHED: Final = 10_000
#: Seconds until the second delivery, and the longest time between two.
_PAUSES: Final = (1.0, 3_600.0)
_FULL: Final = 100


class Watch(Struct, frozen=True):
    """What has to be known of a window to tell when it reaches thresholds.

    :param limit: in force, with top-ups. :param end: microseconds in UTC; None for a lifetime.
    :param refuses: a request did not fit.
    """

    budget: Budget
    limit: int
    end: int | None
    refuses: bool = False


class Watches:
    """The windows that a process has charged, and those that have refused a request since the last exchange."""

    def __init__(self) -> None:
        self._watched: dict[WindowKey, Watch] = {}
        self._refusing: dict[WindowKey, Watch] = {}

    def charged(self, window: WindowKey, watch: Watch) -> None:
        """A row will be charged to a window. Budgets that tell nothing are not watched."""
        if watch.budget.alerts:
            self._watched.pop(window, None)
            self._watched[window] = watch
            if len(self._watched) > MOST_WATCHED:
                del self._watched[next(iter(self._watched))]

    def refused(self, window: WindowKey, watch: Watch) -> None:
        """A request did not fit into a window."""
        if _FULL in watch.budget.alerts:
            self._refusing[window] = Watch(watch.budget, watch.limit, watch.end, refuses=True)

    def of(self, windows: Iterable[WindowKey]) -> dict[WindowKey, Watch]:
        """What the store has to look at in an exchange that charges these windows."""
        charged = {window: self._watched[window] for window in windows if window in self._watched}
        return charged | self._refusing

    def looked_at(self, watches: Mapping[WindowKey, Watch]) -> None:
        """The store has looked at what ``of`` returned."""
        for window, watch in watches.items():
            if self._refusing.get(window) is watch:
                del self._refusing[window]


def alerts_of(window: WindowKey, watch: Watch, spent: int, at: int) -> list[BudgetAlert]:
    """All thresholds that a window has reached, those of before included.

    :param at: microseconds in UTC, now.
    """
    budget, is_full = watch.budget, watch.refuses and watch.budget.mode == "hard"
    reached = [one for one in budget.alerts if spent * _FULL >= watch.limit * one]
    refused = [_FULL] if is_full and _FULL in budget.alerts and _FULL not in reached else []
    return [
        BudgetAlert(
            id=alert_id(window.budget, window.subject, str(window.start), str(percent)),
            at=alert_time(at),
            budget=BudgetName(budget.id, budget.name),
            subject=window.subject,
            window=AlertWindow(alert_time(window.start), None if watch.end is None else alert_time(watch.end)),
            percent=percent,
            refused=percent in refused,
            unit=budget.unit,
            limit=format_amount(watch.limit, budget.unit),
            spent=format_amount(spent, budget.unit),
        )
        for percent in (*reached, *refused)
    ]


def is_in_doubt(entry: Entry) -> bool:
    """Whether a row is that of a request whose cost is not known."""
    return entry.kind == "in_doubt"


def in_doubt_alert(process: str, rows: Sequence[Entry], windows: int, at: int) -> InDoubtAlert | None:
    """What a process that was killed has left; None if all of it is known.

    :param rows: in doubt. :param windows: of budgets for which the rest of a lease counts as spent.
    :param at: microseconds in UTC.
    """
    if not rows and not windows:
        return None
    cost = sum(row.cost.total for row in rows if row.cost is not None)
    return InDoubtAlert(
        id=alert_id("requests.in_doubt", process), at=alert_time(at), process=process, requests=len(rows),
        cost=format_amount(cost, "usd"), windows=windows,
    )  # fmt: skip


def pause_after(failures: int) -> float:
    """Seconds until the next delivery after so many that failed in a row, at least one."""
    return min(_PAUSES[0] * 2.0 ** min(failures - 1, 20), _PAUSES[1])
