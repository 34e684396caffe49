"""Usage in buckets: none is left out, and the total is the sum of what is shown."""

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.accounts.usage_views import usage_json
from modelmux.config.accounts_check import zone_of

HOUR = 3_600_000_000


def row(start: int, group: str | None, cost: int) -> UsageRow:
    counts = TokenCounts(input=1, web_searches=2)
    return UsageRow(start=start, group=(group,), requests=1, errors=0, unpriced=0, counts=counts, cost=Cost(input=cost))


def test_buckets_have_their_groups_the_most_expensive_first() -> None:
    query = UsageQuery(start=0, end=3 * HOUR, bucket="1h", zone="Asia/Tokyo", group_by=("model",))
    rows = [row(2 * HOUR, None, 5), row(2 * HOUR, "a", 0), row(0, "a", 10), row(0, "b", 20)]
    shown = usage_json(query, [0, HOUR, 2 * HOUR, 3 * HOUR], rows, zone_of("Asia/Tokyo"), own_prices=False)
    first, second, third = shown["data"]
    assert [one["model"] for one in first["results"]] == ["b", "a"]
    assert second == {
        "object": "bucket", "start": "1970-01-01T10:00:00+09:00", "end": "1970-01-01T11:00:00+09:00", "results": [],
    }  # fmt: skip
    assert third["results"][0]["model"] is None
    assert first["results"][0]["cost"] == {"amount": "0.00000002", "currency": "USD"}
    assert shown["total"]["cost"]["amount"] == "0.000000035"
    assert (shown["total"]["requests"], shown["total"]["web_searches"]) == (4, 8)
    assert (shown["zone"], shown["prices"], shown["has_more"]) == ("Asia/Tokyo", "list", False)
    assert usage_json(query, [], [], zone_of("UTC"), own_prices=True)["prices"] == "list_and_own"
