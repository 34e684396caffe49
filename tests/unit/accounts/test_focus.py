"""Risk: the FOCUS dataset loses money, mixes what has different prices, or is not by the specification."""

from __future__ import annotations

import re
from datetime import UTC
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from modelmux.accounts.columns import cells
from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.entry import Entry
from modelmux.accounts.focus import METERS, DayTotals, FocusRow, Version, focus_columns, unit_price
from modelmux.accounts.periods import format_instant
from support.entries import MODEL, at, entry, ledgers

# "Feature level: Mandatory" in specification/columns at v1.2 of FOCUS_Spec.
MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName",
    "PublisherName", "ServiceCategory", "ServiceName",
}  # fmt: skip
NEW_IN_1_3 = {"HostProviderName", "ServiceProviderName"}
# The same pages: "Allows nulls: False", and what must not be null where ChargeCategory is Usage.
NEVER_NULL = MANDATORY - {"BillingAccountName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit"}
NOT_NULL_FOR_USAGE = {
    "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "ListUnitPrice", "PricingCategory", "PricingQuantity",
    "PricingUnit", "SkuId", "SkuMeter", "SkuPriceId",
}  # fmt: skip


def focus(
    entries: list[Entry], version: Version = "1.3", tags: tuple[str, ...] = ("app", "env"), **options: Any
) -> list[dict[str, Any]]:
    totals = DayTotals("account", tags, **options)
    rows: list[FocusRow] = []
    for one in entries:
        rows += totals.add(one)
    rows += totals.finish()
    assert totals.finish() == []
    columns = focus_columns(version)
    return [dict(zip([column.name for column in columns], cells(columns, row), strict=True)) for row in rows]


def test_a35_a_day_of_a_key_and_model_is_a_row_for_each_kind_of_token() -> None:
    counts = TokenCounts(input=1_000, cache_write=1, cache_write_1h=2, cache_read=3, output=4, web_searches=5)
    cost = Cost(input=4_000_000, cache_write=10, cache_write_1h=20, cache_read=30, output=40, web_search=50)
    one = {
        "counts": counts,
        "cost": cost,
        "team": "a/b",
        "key": "key_1",
        "location": "eu",
        "tags": (("app", "x"), ("z", "y")),
    }
    rows = focus([entry("2026-11-30T00:00", **one), entry("2026-11-30T23:59", **one), entry("2026-12-01T00:00", **one)])
    assert len(rows) == 2 * len(METERS)
    first = rows[0]
    assert first == {
        "BilledCost": 8_000_000, "BillingAccountId": "account", "BillingAccountName": "account",
        "BillingCurrency": "USD", "BillingPeriodEnd": at("2026-12-01"), "BillingPeriodStart": at("2026-11-01"),
        "ChargeCategory": "Usage", "ChargeClass": None, "ChargeDescription": f"{MODEL}: Input Tokens",
        "ChargeFrequency": "Usage-Based", "ChargePeriodEnd": at("2026-12-01"), "ChargePeriodStart": at("2026-11-30"),
        "ConsumedQuantity": 2_000, "ConsumedUnit": "Tokens", "ContractedCost": 8_000_000,
        "ContractedUnitPrice": "0.000004", "EffectiveCost": 8_000_000, "HostProviderName": "Google Cloud",
        "InvoiceIssuerName": "Google Cloud", "ListCost": 8_000_000, "ListUnitPrice": "0.000004",
        "PricingCategory": "Standard", "PricingQuantity": 2_000, "PricingUnit": "Tokens",
        "ProviderName": "Google Cloud", "PublisherName": "Anthropic", "RegionId": "eu", "RegionName": "eu",
        "ServiceCategory": "AI and Machine Learning", "ServiceName": "Vertex AI",
        "ServiceProviderName": "Google Cloud", "ServiceSubcategory": "Generative AI", "SkuId": f"{MODEL}/input",
        "SkuMeter": "Input Tokens", "SkuPriceId": f"{MODEL}/launch/global/input", "SubAccountId": "b",
        "SubAccountName": "b", "Tags": {"app": "x"}, "x_KeyId": "key_1", "x_Model": MODEL, "x_PriceUnknown": False,
        "x_TeamPath": "a/b", "x_TokenType": "input",
    }  # fmt: skip
    assert [(row["SkuMeter"], row["PricingQuantity"], row["PricingUnit"], row["BilledCost"]) for row in rows[1:6]] == [
        ("Cache Write Tokens (5 Minutes)", 2, "Tokens", 20), ("Cache Write Tokens (1 Hour)", 4, "Tokens", 40),
        ("Cache Read Tokens", 6, "Tokens", 60), ("Output Tokens", 8, "Tokens", 80),
        ("Web Searches", 10, "Searches", 100),
    ]  # fmt: skip
    assert {row["BillingPeriodStart"] for row in rows[6:]} == {at("2026-12-01")}


@pytest.mark.parametrize(
    "change",
    [{"key": "k"}, {"team": "t"}, {"model": "m"}, {"location": "us"}, {"price": "p"}, {"tags": (("app", "y"),)},
     {"cost": None}, {"kind": "rerate", "corrects": bytes(16)}],
)  # fmt: skip
def test_what_differs_is_not_added_up(change: dict[str, Any]) -> None:
    assert len(focus([entry(), entry(), entry()])) == 1
    assert len(focus([entry(), entry(**change), entry()])) == 2


def test_a_sub_account_has_the_name_of_its_team() -> None:
    """Null where there is no team, as the specification wants it, and never where there is one."""
    teams = ("team_org/team_a", "team_a", "team_gone", "")
    rows = focus([entry("2026-11-30T00:00", team=team, counts=TokenCounts(input=1)) for team in teams],
                 team_names={"team_org": "Org", "team_a": "Data, é"})  # fmt: skip
    assert [(row["SubAccountId"], row["SubAccountName"], row["x_TeamPath"]) for row in rows] == [
        ("team_a", "Data, é", "team_org/team_a"), ("team_a", "Data, é", "team_a"),
        ("team_gone", "team_gone", "team_gone"), (None, None, None),
    ]  # fmt: skip


def test_long_requests_that_end_after_midnight_do_not_split_a_day() -> None:
    """Rows are by the time of arrival, but one may come among those of the next day."""
    mixed = [entry(f"2026-11-{day}T12:00") for day in (29, 30, 29, 30, 29, 28)]
    for most in (1_000, 0):
        totals = DayTotals("account", most=most)
        rows = [row for one in mixed[:5] for row in totals.add(one)] + totals.finish()
        assert [(row.group.day.day, row.quantity) for row in rows] == [(29, 3), (30, 2)]
    assert [(row["ChargePeriodStart"], row["PricingQuantity"]) for row in focus(mixed)] == [
        (at("2026-11-28"), 1), (at("2026-11-29"), 3), (at("2026-11-30"), 2)
    ]  # fmt: skip


def test_memory_holds_a_bounded_number_of_totals() -> None:
    totals = DayTotals("account", most=5)
    ended = [totals.add(entry(f"2026-11-{day:02}T12:00", key=f"k{day}")) for day in range(1, 21)]
    assert [len(rows) for rows in ended] == [0] * 5 + [1] * 15
    assert [row.group.day.day for row in totals.finish()] == list(range(16, 21))


def test_tags_that_are_not_listed_do_not_split_rows() -> None:
    assert [row["Tags"] for row in focus([entry(tags=(("trace", "1"),)), entry(tags=(("trace", "2"),))])] == [None]


def test_a_correction_is_an_adjustment_without_a_quantity() -> None:
    (row,) = focus([entry(kind="rerate", corrects=bytes(16), counts=TokenCounts(), cost=Cost(input=-5))])
    assert (row["ChargeCategory"], row["BilledCost"], row["ConsumedQuantity"], row["ConsumedUnit"]) == (
        "Adjustment",
        -5,
        None,
        None,
    )
    assert (row["PricingQuantity"], row["ListUnitPrice"], row["ContractedUnitPrice"]) == (None, None, None)
    assert row["PricingUnit"] is None, "a unit of no quantity, which importers refuse"
    assert row["ChargeDescription"] == f"Correction of {MODEL}: Input Tokens"


def test_a_correction_of_tokens_has_their_unit() -> None:
    (row,) = focus([entry(kind="resolve", corrects=bytes(16), counts=TokenCounts(input=-7), cost=Cost(input=-5))])
    assert (row["PricingQuantity"], row["PricingUnit"], row["ConsumedUnit"]) == (-7, "Tokens", None)


def test_an_unknown_price_keeps_its_tokens_and_says_so() -> None:
    (row,) = focus([entry(cost=None, price=None, location="global")])
    assert (row["BilledCost"], row["PricingQuantity"], row["ListUnitPrice"], row["x_PriceUnknown"]) == (0, 1, "0", True)
    assert (row["SkuPriceId"], row["RegionId"]) == (f"{MODEL}/input", None)


def test_what_used_nothing_has_no_row() -> None:
    assert focus([entry(counts=TokenCounts(), cost=Cost())]) == []


def test_version_1_2_has_all_but_the_two_columns_of_1_3() -> None:
    old, new = ([column.name for column in focus_columns(version)] for version in ("1.2", "1.3"))
    assert set(new) - set(old) == NEW_IN_1_3
    assert set(old) >= MANDATORY
    for names in (old, new):
        standard = [name for name in names if not name.startswith("x_")]
        assert names[: len(standard)] == sorted(standard), "columns of FOCUS come first"
        assert all(re.fullmatch(r"(x_)?[A-Z][A-Za-z]{1,48}", name) for name in names)


@settings(max_examples=50)
@given(ledgers())
def test_rows_are_by_the_specification(entries: list[Entry]) -> None:
    for row in focus(entries):
        assert not {name for name in NEVER_NULL | NEW_IN_1_3 if row[name] in (None, "")}
        assert "" not in row.values(), "null, not empty"
        assert row["ChargeCategory"] in ("Usage", "Adjustment")
        assert row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", format_instant(row["ChargePeriodStart"], UTC))
        assert row["BilledCost"] == row["EffectiveCost"] == row["ListCost"] == row["ContractedCost"]
        if row["ChargeCategory"] == "Usage":
            assert not {name for name in NOT_NULL_FOR_USAGE if row[name] is None}
            if row["PricingQuantity"]:
                product = Decimal(row["ListUnitPrice"]) * row["PricingQuantity"]
                assert round(product, 9) == Decimal(row["ListCost"]).scaleb(-9)
        else:
            assert row["ConsumedQuantity"] is row["ConsumedUnit"] is row["ListUnitPrice"] is None


@settings(max_examples=50)
@given(ledgers())
def test_no_money_and_no_token_is_lost(entries: list[Entry]) -> None:
    rows = focus(entries)
    cost = sum((one.cost for one in entries if one.cost is not None), Cost())
    assert sum(row["BilledCost"] for row in rows) == cost.total
    counts = sum((one.counts for one in entries), TokenCounts())
    for meter in METERS:
        assert sum(row["PricingQuantity"] or 0 for row in rows if row["x_TokenType"] == meter.counts) == getattr(
            counts, meter.counts
        )


def test_a_unit_price_is_exact_to_eighteen_decimals() -> None:
    totals = DayTotals("account")
    totals.add(entry(counts=TokenCounts(input=3), cost=Cost(input=1)))
    (row,) = totals.finish()
    assert unit_price(row) == "0.000000000333333333"
