"""The budgets and limits of a configuration as records; names in their selectors are looked up later."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.fields import FieldError
from modelmux.accounts.rates import RATES, Limit, Rates
from modelmux.accounts.windows import WindowRule
from modelmux.config.accounts_entries import BudgetConfig, LimitConfig, RatesConfig
from modelmux.config.errors import ConfigError

_PERCENT: Final = 100


def budget_of(index: int, entry: BudgetConfig) -> Budget:
    """
    :param index: in ``accounts.budgets``.
    :raises ConfigError: the limit or an alert is not one.
    """
    path, window = f"accounts.budgets[{index}]", entry.window
    try:
        limit = parse_amount("limit", entry.limit, entry.unit)
    except FieldError as error:
        raise ConfigError([f"{path}.{error.field}: {error.problem}"], hint=f"{error.expected}.") from None
    return Budget(
        id="",
        name=entry.name,
        limit=limit,
        window=WindowRule(every=window)
        if isinstance(window, str)
        else msgspec.convert(msgspec.structs.asdict(window), WindowRule),
        applies_to=Selector(**msgspec.structs.asdict(entry.applies_to)),
        unit=entry.unit,
        mode=entry.mode,
        alerts=_percents(path, entry.alerts),
        on_short=entry.on_short,
        reserve=entry.reserve,
        metric=entry.metric,
        status="active" if entry.enabled else "disabled",
    )


def limit_of(entry: LimitConfig) -> Limit:
    """A limit of selected requests."""
    return Limit(
        id="",
        name=entry.name,
        limits=Rates(**{rate: getattr(entry, rate) for rate in RATES}),
        applies_to=Selector(**msgspec.structs.asdict(entry.applies_to)),
        status="active" if entry.enabled else "disabled",
    )


def rates_of(entry: RatesConfig) -> Rates | None:
    """The limits of a key, a team or a person; None without any."""
    rates = Rates(**{rate: getattr(entry, rate) for rate in RATES})
    return None if rates == Rates() else rates


def _percents(path: str, alerts: Sequence[float]) -> tuple[int, ...]:
    """``0.8`` -> 80."""
    for alert in alerts:
        if not math.isclose(alert * _PERCENT, round(alert * _PERCENT), abs_tol=1e-6):
            raise ConfigError([f"{path}.alerts: {alert} is not a whole percentage"], hint="Write 0.8 for 80 %.")
    return tuple(round(alert * _PERCENT) for alert in alerts)
