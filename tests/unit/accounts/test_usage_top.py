"""The most expensive groups. Risk: what is left out is not in the sum of the others, so that buckets do not add up."""

from __future__ import annotations

from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.usage_query import UsageQuery, UsageRow, added, difference
from modelmux.accounts.usage_top import in_order, top_groups
from modelmux.accounts.usage_views import total, usage_json

QUERY = UsageQuery(start=0, end=900_000_000)


def row(start: int, group: str | None, cost: int) -> UsageRow:
    return UsageRow(
        start=start, group=(group,), requests=cost + 1, errors=1, unpriced=2, counts=TokenCounts(input=3 * cost),
        cost=Cost(output=cost),
    )  # fmt: skip


ROWS = st.dictionaries(
    st.tuples(st.integers(0, 3), st.none() | st.sampled_from("abcdef")), st.integers(0, 50), max_size=28
).map(lambda known: [row(start, group, cost) for (start, group), cost in known.items()])


@given(ROWS, st.integers(1, 8))
def test_each_bucket_adds_up_and_the_others_cost_less(rows: list[UsageRow], most: int) -> None:
    shown = top_groups(rows, most)
    for start in {one.start for one in rows}:
        before = [one for one in rows if one.start == start]
        after = [one for one in shown if one.start == start]
        assert total(QUERY, before) == total(QUERY, after)
        others = [one for one in after if one.others]
        assert len(others) <= 1
        assert all(one.others == len({row.group for row in rows}) - most for one in others)
    groups = {one.group for one in shown if not one.others}
    assert len(groups) == min(most, len({one.group for one in rows}))
    costs = {group: sum(one.cost.total for one in rows if one.group == group) for group in {one.group for one in rows}}
    left = set(costs) - groups
    assert not left or min(costs[group] for group in groups) >= max(costs[group] for group in left)


@given(st.lists(st.integers(0, 50), max_size=5), st.lists(st.integers(0, 50), max_size=5))
def test_what_is_left_of_a_sum_is_the_sum_of_the_others(some: list[int], others: list[int]) -> None:
    rows = [row(7, None, cost) for cost in some]
    total = added(7, [*rows, *(row(7, None, cost) for cost in others)])
    assert difference(total, rows) == added(7, [row(7, None, cost) for cost in others])


def test_groups_that_cost_the_same_are_chosen_by_name() -> None:
    rows = [row(0, name, 5) for name in "cab"]
    assert {one.group for one in top_groups(rows, 2) if not one.others} == {("a",), ("b",)}
    for costs in ({("",): 5, (None,): 5}, {(None,): 5, ("",): 5}):
        assert in_order(costs) == [(None,), ("",)]


def test_buckets_show_the_others_apart_from_the_results() -> None:
    bounds = [0, 900_000_000, 1_800_000_000]
    rows = top_groups([row(0, name, cost) for cost, name in enumerate("abc")], 1)
    query = UsageQuery(start=0, end=bounds[-1], group_by=("model",))
    first, second = usage_json(query, bounds, rows, UTC, own_prices=False, has_others=True)["data"]
    assert [one["model"] for one in first["results"]] == ["c"]
    assert (first["others"]["groups"], first["others"]["requests"]) == (2, 3)
    assert (second["results"], second["others"]) == ([], None)
    assert "others" not in usage_json(query, bounds, [], UTC, own_prices=False)["data"][0]
