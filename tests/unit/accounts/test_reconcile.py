"""Risk: a charge is compared with another model or day, is left out without a word, or money is lost by rounding."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from modelmux.accounts.cost import Cost
from modelmux.accounts.reconcile import BadCharge, Reconciler, model_name, read_charge
from modelmux.accounts.usage_query import UsageRow
from modelmux.catalog.models import builtin
from support.ledgers import at

FIRST, SECOND = date(2026, 11, 1), date(2026, 11, 2)


def row(text: str = "Claude Opus 4.6 Input Tokens", billed: Any = "1.5", **fields: Any) -> dict[str, Any]:
    plain = {
        "ChargePeriodStart": "2026-11-01 13:00:00 UTC", "ChargeCategory": "usage", "ServiceName": "Vertex AI",
        "ChargeDescription": text, "BilledCost": billed, "ListCost": billed, "BillingCurrency": "USD",
    }  # fmt: skip
    return plain | fields


def usage(model: str | None, nano: int, day: str = "2026-11-01", unpriced: int = 0) -> UsageRow:
    cost = Cost(input=nano)
    return UsageRow(start=at(f"{day}T00:00+00:00"), group=(model,), requests=1, cost=cost, unpriced=unpriced)


def reconciled(rows: list[dict[str, Any]], ours: list[UsageRow] | None = None, **days: date) -> Any:
    reconciler = Reconciler(**days)
    for one in rows:
        reconciler.add(read_charge(one))
    return reconciler.compare(ours or [])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Claude Opus 4.6 Input Tokens", "opus 4.6"), ("AI Dev Tools: Claude Opus 4.6 Input Tokens (Long)", "opus 4.6"),
        ("claude-opus-4-6", "opus 4.6"), ("Claude 3.5 Haiku - output tokens", "haiku 3.5"),
        ("claude-3-5-haiku@20241022", "haiku 3.5"), ("claude-opus-4-5@20251101", "opus 4.5"),
        ("claude-sonnet-4@20250514", "sonnet 4"), ("claude-sonnet-4-20250514", "sonnet 4"),
        ("Claude Sonnet 4.0 batch", "sonnet 4"), ("Claude 4 Sonnet", "sonnet 4"),
        ("CLAUDE  HAIKU 5.5 cache read", "haiku 5.5"),
        ("Claude Sonnet v5", "sonnet 5"), ("Anthropic Claude: Claude Fable 5.1", "fable 5.1"),
        ("Claude input tokens", None), ("Gemini 2.5 Pro", None), ("Claude", None), ("", None),
    ],
)  # fmt: skip
def test_the_model_of_a_text(text: str, name: str | None) -> None:
    assert model_name(text) == name


def test_no_two_models_of_the_catalog_have_one_name() -> None:
    names = [model_name(card.id) for card in builtin().cards]
    assert None not in names
    assert len(set(names)) == len(names)


def test_a36_days_and_models_stand_beside_each_other() -> None:
    result = reconciled(
        [
            row(billed="1.25"), row("Claude Opus 4.6 Output Tokens", "0.000000001"), row("Claude Haiku 4.5 Input", "2"),
            row(billed="3", ChargePeriodStart="2026-11-02T00:30:00+01:00"),
            row(billed="4", ChargePeriodStart="2026-11-02T00:00:00Z", ListCost="5"),
        ],
        [usage("claude-opus-4-6", 4 * 10**9), usage("claude-opus-4-6", 6 * 10**9, "2026-11-02", 2),
         usage("claude-sonnet-5", 10**9), usage(None, 0)],
    )  # fmt: skip
    assert [(one.day, one.model, one.ours, one.list, one.billed, one.difference) for one in result.rows] == [
        (FIRST, "haiku 4.5", 0, 2 * 10**9, 2 * 10**9, 2 * 10**9),
        (FIRST, "opus 4.6", 4 * 10**9, 4_250_000_001, 4_250_000_001, 250_000_001),
        (FIRST, "sonnet 5", 10**9, 0, 0, -(10**9)),
        (SECOND, "opus 4.6", 6 * 10**9, 5 * 10**9, 4 * 10**9, -(10**9)),
    ]
    assert [one.percent for one in result.rows] == [None, 6.25, -100.0, -16.6667]
    total = result.total
    assert (total.ours, total.list, total.billed, total.difference, total.unpriced) == (
        11 * 10**9, 11_250_000_001, 10_250_000_001, 250_000_001, 2,
    )  # fmt: skip
    assert {one.name: (one.rows, one.model) for one in result.skus} == {
        "Claude Opus 4.6 Input Tokens": (3, "opus 4.6"), "Claude Opus 4.6 Output Tokens": (1, "opus 4.6"),
        "Claude Haiku 4.5 Input": (1, "haiku 4.5"),
    }  # fmt: skip


def test_what_is_not_compared_is_named() -> None:
    result = reconciled([
        row("N1 Core", "7", ServiceName="Compute Engine"), row("Gemini Input", "2"), row("Claude tokens", "0.5"),
        row("Claude Opus 4.6 Input", "0.1", ChargeCategory="Tax"),
        row("Claude Opus 4.6 Input", "3", BillingCurrency="EUR"),
        row("", "1", ServiceName=""), row("Tokens", "9", ServiceName="Anthropic"),
    ])  # fmt: skip
    assert (result.rows, result.total.ours, result.total.billed) == ([], 0, 0)
    assert [(one.name, one.billed) for one in result.other] == [
        ("Compute Engine", 7 * 10**9), ("Vertex AI", 2 * 10**9), ("unknown service", 10**9),
    ]  # fmt: skip
    assert [(one.name, one.billed) for one in result.unmatched] == [
        ("Anthropic", 9 * 10**9),
        ("Claude tokens", 5 * 10**8),
    ]
    assert [(one.name, one.rows) for one in result.not_usage] == [("tax", 1)]
    assert [(one.name, one.billed) for one in result.currencies] == [("EUR", 3 * 10**9)]


def test_a_model_may_be_named_by_its_service() -> None:
    result = reconciled([row("Input Tokens", ServiceName="Claude Opus 4.6")])
    assert [(one.name, one.model) for one in result.skus] == [("Claude Opus 4.6: Input Tokens", "opus 4.6")]


def test_another_currency_is_converted_by_its_rate() -> None:
    rate = {"BillingCurrency": "eur", "x_CurrencyConversionRate": "0.5"}
    (one,) = reconciled([row(billed="1.5", **rate)]).rows
    assert (one.list, one.billed) == (3 * 10**9, 3 * 10**9)
    for wrong in ("0", "-1", "", None):
        assert reconciled([row(**{**rate, "x_CurrencyConversionRate": wrong})]).currencies


def test_without_list_costs_it_is_compared_with_what_was_billed() -> None:
    result = reconciled([row(ListCost="", billed="2"), row("Claude Sonnet 5 Input")], [usage("claude-opus-4-6", 10**9)])
    opus, sonnet = result.rows
    assert (opus.list, opus.difference, sonnet.list) == (None, 10**9, 1_500_000_000)
    assert result.total.list is None
    assert reconciled([{name: value for name, value in row().items() if name != "ListCost"}]).rows[0].list is None


def test_only_the_days_of_a_period() -> None:
    rows = [row(ChargePeriodStart=f"2026-11-0{day}T12:00:00Z") for day in (1, 2, 3)]
    result = reconciled(rows, start=SECOND, end=date(2026, 11, 3))
    assert ([one.day for one in result.rows], result.outside) == ([SECOND], 2)


def test_values_of_parquet() -> None:
    at_night = datetime(2026, 11, 2, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    for moment in (at_night, at_night.astimezone(UTC), at_night.astimezone(UTC).replace(tzinfo=None)):
        charge = read_charge(row(billed=Decimal("1.5"), ListCost=1.5, ChargePeriodStart=moment, SkuMeter=None))
        assert (charge.day, charge.billed_cost, charge.list_cost) == (FIRST, Fraction(3, 2), Fraction(3, 2))
    assert read_charge(row(billed="1.5E-7")).billed_cost == Fraction(15, 10**8)


def test_names_are_bounded() -> None:
    result = reconciled([row(f"x{number}", ServiceName=f"s{number}") for number in range(1_100)])
    assert len(result.other) == 1_001
    assert sum(one.rows for one in result.other) == 1_100


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"BilledCost": "much"}, "BilledCost: 'much' is not an amount"), ({"BilledCost": ""}, "BilledCost: '' is not"),
        ({"BilledCost": "nan"}, "BilledCost"), ({"ListCost": "1,5"}, "ListCost: '1,5'"),
        ({"ChargePeriodStart": "yesterday"}, "ChargePeriodStart: 'yesterday' is not a time"),
        ({"ChargePeriodStart": None}, "ChargePeriodStart"),
        ({"BilledCost": "1e999999999"}, "BilledCost: '1e999999999' is not an amount"),
        ({"BilledCost": "-1e-999999999"}, "BilledCost: '-1e-999999999' is not an amount"),
        ({"ListCost": "1e100"}, "ListCost: '1e100' is not an amount"),
        ({"ChargePeriodStart": "0001-01-01T00:00:00+14:00"}, "ChargePeriodStart: .* is not a time"),
        ({"ChargePeriodStart": "9999-12-31T23:00:00-14:00"}, "ChargePeriodStart: .* is not a time"),
        ({"ChargePeriodStart": "9999-12-31T00:00:00Z"}, "ChargePeriodStart: .* is not a time"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadCharge, match=message):
        read_charge(row(**fields))
