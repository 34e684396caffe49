"""Requests: rows of the ledger by filters that are in the address, and one row with all of it."""

from __future__ import annotations

from typing import Final, get_args

from modelmux.dashboard.page import ROOT, Data, Page, Visit, part
from modelmux.telemetry.records import Outcome

FILTERS: Final = ("key", "team", "person", "model", "outcome", "min_cost", "tag", "start", "end")
#: Rows of a page.
_LIMIT: Final = "50"


async def build_list(visit: Visit) -> Data:
    return await visit.read_filtered("/requests", FILTERS, _LIMIT) | {"outcomes": list(get_args(Outcome))}


async def build_detail(visit: Visit) -> Data:
    request = await visit.read(f"/requests/{part(visit.path['id'])}")
    return {"request": request, "timeline": _timeline(request)}


def _timeline(request: Data) -> list[Data]:
    """When what happened, in seconds since the request arrived."""
    first, end = request["first_content_seconds"], request["seconds"]
    steps = [{"what": "arrived", "seconds": 0.0}]
    if first is not None:
        steps.append({"what": "first content", "seconds": first})
    return [*steps, {"what": "ended", "seconds": end}]


REQUESTS: Final = Page(f"{ROOT}/requests", "requests.html", "Requests", "requests.read", build_list, nav="Requests")
REQUEST: Final = Page(f"{ROOT}/requests/{{id}}", "request.html", "Request", "requests.read", build_detail)
