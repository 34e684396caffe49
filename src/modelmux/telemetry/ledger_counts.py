"""What the accounts of a process count, as metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from modelmux.telemetry import names


class BudgetNumbers(NamedTuple):
    """Of the window of a budget, in USD.

    :param limit: with top-ups. :param resets_at: Unix seconds; None for a lifetime.
    """

    name: str
    limit: float
    spent: float
    held: float
    resets_at: float | None


class LedgerCounts(NamedTuple):
    """Of the ledger of this process, since it started; ``waiting``, ``lag``, ``notes``, ``is_up`` and ``budgets`` now.

    :param unpriced: requests whose price was unknown.
    :param waiting, lost, written: rows. :param failures: of writing.
    :param underrun, in_doubt, beyond: USD.
    :param lag: seconds for which the row waits that has waited longest.
    :param notes: requests that are in the journal.
    :param is_up: whether the store worked at the last try; None without accounts.
    :param budgets: of one process only.
    """

    unpriced: int = 0
    waiting: int = 0
    lost: int = 0
    underrun: float = 0.0
    written: int = 0
    failures: int = 0
    in_doubt: float = 0.0
    lag: float = 0.0
    notes: int = 0
    is_up: bool | None = None
    budgets: Sequence[BudgetNumbers] = ()
    beyond: float = 0.0


#: Metric -> its number.
LEDGER_COUNTERS: Final[dict[str, Callable[[LedgerCounts], float]]] = {
    names.METRIC_LEDGER_UNPRICED: lambda counts: counts.unpriced,
    names.METRIC_LEDGER_ROWS: lambda counts: counts.written,
    names.METRIC_LEDGER_LOST: lambda counts: counts.lost,
    names.METRIC_LEDGER_ERRORS: lambda counts: counts.failures,
    names.METRIC_BUDGET_UNDERRUN: lambda counts: counts.underrun,
    names.METRIC_BUDGET_BEYOND: lambda counts: counts.beyond,
    names.METRIC_IN_DOUBT: lambda counts: counts.in_doubt,
}


def ledger_gauges(counts: LedgerCounts) -> dict[str, dict[tuple[str, ...], float]]:
    """The gauges: name -> label values -> number."""
    gauges: dict[str, dict[tuple[str, ...], float]] = {
        names.METRIC_LEDGER_WAITING: {(): counts.waiting},
        names.METRIC_LEDGER_LAG: {(): counts.lag},
        names.METRIC_JOURNAL_SLOTS: {(): counts.notes},
    }
    if counts.is_up is not None:
        gauges[names.METRIC_STORE_UP] = {(): float(counts.is_up)}
    if counts.budgets:
        gauges[names.METRIC_BUDGET_LIMIT] = {(one.name,): one.limit for one in counts.budgets}
        gauges[names.METRIC_BUDGET_SPENT] = {(one.name,): one.spent for one in counts.budgets}
        gauges[names.METRIC_BUDGET_HELD] = {(one.name,): one.held for one in counts.budgets}
        gauges[names.METRIC_BUDGET_RESETS] = {
            (one.name,): one.resets_at for one in counts.budgets if one.resets_at is not None
        }
    return gauges
