"""Live: the requests that run, the newest that have ended, and the end of one. The script of the pages has the list
refreshed; without it, the page is loaded again."""

from __future__ import annotations

import contextlib
from typing import Final, get_args

from modelmux.accounts.live_requests import LiveState
from modelmux.accounts.views import time_text
from modelmux.admin.errors import NoSuchRecord
from modelmux.dashboard.page import ROOT, Action, Data, Moved, Page, Visit, part

#: Those of requests that run; of them, those that rows have as well.
FILTERS: Final = ("key", "team", "person", "model", "state", "min_seconds")
_OF_PROCESS: Final = ("model", "state", "min_seconds")
_OF_ROWS: Final = ("key", "team", "person", "model")
#: Of a page: requests that run, and those that have ended.
_LIMIT: Final = "100"
_ENDED: Final = "10"
#: Microseconds before now of which rows are read, so that a filter which few rows match costs no more than they do.
_HOUR: Final = 3_600_000_000
#: Seconds between two looks.
REFRESH: Final = 2


async def build_list(visit: Visit) -> Data:
    running = await visit.read_filtered("/live", FILTERS, _LIMIT)
    ended: Data = {"data": []}
    if running["filter_problem"] is None:
        chosen = {name: running["filters"][name] for name in _OF_ROWS if name in running["filters"]}
        ended = await visit.read("/requests", limit=_ENDED, start=time_text(visit.now - _HOUR) or "", **chosen)
    return _list(visit, running, ended)


async def build_list_of_process(visit: Visit) -> Data:
    """Without accounts: those that have ended are those that have left a record."""
    running = await visit.read_filtered("/live", _OF_PROCESS, _LIMIT)
    ended: Data = {"data": [], "recorded": visit.may("traces.read")}
    if running["filter_problem"] is None and visit.may("traces.read"):
        chosen = {name: running["filters"][name] for name in ("model",) if name in running["filters"]}
        ended = await visit.read("/traces", limit=_ENDED, **chosen)
    return _list(visit, running, ended) | {"recorded": ended["recorded"]}


def _list(visit: Visit, running: Data, ended: Data) -> Data:
    return {
        "running": running["data"],
        "more": running.get("more", 0),
        "missing_workers": running.get("missing_workers", []),
        "ended": ended["data"],
        "filters": running["filters"],
        "filter_problem": running["filter_problem"],
        "states": list(get_args(LiveState)),
        "may_end": visit.may("requests.write"),
        "refresh_seconds": REFRESH,
    }


async def build_detail(visit: Visit) -> Data:
    """One that is over is a page as well: that of a request which was just ended."""
    id = visit.path["id"]
    try:
        request = await visit.read(f"/live/{part(id)}")
    except NoSuchRecord:
        request = None
    return {
        "id": id, "request": request, "may_end": visit.may("requests.write"), "has_accounts": visit.has_accounts,
    }  # fmt: skip


async def end(visit: Visit) -> Moved:
    """What is over already needs no end."""
    path = f"/live/{part(visit.path['id'])}"
    with contextlib.suppress(NoSuchRecord):
        await visit.write(f"{path}/end", {})
    return Moved(ROOT + path)


LIVE: Final = Page(f"{ROOT}/live", "live.html", "Live", "requests.read", build_list, nav="Live")
LIVE_OF_PROCESS: Final = Page(
    f"{ROOT}/live", "live_of_process.html", "Live", "requests.read", build_list_of_process, nav="Live"
)
LIVE_REQUEST: Final = Page(f"{ROOT}/live/{{id}}", "live_request.html", "Running request", "requests.read", build_detail)
ACTIONS: Final = (Action(f"{ROOT}/live/{{id}}/end", "requests.write", end, LIVE_REQUEST),)
