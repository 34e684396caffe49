"""``/live``: the requests that run now, of all workers, and the end of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from modelmux.accounts.directory import Directory
from modelmux.accounts.live_requests import EndLive, ListLive, LiveEnd, LiveList, LiveRequest, LiveState, worker_of
from modelmux.accounts.live_views import LiveView, live_view, newest_first
from modelmux.accounts.usage_params import filters, listed
from modelmux.accounts.usage_scope import Where, visible
from modelmux.admin.backend import Answers
from modelmux.admin.errors import WorkerUnavailable, no_record
from modelmux.admin.ledger_filters import params_of, with_ids
from modelmux.admin.operation import MAX_LIMIT, Call, NoParams, Operation, Reply

_Text = Annotated[str, Meta(max_length=8_192)] | None
_FILTERS: Final = ("key", "team", "person", "model")
#: What an audit row tells of the request that was ended.
_AUDITED: Final = ("client_request_id", "request", "key", "team", "person", "model", "seconds")
_MOST_SECONDS: Final = 10**9


class LiveParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests. Several values have commas between them.

    :param key, team, person: ids or names; a team with those below it.
    :param model: that was asked for, or that answers.
    :param min_seconds: those that have run for so long.
    """

    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 100
    key: _Text = None
    team: _Text = None
    person: _Text = None
    model: _Text = None
    state: LiveState | None = None
    min_seconds: Annotated[int, Meta(ge=0, le=_MOST_SECONDS)] = 0


class LiveListView(Struct, frozen=True, kw_only=True):
    """Requests that run, the newest first.

    :param more: how many match besides these.
    :param missing_workers: ids of workers that did not answer in time: what they run is not here.
    """

    object: Literal["list"] = "list"
    data: list[LiveView]
    more: int
    missing_workers: list[str]


class LiveEndView(Struct, frozen=True, kw_only=True):
    """:param ended: false if it had come to its end by itself. :param request: id of its row, where it has one."""

    id: str
    ended: bool
    request: str | None


async def list_live(call: Call) -> Reply:
    params: LiveParams = call.params
    directory = await call.read()
    sent = params_of(params, _FILTERS)
    for name in _FILTERS:
        listed(sent, name)  # refuses an empty one
    where: Where = (*with_ids(call, directory, filters(sent, _FILTERS)), *visible(directory, call.principal))
    question = ListLive(where=where, state=params.state, min_age=float(params.min_seconds), limit=params.limit)
    answers = await call.backend.ask_workers(question)
    lists = _lists(answers)
    chosen = newest_first(one for each in lists for one in each.requests)
    shown = chosen[: params.limit]
    return Reply(
        LiveListView(
            data=[live_view(directory, one, call.now) for one in shown],
            more=sum(each.more for each in lists) + len(chosen) - len(shown),
            missing_workers=[f"{number:04}" for number in answers.missing],
        )
    )


async def read_live(call: Call) -> Reply:
    directory = await call.read()
    return Reply(live_view(directory, await _running(call, directory), call.now))


async def end_live(call: Call) -> Reply:
    """The row of the audit log comes first: nothing is ended without one. Without accounts, it is a line of the log."""
    directory = await call.read()
    view = live_view(directory, await _running(call, directory), call.now)
    audited = {name: getattr(view, name) for name in _AUDITED}
    await call.backend.directory.note(call.author, call.now, "request.end", view.id, {view.id: audited})
    answers = await call.backend.ask_workers(EndLive(id=view.id), worker_of(view.id))
    if answers.missing:
        raise _silent()
    ended = any(isinstance(one, LiveEnd) and one.ended for one in answers.by_worker.values())
    return Reply(LiveEndView(id=view.id, ended=ended, request=view.request))


async def _running(call: Call, directory: Directory) -> LiveRequest:
    """The request that the path names. :raises NoSuchRecord: it is over, or the principal may not see it.
    :raises WorkerUnavailable: its worker does not answer."""
    id = call.path["id"]
    worker = worker_of(id)
    if worker is None:
        raise no_record("running request", id)
    question = ListLive(where=visible(directory, call.principal), id=id, limit=1)
    answers = await call.backend.ask_workers(question, worker)
    if answers.missing:
        raise _silent()
    running = [one for each in _lists(answers) for one in each.requests]
    if not running:
        raise no_record("running request", id)
    return running[0]


def _lists(answers: Answers) -> Iterable[LiveList]:
    return [one for one in answers.by_worker.values() if isinstance(one, LiveList)]


def _silent() -> WorkerUnavailable:
    return WorkerUnavailable("The worker that runs the request does not answer.", hint="Try again shortly.")


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "GET", "/live", "List requests that run, the newest first", "requests.read", LiveListView, list_live,
        LiveParams, without_accounts=True,
    ),
    Operation(
        "GET", "/live/{id}", "Read a request that runs", "requests.read", LiveView, read_live, without_accounts=True
    ),
    Operation(
        "POST", "/live/{id}/end", "End a request that runs; its client gets an error", "requests.write", LiveEndView,
        end_live, NoParams, without_accounts=True,
    ),
)  # fmt: skip
