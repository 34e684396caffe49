"""Models: which are served, by which names and deployments, how these are now, and what each model takes."""

from __future__ import annotations

from typing import Any, Final

from modelmux.accounts.views import time_text
from modelmux.dashboard.charts import percent
from modelmux.dashboard.page import ROOT, Data, Page, Visit

_DAY: Final = 86_400_000_000
_QUARTER: Final = 900_000_000
#: Records of each list.
_MOST: Final = "1000"
#: Fact of a model's card and its value -> what it means, for people; what is not here is what every model does.
_NOTES: Final[dict[tuple[str, Any], str]] = {
    ("thinking_default", "on"): "thinks unless it is told not to",
    ("sampling", "reject"): "takes no temperature, top_p and top_k",
    ("prefill", True): "continues an answer that the client begins",
    ("forced_tool_choice", "reject"): "cannot be forced to call a tool",
    ("forced_tool_choice", "not_with_thinking"): "cannot be forced to call a tool while it thinks",
    ("structured_output", False): "has no structured output of its own",
    ("web_search", False): "has no web search",
    ("fast_mode", True): "has a fast mode",
    ("preserved_thinking", True): "checks that its thinking comes back unchanged",
}


async def build(visit: Visit) -> Data:
    names = await visit.read("/models", limit=_MOST)
    deployments = await visit.read("/deployments", limit=_MOST)
    end = (visit.now // _QUARTER + 1) * _QUARTER
    period = {"start": time_text(end - _DAY) or "", "end": time_text(end) or ""}
    used: dict[str, Data] = {}
    if visit.has_accounts:
        usage = await visit.read("/usage", bucket="all", group_by="model", **period)
        used = {one["model"]: one for bucket in usage["data"] for one in bucket["results"]}
    for one in deployments["data"]:
        one["state"] = _state([one])
    by_id = {one["id"]: one for one in deployments["data"]}
    models: dict[str, Data] = {}
    for name in names["data"]:
        model = models.setdefault(name["model"], _model(name, used.get(name["model"])))
        model["names"].append({
            "name": name["id"], "fallbacks": name["fallbacks"],
            "deployments": [by_id[id] for id in name["deployments"] if id in by_id],
        })  # fmt: skip
    for id, model in models.items():
        model["state"] = _state([one for one in deployments["data"] if one["model"] == id])
    return {
        "models": sorted(models.values(), key=lambda one: (-one["requests"], one["id"])),
        "deployments": deployments["data"],
        "has_more": names["has_more"] or deployments["has_more"],
        "period": period,
        "has_usage": visit.has_accounts,
        "may_read_requests": visit.may("requests.read"),
    }


def _model(row: Data, usage: Data | None) -> Data:
    """A model, from one of its names. :param usage: of the last 24 hours; None if there was none."""
    prices = row["prices"]
    taken = {name: row[name] for name in ("context", "max_output", "thinking", "effort", "lifecycle", "known")}
    dates = {name: row[name] for name in ("released_on", "retires_on", "retired_on", "replacement", "notice")}
    return {
        "id": row["model"],
        "names": [],
        **taken,
        **dates,
        "notes": _notes(row["capabilities"]),
        "cache_minimum": row["capabilities"]["cache_minimum"],
        "prices": None if prices is None else prices["by_location"],
        "long_prompt": None if prices is None else prices["long_prompt"],
        "web_search_per_1000": None if prices is None else prices["web_search_per_1000"],
        "price_checked_on": row["price_checked_on"],
        "price_age_days": row["price_age_days"],
        "requests": 0 if usage is None else usage["requests"],
        "error_percent": 0.0 if usage is None else percent(usage["errors"], usage["requests"]),
        "cost": {"amount": "0", "currency": "USD"} if usage is None else usage["cost"],
    }


def _notes(capabilities: Data) -> list[str]:
    return [text for pair in capabilities.items() if (text := _NOTES.get(pair)) is not None]


def _state(deployments: list[Data]) -> str:
    """Of a model by its deployments: all, some or none of them are tried as usual."""
    avoided = sum(one["avoided_by"] > 0 for one in deployments)
    if not avoided:
        return "available"
    return "limited" if avoided < len(deployments) else "unavailable"


MODELS: Final = Page(f"{ROOT}/models", "models.html", "Models", "status.read", build, nav="Models")
