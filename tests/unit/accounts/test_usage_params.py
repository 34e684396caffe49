"""Risk: a parameter that is misspelled or empty opens what it should limit, or a period is not what was meant."""

import re
from typing import Any

import pytest

from modelmux.accounts.fields import FieldError
from modelmux.accounts.periods import format_instant, parse_instant
from modelmux.accounts.usage_params import MOST_BUCKETS, grouped, read_usage_query
from modelmux.accounts.usage_query import UsageQuery
from modelmux.config.accounts_check import zone_of

NOW = parse_instant("2026-11-15T12:34:56Z")
DIMENSIONS = ("key", "model")


def read(*pairs: tuple[str, str], zone: str = "UTC") -> UsageQuery:
    return read_usage_query(grouped(pairs), DIMENSIONS, NOW, zone, zone_of)


def period(query: UsageQuery) -> tuple[str, str]:
    zone = zone_of(query.zone)
    return format_instant(query.start, zone), format_instant(query.end, zone)


def test_without_parameters_it_is_the_days_of_the_last_month() -> None:
    query = read(zone="Europe/Berlin")
    assert (query.bucket, query.zone, query.group_by, query.where) == ("1d", "Europe/Berlin", (), ())
    assert period(query) == ("2026-10-17T00:00:00+02:00", "2026-11-16T00:00:00+01:00")


@pytest.mark.parametrize(
    ("bucket", "start"),
    [
        ("1h", "2026-11-14T13:00:00Z"), ("1w", "2026-08-24T00:00:00Z"), ("1mo", "2025-11-16T00:00:00Z"),
        ("all", "2026-10-17T00:00:00Z"),
    ],
)  # fmt: skip
def test_each_bucket_has_a_period_of_its_own(bucket: str, start: str) -> None:
    assert period(read(("bucket", bucket)))[0] == start


def test_days_begin_in_the_zone_and_instants_say_theirs() -> None:
    query = read(("start", "2026-10-25"), ("end", "2026-10-26"), ("zone", "Europe/Berlin"))
    assert period(query) == ("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00")
    assert query.end - query.start == 25 * 3_600_000_000, "the clocks went back"
    for text in ("2026-10-25T01:00:00+01:00", "2026-10-25T01:00:00 01:00", "2026-10-25T00:00:00Z"):
        assert period(read(("start", text)))[0] == "2026-10-25T00:00:00Z"


def test_groups_and_filters_may_be_repeated_or_listed() -> None:
    query = read(
        ("group_by", "key,model"), ("group_by", "tag:app"), ("group_by[]", "key"), ("model", "a, b"), ("model", "c"),
        ("tag", "app=chat"), ("tag", "app=x=y"), ("tag", "env=prod"),
    )  # fmt: skip
    assert query.group_by == ("key", "model", "tag:app")
    assert query.where == (("model", ("a", "b", "c")), ("tag:app", ("chat", "x=y")), ("tag:env", ("prod",)))


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("grouped_by", "key", "there is no such parameter; expected some of start"),
        ("group_by", "person", "'person' is not one; expected some of key, model and tag:NAME"),
        ("group_by", "tag:", "is not one"),
        ("group_by", ",".join(f"tag:a{number}" for number in range(9)), "9 names"),
        ("group_by", "", "it is empty"),
        ("model", " , ", "it is empty"),
        ("model", ",".join(map(str, range(101))), "101 values"),
        ("tag", "app", "'app' is not a tag"),
        ("tag", "A B=1", "is not a tag"),
        ("bucket", "2h", "'2h' is not a bucket; expected 1h, 1d, 1w, 1mo, all"),
        ("zone", "Mars/Base", "'Mars/Base' is not a time zone"),
        ("start", "yesterday", "'yesterday' is not a time; expected a day"),
        ("start", "2026-02-30", "is not a time"),
        ("start", "1969-12-31", "between 1970 and 9998"),
        ("end", "9999-12-31T00:00:00Z", "between 1970 and 9998"),
        ("start", "0001-01-01T00:00:00+23:59", "is not a time"),
        ("start", "2026-11-01T00:07:00Z", "within a quarter of an hour"),
        ("end", "2026-10-01", "it is not after the start"),
        ("start", "2000-01-01", "more than 1,000 buckets"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, value: str, problem: str) -> None:
    with pytest.raises(FieldError, match=re.escape(problem)) as raised:
        read((name, value))
    assert raised.value.field in (name, "bucket")


def test_a_parameter_has_one_value() -> None:
    with pytest.raises(FieldError, match="start: it has 2 values"):
        read(("start", "2026-01-01"), ("start", "2026-02-01"))


def test_a_period_may_have_a_thousand_buckets() -> None:
    end = format_instant(NOW - NOW % 86_400_000_000, zone_of("UTC"))
    start = format_instant(NOW - NOW % 86_400_000_000 - MOST_BUCKETS * 3_600_000_000, zone_of("UTC"))
    assert read(("start", start), ("end", end), ("bucket", "1h")).bucket == "1h"
    read(("start", "1970-01-01"), ("bucket", "all"))


def test_an_empty_value_of_one_that_has_a_default_is_the_default() -> None:
    pairs: list[Any] = [("zone", ""), ("bucket", " "), ("start", "")]
    assert read(*pairs) == read()
