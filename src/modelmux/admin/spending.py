"""What is spent of budgets, as keys and budgets show it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.budget_windows import WindowState, current_adjustments
from modelmux.accounts.budgets import Budget, Mode, Unit
from modelmux.accounts.directory import Directory
from modelmux.accounts.key_views import tightest_first
from modelmux.accounts.views import WindowView, window_view
from modelmux.admin.operation import Call
from modelmux.config.accounts_check import zone_of
from modelmux.store.ledger.budget_states import states_from


class BudgetState(Struct, frozen=True, kw_only=True):
    """A budget on the chain of a key, with the window of now; amounts are decimals in its unit."""

    id: str
    name: str
    unit: Unit
    mode: Mode
    subject: str | None
    limit: str
    spent: str
    held: str
    start: str | None
    resets_at: str | None


async def states_of_chains(
    call: Call, directory: Directory, chains: Sequence[Sequence[tuple[Budget, str]]]
) -> list[list[BudgetState]]:
    """The budgets of each chain, the tightest first: see ``tightest_first``. :raises StoreFailed:"""
    pairs = list(dict.fromkeys((budget.id, subject) for chain in chains for budget, subject in chain))
    chosen = [(directory.budgets[id], subject) for id, subject in pairs]
    states = await states_from(call.backend.ledger.windows, directory, call.now, _zone(call), chosen)
    by_pair = dict(zip(pairs, states, strict=True))
    return [
        [
            _state(budget, state)
            for budget, state in tightest_first(
                [(budget, state) for budget, subject in chain for state in by_pair[budget.id, subject]]
            )
        ]
        for chain in chains
    ]


async def windows_of(
    call: Call, directory: Directory, chosen: Sequence[tuple[Budget, str | None]], most: int
) -> list[list[WindowView]]:
    """The windows of now of budgets, as the principal may see them. :param most: of a budget for each.

    :raises StoreFailed:
    """
    shows = call.principal.sees_subjects
    states = await states_from(call.backend.ledger.windows, directory, call.now, _zone(call), chosen, most)
    return [
        [view if shows else replace(view, subject=None) for state in of_budget for view in [window_view(budget, state)]]
        for (budget, _), of_budget in zip(chosen, states, strict=True)
    ]


def adjustments_of_now(call: Call, directory: Directory, budget: Budget) -> list[Adjustment]:
    """Those that count now, in the order in which they apply; of others only as far as the principal may see whose."""
    adjustments = current_adjustments(directory, budget, call.now, _zone(call))
    return [one for one in adjustments if call.principal.sees_subjects or not one.subject]


def _zone(call: Call) -> tzinfo:
    return zone_of(call.backend.config.accounts.zone)


def _state(budget: Budget, state: WindowState) -> BudgetState:
    view = window_view(budget, state)
    return BudgetState(
        id=budget.id, name=budget.name, unit=budget.unit, mode=budget.mode, subject=view.subject, limit=view.limit,
        spent=view.spent, held=view.held, start=view.start, resets_at=view.resets_at,
    )  # fmt: skip
