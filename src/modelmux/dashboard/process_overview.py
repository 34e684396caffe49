"""The overview without accounts: what the workers have counted since their start, and what needs attention."""

from __future__ import annotations

from typing import Final

from modelmux.dashboard.attention import item, of_models, read_models
from modelmux.dashboard.charts import percent
from modelmux.dashboard.page import ROOT, Data, Page, Visit

#: Of requests, from which on errors are shown.
_ERRORS: Final = 5.0
_FEWEST: Final = 20
#: Rows of a list of the page.
_ROWS: Final = 12


async def build(visit: Visit) -> Data:
    if not visit.may("status.read"):
        return {"has_status": False}
    status, counted = await visit.read("/status"), await visit.read("/counters")
    routes = [one | _shares(one) for one in counted["routes"][:_ROWS]]
    started = [one["started_at"] for one in status["workers"] if one["started_at"] is not None]
    api_keys = visit.dispatcher.backend.config.server.api_keys
    return {
        "has_status": True,
        "since": min(started, default=None),
        "in_flight": status["in_flight"],
        "counted": counted,
        "total": _shares(counted),
        "routes": routes,
        "errors": counted["error_responses"][:_ROWS],
        "attempts": counted["attempts"][:_ROWS],
        "attention": [*_failures(counted), *of_models(await read_models(visit), set())],
        "first_start": None if counted["requests"] else _first_start(visit, needs_key=bool(api_keys)),
    }


def _shares(one: Data) -> Data:
    tokens = one["tokens"]
    all_input = tokens["input"] + tokens["cache_read"] + tokens["cache_write"]
    return {
        "error_percent": percent(one["errors"], one["requests"]),
        "cache_read_percent": percent(tokens["cache_read"], all_input),
        "input_tokens": all_input,
    }


def _first_start(visit: Visit, *, needs_key: bool) -> Data:
    """What is shown before the first request. :param needs_key: clients send one of ``server.api_keys``."""
    return {"gateway_url": visit.site.gateway_url, "model": visit.site.model, "needs_key": needs_key}


def _failures(counted: Data) -> list[Data]:
    share = percent(counted["errors"], counted["requests"])
    if share < _ERRORS or counted["requests"] < _FEWEST:
        return []
    return [item("warn", f"{share:g} % of requests failed", f"{ROOT}/requests")]


PROCESS_OVERVIEW: Final = Page(ROOT, "process_overview.html", "Overview", "self.read", build, nav="Overview")
