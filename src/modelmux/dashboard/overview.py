"""The overview: the last 24 hours, who spent, which models answered, how long that took, and what needs attention.

From rollups alone; how long it took is counted by the workers, since their start.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from modelmux.accounts.views import time_text
from modelmux.dashboard.attention import item, of_models, read_models
from modelmux.dashboard.charts import decimal, percent, share
from modelmux.dashboard.page import ROOT, Data, Page, Visit, part, together

_HOUR: Final = 3_600_000_000
_DAY: Final = 24 * _HOUR
#: Of a budget, from which on it is shown; of requests, from which on errors are.
_SPENT: Final = 80.0
_ERRORS: Final = 5.0
_FEWEST: Final = 20
#: Days before its end in which a key is shown, and after it.
_EXPIRES: Final = 7
#: Records of a page of the API, and pages, that are looked at.
_MOST: Final = "1000"
_PAGES: Final = 5
#: Rows of a list of the page.
_ROWS: Final = 12


async def build(visit: Visit) -> Data:
    if not visit.may("usage.read"):
        return {"has_usage": False, "attention": [], "may_read_audit": visit.may("audit.read")}
    end = (visit.now // _HOUR + 1) * _HOUR
    start, before = time_text(end - _DAY) or "", time_text(end - 2 * _DAY) or ""
    period = {"start": start, "end": time_text(end) or ""}
    async with visit.in_one_turn() as one:
        by_hour, earlier, models, teams, savings, status, budgets, keys, known = await together(
            one.read("/usage", bucket="1h", **period),
            one.read("/usage", bucket="all", start=before, end=start),
            one.read("/usage", bucket="all", group_by="model", **period),
            one.read("/usage", bucket="all", group_by="team", **period),
            one.read("/usage/cache-savings", **period),
            _read_status(one),
            _budgets(one),
            _keys(one),
            read_models(one),
        )
    total = by_hour["total"]
    return {
        "has_usage": True,
        "period": period,
        "total": total,
        "error_percent": percent(total["errors"], total["requests"]),
        "cache_read_percent": _cache_read(total["tokens"]),
        "cache_savings": savings if savings["models"] else None,
        "latency": None if status is None else status["latency"],
        "before": earlier["total"],
        "change_percent": _change(earlier["total"]["cost"]["amount"], total["cost"]["amount"]),
        "hours": [_hour(one) for one in by_hour["data"]],
        "models": _groups(models),
        "teams": _groups(teams),
        "in_flight": None if status is None else status["in_flight"],
        "attention": [
            *budgets,
            *keys,
            *_usage(total),
            *_status(status),
            *of_models(known, {one["model"] for one in models["data"][0]["results"]}),
        ],
        "first_start": None if total["requests"] else await _first_start(visit),
    }


async def _read_status(visit: Visit) -> Data | None:
    return await visit.read("/status") if visit.may("status.read") else None


async def _first_start(visit: Visit) -> Data | None:
    """What who may create keys is shown before the first request; None if there has been one."""
    if not (visit.may("keys.write") and visit.may("requests.read")):
        return None
    if (await visit.read("/requests", limit="1"))["data"]:
        return None
    keys = (await visit.read("/keys", limit="1"))["data"]
    return {"has_keys": bool(keys), "gateway_url": visit.site.gateway_url, "model": visit.site.model}


def _hour(bucket: Data) -> Data:
    results = bucket["results"]
    cost = sum((decimal(one["cost"]["amount"]) for one in results), start=decimal(0))
    return {
        "start": bucket["start"],
        "label": datetime.fromisoformat(bucket["start"]).strftime("%H:%M"),
        "requests": sum(one["requests"] for one in results),
        "errors": sum(one["errors"] for one in results),
        "cost": {"amount": str(cost), "currency": "USD"},
    }


def _groups(report: Data) -> list[Data]:
    rows = [one for bucket in report["data"] for one in bucket["results"]]
    most = max([*(decimal(one["cost"]["amount"]) for one in rows), decimal(0)])
    for one in rows:
        one["error_percent"] = percent(one["errors"], one["requests"])
        one["cache_read_percent"] = _cache_read(one["tokens"])
        one["percent_of_most"] = percent(one["cost"]["amount"], float(most))
    return rows[:_ROWS]


def _cache_read(tokens: Data) -> float:
    read = tokens["cache_read"]
    return percent(read, tokens["input"] + tokens["cache_write"] + tokens["cache_write_1h"] + read)


def _change(before: str, now: str) -> float | None:
    """None where there was nothing to compare with."""
    return percent(now, before) - 100 if decimal(before) > 0 else None


async def _budgets(visit: Visit) -> list[Data]:
    if not visit.may("budgets.read"):
        return []
    budgets, has_more = await _all_budgets(visit)
    items = [item("warn", f"Only the first {len(budgets):,} budgets were looked at", None)] if has_more else []
    for budget in budgets:
        for window in budget["windows"] if budget["status"] == "active" else ():
            spent = share(window["limit"], window["spent"], window["held"])
            used = spent.spent + spent.held
            if used >= _SPENT:
                level = "bad" if used >= 100 and budget["mode"] == "hard" else "warn"
                text = f"Budget {budget['name']}: {spent.percent:g} % spent"
                items.append(item(level, text, f"{ROOT}/budgets/{part(budget['id'])}"))
    return sorted(items, key=lambda one: str(one["level"]))[:_ROWS]


async def _keys(visit: Visit) -> list[Data]:
    if not visit.may("keys.read"):
        return []
    today, items = datetime.fromtimestamp(visit.now / 1_000_000, UTC), []
    ends = [time_text(visit.now + days * _DAY) or "" for days in (-_EXPIRES, _EXPIRES)]
    page = await visit.read("/keys", limit=_MOST, status="active", expires_after=ends[0], expires_before=ends[1])
    ending = [(datetime.fromisoformat(key["expires_at"]), key) for key in page["data"]]
    # Those that still work come first, the next to expire first of all; then those that have expired last.
    ending.sort(key=lambda one: (one[0] <= today, abs(one[0] - today)))
    for end, key in ending[:_ROWS]:
        days = (end - today).days
        text = f"Key {key['name']} expires in {days} days" if days > 0 else f"Key {key['name']} expires today"
        if end <= today:
            text = f"Key {key['name']} has expired"
        items.append(item("warn", text, f"{ROOT}/keys/{part(key['id'])}"))
    return items


async def _all_budgets(visit: Visit) -> tuple[list[Data], bool]:
    """Those of as many pages as are looked at, and whether there are more."""
    page = await visit.read("/budgets", limit=_MOST)
    records: list[Data] = page["data"]
    for _ in range(_PAGES - 1):
        if not page["has_more"]:
            break
        page = await visit.read("/budgets", limit=_MOST, after=page["next"])
        records += page["data"]
    return records, page["has_more"]


def _usage(total: Data) -> list[Data]:
    items = []
    errors = percent(total["errors"], total["requests"])
    if errors >= _ERRORS and total["requests"] >= _FEWEST:
        items.append(item("warn", f"{errors:g} % of requests failed", f"{ROOT}/requests"))
    if total["unpriced"]:
        items.append(item("warn", f"{total['unpriced']:,} requests of a model without a price", None))
    return items


def _status(status: Data | None) -> list[Data]:
    if status is None:
        return []
    behind = sum(not one["is_current"] for one in status["workers"])
    items = [item("bad", f"{behind} workers do not have the accounts of now", None)] if behind else []
    if status["ledger"]["alerts_due"]:
        items.append(item("warn", f"{status['ledger']['alerts_due']} alerts were not delivered yet", None))
    return items


OVERVIEW: Final = Page(ROOT, "overview.html", "Overview", "self.read", build, nav="Overview")
