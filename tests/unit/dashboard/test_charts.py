"""Numbers as shapes and as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.dashboard.charts import HEIGHT, WIDTH, columns, decimal, percent, share
from modelmux.dashboard.rendering import amount, quantile, seconds, short, usd

_amounts = st.decimals(-10, 1000, places=6).map(str)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=1100))
def test_columns_stay_in_their_drawing(pairs: list[tuple[int, int]]) -> None:
    shapes = columns([one for one, _ in pairs], [part for _, part in pairs])
    assert len(shapes) == len(pairs)
    for shape in shapes:
        assert shape.x >= 0
        assert shape.width > 0
        assert shape.x + shape.width <= WIDTH
        assert 0 <= shape.part_height <= shape.height <= HEIGHT
        assert shape.y == pytest.approx(HEIGHT - shape.height, abs=0.02)
        assert shape.part_y >= shape.y - 0.02


@given(_amounts, _amounts, _amounts)
def test_parts_of_a_budget_fill_its_bar(limit: str, spent: str, held: str) -> None:
    parts = share(limit, spent, held)
    assert parts.spent + parts.held + parts.left == pytest.approx(100, abs=0.05)
    assert min(parts.spent, parts.held, parts.left) >= 0


def test_a_budget_that_is_passed_or_nothing() -> None:
    assert (share("5", "7.5", "1").spent, share("5", "7.5", "1").percent) == (100, 150)
    assert share("0", "0", "0").spent == 100
    assert share("10", "2", "3") == share("10.0", "2.00", "3")
    assert (share("10", "2", "3").spent, share("10", "2", "3").held, share("10", "2", "3").left) == (20, 30, 50)


def test_parts_of_nothing() -> None:
    assert (percent(1, 0), percent(1, 4), percent("0.5", "1")) == (0, 25, 50)
    assert decimal("not a number") == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "$0.00"), ("12.3456", "$12.35"), ("1234.5", "$1,234.50"), ("0.5", "$0.500"), ("0.0123", "$0.012"),
        ("0.00064", "$0.00064"), ("0.000000012", "$0.0001 or less"), ("-3", "-$3.00"), (None, "unknown price"),
    ],
)  # fmt: skip
def test_amounts_of_money(value: str | None, text: str) -> None:
    assert usd(value) == text


def test_other_numbers() -> None:
    assert amount("1200", "tokens") == "1,200 tokens"
    assert amount("5", "usd") == "$5.00"
    assert [short(one) for one in (999, 9_999, 12_345, 1_234_567, 2_000_000_000)] == [
        "999", "9,999", "12.3k", "1.2M", "2.0B",
    ]  # fmt: skip
    assert [seconds(one) for one in (None, 0.0123, 2.345)] == ["–", "12 ms", "2.3 s"]


def test_a_quantile_above_the_last_bound_is_not_an_exact_number() -> None:
    shown = [
        quantile({"seconds": value, "more_than": more}) for value, more in ((0.25, False), (1.25, False), (600.0, True))
    ]
    assert shown == ["250 ms", "1.2 s", "more than 600 s"]
