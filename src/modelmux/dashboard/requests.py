"""Requests: rows of the ledger by filters that are in the address, and one row with all of it."""

from __future__ import annotations

from typing import Final, get_args

from modelmux.config.telemetry_check import TRACE_ID
from modelmux.dashboard.page import ROOT, Data, Page, Visit, part
from modelmux.dashboard.timeline import timeline_of
from modelmux.telemetry.records import Outcome

FILTERS: Final = ("key", "team", "person", "model", "outcome", "min_cost", "tag", "start", "end")
#: Rows of a page.
_LIMIT: Final = "50"


async def build_list(visit: Visit) -> Data:
    zone = visit.dispatcher.backend.config.accounts.zone  # in which days of the filters begin
    return await visit.read_filtered("/requests", FILTERS, _LIMIT) | {"outcomes": list(get_args(Outcome)), "zone": zone}


async def build_detail(visit: Visit) -> Data:
    id = part(visit.path["id"])
    request, trace = await visit.read(f"/requests/{id}"), await visit.read(f"/requests/{id}/trace")
    return {
        "request": request, "trace": trace, "timeline": timeline_of(request, trace["request"]),
        "may_read_bodies": visit.may("bodies.read"), "trace_url": _trace_url(visit, request["trace_id"]),
    }  # fmt: skip


def _trace_url(visit: Visit, trace_id: str | None) -> str | None:
    """Where the trace of a request is shown."""
    template = visit.site.trace_url
    return None if template is None or trace_id is None else template.replace(TRACE_ID, part(trace_id))


async def build_bodies(visit: Visit) -> Data:
    """The bodies, or why there are none: with an entry in the audit log where they are those of others."""
    path = f"/requests/{part(visit.path['id'])}"
    return await bodies_at(visit, f"{path}/bodies", f"{path}/trace")


async def bodies_at(visit: Visit, path: str, known_at: str) -> Data:
    """:param path: of the bodies in the admin API. :param known_at: what says whether they are kept."""
    state = (await visit.read(known_at))["bodies"]
    bodies = await visit.read(path) if state == "kept" else None
    return {"id": visit.path["id"], "state": state, "bodies": bodies}


REQUESTS: Final = Page(f"{ROOT}/requests", "requests.html", "Requests", "requests.read", build_list, nav="Requests")
REQUEST: Final = Page(f"{ROOT}/requests/{{id}}", "request.html", "Request", "requests.read", build_detail)
BODIES: Final = Page(
    f"{ROOT}/requests/{{id}}/bodies", "bodies.html", "Bodies", "bodies.read", build_bodies, is_logged=True
)
