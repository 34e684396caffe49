"""Requests without accounts: the records of the latest ones on this machine, and one with all that is known of it."""

from __future__ import annotations

from typing import Final, get_args

from modelmux.config.telemetry_check import TRACE_ID
from modelmux.dashboard.page import ROOT, Data, Page, Visit, part
from modelmux.dashboard.requests import bodies_at
from modelmux.dashboard.timeline import timeline_of
from modelmux.telemetry.records import Outcome

FILTERS: Final = ("model", "outcome")
#: Rows of a page.
_LIMIT: Final = "50"


async def build_list(visit: Visit) -> Data:
    page = await visit.read_filtered("/traces", FILTERS, _LIMIT)
    return {"recorded": True} | page | {"outcomes": list(get_args(Outcome))}


async def build_detail(visit: Visit) -> Data:
    explained = await visit.read(f"/traces/{part(visit.path['id'])}")
    record = explained["request"]
    template, trace_id = visit.site.trace_url, record["trace_id"]
    return {
        "id": visit.path["id"],
        "record": record,
        "prompt": explained["prompt"],
        "previous_record": explained["previous_record"],
        "bodies": explained["bodies"],
        "timeline": timeline_of({}, record),
        "trace_url": None if template is None or trace_id is None else template.replace(TRACE_ID, part(trace_id)),
    }


async def build_bodies(visit: Visit) -> Data:
    """The bodies, or why there are none: with a line in the log."""
    path = f"/traces/{part(visit.path['id'])}"
    return await bodies_at(visit, f"{path}/bodies", path)


RECORDS: Final = Page(f"{ROOT}/requests", "records.html", "Requests", "traces.read", build_list, nav="Requests")
RECORD: Final = Page(f"{ROOT}/requests/{{id}}", "record.html", "Request", "traces.read", build_detail)
RECORD_BODIES: Final = Page(
    f"{ROOT}/requests/{{id}}/bodies", "bodies.html", "Bodies", "traces.read", build_bodies, is_logged=True
)
