"""Risk: a field of the ledger that no export has, or a value of another kind than its column says."""

from __future__ import annotations

from collections.abc import Callable

from modelmux.accounts.columns import JSON_VALUES, LEDGER, cells, json_row
from modelmux.accounts.entry import Entry
from support.ledgers import entry, full_entry

IS_OF_KIND: dict[str, Callable[[object], bool]] = {
    "text": lambda value: type(value) is str,
    "integer": lambda value: type(value) is int,
    "boolean": lambda value: type(value) is bool,
    "instant": lambda value: type(value) is int,
    "money": lambda value: type(value) is int,
    "json": lambda value: type(value) in (dict, list),
}


def test_every_value_is_of_its_columns_kind() -> None:
    row = full_entry(1)
    for column, cell in zip(LEDGER, cells(LEDGER, row), strict=True):
        assert cell is None or IS_OF_KIND[column.kind](cell), column.name
    by_name = dict(zip((column.name for column in LEDGER), cells(LEDGER, row), strict=True))
    assert by_name["cost_usd"] == sum(
        by_name[name] for name in by_name if name.startswith("cost_") and name != "cost_usd"
    )
    assert len(by_name["attempts"]) == len(row.attempts)


def test_every_field_has_a_column() -> None:
    names = {column.name for column in LEDGER}
    several = {"counts", "cost", "hold", "duration", "first_content", "requested"}
    assert set(Entry.__struct_fields__) - several <= names
    assert {"input_tokens", "cost_usd", "hold_usd", "duration_us", "first_content_us", "requested_model"} <= names


def test_what_is_not_known_has_no_value() -> None:
    cost = dict(zip((column.name for column in LEDGER), cells(LEDGER, entry(1, cost=None)), strict=True))
    assert {cost[name] for name in cost if name.startswith("cost_")} == {None}


def test_a_row_in_json_has_what_the_conversion_of_each_kind_gives() -> None:
    row, shown = full_entry(1), json_row(LEDGER, full_entry(1))
    for column, cell in zip(LEDGER, cells(LEDGER, row), strict=True):
        assert shown[column.name] == (None if cell is None else JSON_VALUES[column.kind](cell)), column.name
