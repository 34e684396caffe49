"""Risk: who pays for a cache that nobody reads is not seen, or who uses it well is blamed, or the table grows."""

from __future__ import annotations

import pytest

from modelmux.telemetry.unread_cache import MAX_REMEMBERED, UnreadCache

WRITE, READ, BOTH, NEITHER = (500, 0), (0, 500), (20, 480), (0, 0)


@pytest.mark.parametrize(
    ("requests", "unread"),
    [
        ((WRITE,), 0),  # it may be read yet
        ((WRITE, BOTH, BOTH, BOTH), 0),
        ((WRITE, READ, READ), 0),
        ((WRITE, WRITE, WRITE), 1_000),
        ((WRITE, NEITHER, WRITE), 500),  # a request without the cache says nothing
        ((WRITE, READ, WRITE, WRITE), 500),
        ((READ, WRITE, BOTH, WRITE), 20),
        ((NEITHER, READ), 0),
    ],
)
def test_what_is_written_again_without_a_read_is_unread(requests: tuple[tuple[int, int], ...], unread: int) -> None:
    cache = UnreadCache()
    assert sum(cache.settled("key_a", "fast", written, read) for written, read in requests) == unread


def test_callers_and_routes_are_apart() -> None:
    cache = UnreadCache()
    for owner, route in (("key_a", "fast"), ("key_b", "fast"), ("key_a", "smart")):
        assert cache.settled(owner, route, 500, 0) == 0
    assert cache.settled("key_b", "fast", 0, 500) == 0
    assert cache.settled("key_a", "fast", 7, 0) == 500


def test_what_an_upstream_makes_up_counts_nothing() -> None:
    cache = UnreadCache()
    assert [cache.settled("key_a", "fast", -5, -5), cache.settled("key_a", "fast", 9, 0)] == [0, 0]


def test_callers_without_number_take_a_bounded_place() -> None:
    cache = UnreadCache()
    for number in range(MAX_REMEMBERED + 100):
        cache.settled(f"key_{number}", "fast", 500, 0)
    assert len(cache._written) == MAX_REMEMBERED
    assert cache.settled("key_0", "fast", 500, 0) == 0
    assert cache.settled(f"key_{MAX_REMEMBERED}", "fast", 500, 0) == 500
