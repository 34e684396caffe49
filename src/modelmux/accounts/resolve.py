"""What a request in doubt did cost: the row that corrects the one that charged its worst case.

The correction has the time of the request, so that the cost of a period is that of its requests. Its id depends on the
row and on the number of its corrections only, as that of ``rerate``: two decisions at once write one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from modelmux.accounts.amounts import format_amount
from modelmux.accounts.budgets import Budget
from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.debits import sums_of_debits
from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import Entry
from modelmux.accounts.fields import FieldError, RecordConflict
from modelmux.accounts.name_pattern import matches_model
from modelmux.accounts.rerate import PRICED, correction_id
from modelmux.accounts.slices import WindowKey
from modelmux.catalog.prices import usd

#: Characters of a reason.
MAX_REASON: Final = 500
#: No request costs more: a million USD, in nano-USD.
_LARGEST: Final = 10**15
#: From which components a cost that was too high is taken, in this order: what is least certain of a call that was
#: killed comes first.
_ORDER: Final = ("output", "web_search", "cache_write_1h", "cache_write", "input", "cache_read")
_ZERO: Final = Cost()
_NOTHING: Final = TokenCounts()


def resolve(
    directory: Directory, entry: Entry, corrections: Sequence[Entry], cost: int | None, reason: str
) -> Entry | None:
    """The row to add so that the entry and all its corrections together cost what is known by now.

    :param directory: has the units of the budgets that the row was charged to.
    :param corrections: all that the entry has.
    :param cost: nano-USD; None if the call did not happen: then it used no tokens, either, but is a request still.
    :param reason: for those who look at it later.
    :returns: None if that is what they cost already.
    :raises FieldError: the row is not in doubt, or the amount or the reason cannot be used.
    """
    if entry.kind != "in_doubt" or entry.corrects is not None or any(one.kind == "void" for one in corrections):
        raise RecordConflict("not_in_doubt", "id", "the row is not in doubt", "choose one with the kind in_doubt")
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON or not reason.isprintable():
        raise FieldError("reason", "it is needed", f"expected 1 to {MAX_REASON} printable characters")
    if cost is not None and not 0 <= cost <= _LARGEST:
        raise FieldError("cost", f"{usd(cost)} cannot be a cost", f"expected 0 to {usd(_LARGEST)} US dollars")
    rows = (entry, *corrections)
    balance, is_priced = _cost(rows), any(one.cost is not None for one in rows)
    # The rest of a lease charges budgets alone.
    change = _ZERO if is_lease(entry) else _to_total(balance, cost or 0) + -balance
    counts = _NOTHING if cost is not None else _negative(_counts(rows))
    debits = _debits(directory, entry, corrections, cost, balance.total if is_priced else None)
    if is_resolved(corrections) and change == _ZERO and counts == _NOTHING and not debits:
        return None
    return replace(
        entry,
        id=correction_id(entry, len(corrections)),
        kind="resolve",
        corrects=entry.id,
        reason=reason if is_priced else f"{PRICED}: {reason}",
        attempts=(),
        counts=counts,
        cost=change,
        hold=0,
        debits=debits,
        estimated=False,
        duration=0,
        first_content=None,
        request_bytes=0,
        response_bytes=0,
    )


def is_resolved(corrections: Iterable[Entry]) -> bool:
    """Whether a person stated what a row in doubt did cost."""
    return any(one.kind in ("resolve", "void") for one in corrections)


def is_lease(entry: Entry) -> bool:
    """Whether a row in doubt is not one of a request, but the rest of what a lost process had leased of a budget."""
    return entry.model is None and not entry.attempts


def balance_json(rows: Sequence[Entry]) -> dict[str, Any]:
    """What a row and its corrections cost together, for the audit log."""
    debits = sums_of_debits(rows)
    return {
        "cost": usd(_cost(rows).total) if any(one.cost is not None for one in rows) else None,
        "budgets": {"/".join(filter(None, (key.budget, key.subject))): amount for key, amount in debits.items()},
    }


def _cost(rows: Iterable[Entry]) -> Cost:
    total = _ZERO
    for one in rows:
        total += one.cost or _ZERO
    return total


def _counts(rows: Iterable[Entry]) -> TokenCounts:
    total = _NOTHING
    for one in rows:
        total += one.counts
    return total


def _negative(counts: TokenCounts) -> TokenCounts:
    return TokenCounts(**{name: -getattr(counts, name) for name in counts.__struct_fields__})


def _to_total(balance: Cost, total: int) -> Cost:
    """A cost with another total. No component that is 0 or more gets below 0."""
    rest = balance.total - total
    if rest < 0:
        return balance + Cost(output=-rest)
    for name in _ORDER:
        part = min(rest, max(0, getattr(balance, name)))
        balance += Cost(**{name: -part})
        rest -= part
    return balance + Cost(output=-rest)


def _debits(
    directory: Directory, entry: Entry, corrections: Sequence[Entry], cost: int | None, balance: int | None
) -> tuple[tuple[WindowKey, int], ...]:
    """What windows of budgets get back, or are charged in addition.

    :param balance: what the row costs so far; None if its price is unknown.
    :raises FieldError: a lease is not one of money.
    """
    changes = {}
    for window, amount in sums_of_debits((entry, *corrections)).items():
        budget = directory.budgets.get(window.budget)
        if budget is None:
            continue
        if is_lease(entry) and cost is not None and budget.unit != "usd":
            problem = f"the row charges {format_amount(amount, budget.unit)} {budget.unit} to {budget.name!r}"
            raise FieldError("cost", problem, "expected void, which gives them back")
        changes[window] = _wanted(budget, entry, amount, cost, balance) - amount
    return tuple((window, amount) for window, amount in changes.items() if amount)


def _wanted(budget: Budget, entry: Entry, amount: int, cost: int | None, balance: int | None) -> int:
    """What a window should have been charged, in the unit of its budget."""
    if budget.unit == "requests":
        return amount if not is_lease(entry) else 0
    if budget.unit == "tokens":
        return amount if cost is not None else 0
    if cost is None:
        return 0
    pattern = budget.applies_to.model
    models = [one.model or "" for one in entry.attempts]
    if pattern is None or balance is None or all(matches_model(one, pattern) for one in models):
        return cost
    # The call that ran when the process ended is the last one; how those before it ended is known.
    return max(0, amount + cost - balance) if matches_model(entry.model or "", pattern) else amount
