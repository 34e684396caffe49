"""Costs: what was spent over time, and by team, key, person, model or tag. From rollups alone; CSV has the same."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from modelmux.accounts.fields import FieldError
from modelmux.accounts.periods import format_instant, parse_period
from modelmux.accounts.usage_names import NAME_FIELDS
from modelmux.accounts.usage_scope import dimensions
from modelmux.config.accounts_check import zone_of
from modelmux.dashboard.charts import decimal, percent
from modelmux.dashboard.page import ROOT, Data, Page, Visit, filter_problem
from modelmux.errors import GatewayError

_BUCKETS: Final[Mapping[str, str]] = {"1h": "hour", "1d": "day", "1w": "week", "1mo": "month"}
#: Characters of the beginning of a bucket that say which it is.
_LABELS: Final[Mapping[str, int]] = {"1mo": 7, "1w": 10, "1d": 10}
_PERIODS: Final = (
    ("last 7 days", "7d", "1d"), ("last 30 days", "30d", "1d"), ("this month", "this-month", "1d"),
    ("last month", "last-month", "1d"), ("last 12 weeks", "12w", "1w"), ("last 365 days", "365d", "1mo"),
)  # fmt: skip
_NANO: Final = 10**9
#: Groups of the page. What others have is added up.
_MOST: Final = 100
_TAG: Final = "tag:"


async def build(visit: Visit) -> Data:
    by, bucket, filters = question(visit)
    config = visit.dispatcher.backend.config
    names = dimensions(visit.caller.principal)
    choices = [*names, *(_TAG + tag for tag in config.accounts.tags)]
    data: Data = {
        "by": by,
        "by_choices": choices if by in choices else [*choices, by],
        "bucket": bucket,
        "buckets_by_name": dict(_BUCKETS),
        "filters": filters,
        "filter_names": [*names, "tag"],
        "default_zone": config.accounts.zone,
        "filter_problem": None,
        "may_read_models": visit.may("status.read"),
    }
    try:
        return data | await _report(visit, by, bucket, filters)
    except (GatewayError, FieldError) as error:
        data["filter_problem"] = filter_problem(error)
        if data["filter_problem"] is None:
            raise
    return data | {"total": None, "periods": []}


def question(visit: Visit) -> tuple[str, str, dict[str, str]]:
    """By what, in which buckets, and what counts, as the address says. :raises FieldError:"""
    principal = visit.caller.principal
    usual = "key" if principal.role == "member" else "team"
    by = visit.query.get("by", "").strip() or usual
    if "," in by:
        raise FieldError("by", f"{by[:40]!r} is more than one", "choose one")
    filters = visit.chosen(("start", "end", "zone", *dimensions(principal), "tag"))
    return by, visit.query.get("bucket", "").strip() or "1d", filters


async def _report(visit: Visit, by: str, bucket: str, filters: Mapping[str, str]) -> Data:
    """:raises GatewayError, FieldError, StoreFailed:"""
    over_time = await visit.read("/usage", bucket=bucket, **filters)
    period = {"start": over_time["start"], "end": over_time["end"]}
    by_group = await visit.read("/usage", bucket="all", group_by=by, top=str(_MOST), **{**filters, **period})
    total, rows = over_time["total"], [one for each in by_group["data"] for one in each["results"]]
    groups = [_group(visit, by, one, total, filters, period) for one in rows]
    most = max((decimal(one["cost"]["amount"]) for one in groups), default=decimal(0))
    for one in groups:
        one["percent_of_most"] = max(0.0, percent(one["cost"]["amount"], float(most)))
    return {
        **period,
        "zone": over_time["zone"],
        "first_day": over_time["start"][:10],
        "last_day": (datetime.fromisoformat(over_time["end"]) - timedelta(microseconds=1)).date().isoformat(),
        "prices": over_time["prices"],
        "warnings": by_group["warnings"],
        "total": total,
        "buckets": [_bucket(one, bucket) for one in over_time["data"]],
        "groups": groups,
        "rest": next((each["others"] for each in by_group["data"]), None),
        "periods": _periods(visit.now, over_time["zone"], filters),
    }


def _bucket(one: Data, bucket: str) -> Data:
    results = one["results"]
    cost = sum((decimal(each["cost"]["amount"]) for each in results), start=decimal(0))
    return {
        "start": one["start"],
        "label": one["start"][: _LABELS.get(bucket, 16)].replace("T", " "),
        "requests": sum(each["requests"] for each in results),
        "cost": _money(cost),
        "nano": max(0, int(cost * _NANO)),
    }


def _group(
    visit: Visit, by: str, one: Data, total: Data, filters: Mapping[str, str], period: Mapping[str, str]
) -> Data:
    """A row of the table. Its requests and its parts have addresses where its value can be in one."""
    value = one[by]
    named = {} if value is None or "," in value else _narrowed(filters, by, value)
    wanted = {**{name: text for name, text in named.items() if name not in ("zone", "start", "end")}, **period}
    parts = {"by": "team" if by == "model" else "model", **named}
    return {
        "value": value,
        "name": one.get(NAME_FIELDS.get(by, ""), None) or value,
        **{name: one[name] for name in ("requests", "errors", "unpriced", "tokens", "web_searches", "cost")},
        "percent": percent(one["cost"]["amount"], total["cost"]["amount"]),
        "requests_query": wanted if named and visit.may("requests.read") else None,
        "parts_query": parts if named else None,
    }


def _narrowed(filters: Mapping[str, str], by: str, value: str) -> dict[str, str]:
    """The filters of the report, and one group of it."""
    if not by.startswith(_TAG):
        return {**filters, by: value}
    tag = f"{by.removeprefix(_TAG)}={value}"
    others = [
        one for one in filters.get("tag", "").split(",") if one and not one.startswith(f"{tag.partition('=')[0]}=")
    ]
    return {**filters, "tag": ",".join([*others, tag])}


def _periods(now: int, zone: str, filters: Mapping[str, str]) -> list[Data]:
    """Periods that people ask for, as days of the zone."""
    clock, periods = zone_of(zone), []
    for label, text, bucket in _PERIODS:
        period = parse_period(text, now, clock)
        days = {"start": format_instant(period.start, clock)[:10], "end": format_instant(period.end, clock)[:10]}
        is_chosen = days.items() <= filters.items()
        periods.append({"label": label, "bucket": bucket, "is_chosen": is_chosen, **days})
    return periods


def _money(amount: Any) -> Data:
    return {"amount": f"{amount:f}", "currency": "USD"}


COSTS: Final = Page(f"{ROOT}/costs", "costs.html", "Costs", "usage.read", build, nav="Costs")
