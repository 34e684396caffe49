"""``/traces``: the latest requests of this machine as ``modelmux trace`` knows them, also those of no key and those
that called no model. They need no accounts, and are for those who see all.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal, NamedTuple

from msgspec import Meta, Struct

from modelmux.accounts.fields import FieldError
from modelmux.accounts.request_views import Money
from modelmux.accounts.views import time_text
from modelmux.admin.errors import no_record
from modelmux.admin.operation import MAX_LIMIT, Call, Operation, Reply
from modelmux.admin.traces import Bodies
from modelmux.config.keeps_traces import keeps_traces
from modelmux.store.captures.record import Capture
from modelmux.store.captures.views import CaptureView, capture_view
from modelmux.store.file_kinds import has_sqlite
from modelmux.store.traces.prompt_cache import as_json
from modelmux.store.traces.record import Tokens, Trace, TracedRequest, plain_record, record_id
from modelmux.telemetry.records import Outcome

_MS: Final = 1000
_OTHER_NODE: Final = "Check the id. Of several nodes, each has what it served itself: ask the admin API of that one."


class RecordParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which records. :param model: asked for, or called. :param after: ``next`` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 100
    after: Annotated[str, Meta(max_length=20)] = ""
    model: Annotated[str, Meta(max_length=256)] | None = None
    outcome: Outcome | None = None


class RecordView(Struct, frozen=True, kw_only=True):
    """A request that has ended. :param id: ``x-request-id``, of the client if it has sent one.

    :param record: id of this record alone: requests may share the id of a client.

    :param request: id of its row in the ledger; null without accounts. :param key: id of the key, or null.
    :param model: that was called last. :param cost: null where its price is unknown, or nothing was called.
    """

    id: str
    record: str
    at: str | None
    request: str | None
    key: str | None
    dialect: str
    operation: str
    requested_model: str | None
    model: str | None
    attempts: int
    outcome: str
    status: int
    code: str | None
    stream: bool
    tokens: dict[str, int] | None
    cost: Money
    seconds: float
    first_content_seconds: float | None


class RecordListView(Struct, frozen=True, kw_only=True):
    """A page of records, the newest first. :param recorded: whether requests of now leave one."""

    object: Literal["list"] = "list"
    data: list[RecordView]
    has_more: bool
    next: str | None
    recorded: bool


class RecordDetail(Struct, frozen=True, kw_only=True):
    """
    :param request: as ``modelmux trace --json`` has it; times are in milliseconds since it arrived.
    :param prompt: where the prompt stopped being that of the turn before; null for a request without one.
    :param previous_record: id of the record of that turn; null where none is known.
    :param bodies: see ``TraceView``.
    """

    request: dict[str, Any]
    prompt: dict[str, Any] | None
    previous_record: str | None
    bodies: Bodies


async def list_records(call: Call) -> Reply:
    params: RecordParams = call.params
    before = _cursor(params.after)

    def chosen(request: TracedRequest) -> bool:
        models = (request.requested, request.route, *(one.model for one in request.attempts))
        return params.outcome in (None, request.outcome) and (params.model is None or params.model in models)

    directory = call.backend.state_directory
    if directory is None or not has_sqlite():
        return Reply(RecordListView(data=[], has_more=False, next=None, recorded=False))
    from modelmux.store.traces.reader import read_page  # a Python may have been built without SQLite

    page = await asyncio.to_thread(read_page, directory, before, params.limit, call.now, chosen)
    following = None if page.next is None else str(page.next)
    return Reply(
        RecordListView(
            data=[_view(one, number) for one, number in zip(page.requests, page.numbers, strict=True)],
            has_more=following is not None,
            next=following,
            recorded=keeps_traces(call.backend.config),
        )
    )


async def read_record(call: Call) -> Reply:
    """That of an id of a record; else the latest with an id of the client, the gateway, Vertex AI or the trace."""
    found = await asyncio.to_thread(_find, call)
    if found is None:
        raise no_record("record of a request", call.path["id"], hint=_OTHER_NODE)
    captured: Bodies = "gone" if found.trace.request.is_captured else "none"
    return Reply(
        RecordDetail(
            request=plain_record(found.trace.request),
            prompt=as_json(found.trace, found.previous),
            previous_record=None if found.previous_number is None else record_id(found.previous_number),
            bodies=captured if found.capture is None else "kept",
        )
    )


async def read_bodies(call: Call) -> Reply:
    """Whoever reads them leaves a row in the audit log first; without accounts, a line in the log."""
    found = await asyncio.to_thread(_find, call)
    if found is None or found.capture is None:
        raise no_record("captured request", call.path["id"], hint=_OTHER_NODE)
    request = found.capture.request
    id = request.row_id or request.request_id
    shown = {id: {"key": request.key, "person": None, "request_id": request.request_id}}
    await call.backend.directory.note(call.author, call.now, "bodies.read", id, shown)
    return Reply(capture_view(found.capture))


class _Found(NamedTuple):
    """:param previous: the turn before it. :param capture: its bodies, where they are kept."""

    trace: Trace
    previous: Trace | None
    previous_number: int | None
    capture: Capture | None


def _find(call: Call) -> _Found | None:
    """What is known of the request that the path names. :raises StoreFailed:"""
    directory, id = call.backend.state_directory, call.path["id"]
    if directory is None or not has_sqlite():
        return None
    from modelmux.store.captures.reader import read_capture
    from modelmux.store.traces.reader import read_traces

    records = read_traces(directory, id, 1, call.now)
    trace = records.traces[0] if records.traces else None
    at = None if trace is None else trace.request.at
    id = id if trace is None else trace.request.request_id
    capture = read_capture(directory, id, call.backend.config.capture.days, call.now, at)
    if trace is None and capture is not None:  # which is kept longer
        trace = Trace(capture.request)
    return None if trace is None else _Found(trace, records.previous, records.previous_number, capture)


def _cursor(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise FieldError("after", f"{text!r} cannot be one", "expected next of the page before")
    return min(int(text), 2**62)


def _view(one: TracedRequest, number: int) -> RecordView:
    first = one.first_content_ms
    return RecordView(
        id=one.request_id, record=record_id(number), at=time_text(one.at), request=one.row_id, key=one.key,
        dialect=one.dialect,
        operation=one.operation, requested_model=one.requested,
        model=one.attempts[-1].model if one.attempts else None, attempts=one.missing_attempts + len(one.attempts),
        outcome=one.outcome, status=one.status, code=one.code, stream=one.stream, tokens=_tokens(one.tokens),
        cost=Money(amount=one.cost), seconds=one.duration_ms / _MS,
        first_content_seconds=None if first is None else first / _MS,
    )  # fmt: skip


def _tokens(tokens: Tokens | None) -> dict[str, int] | None:
    return None if tokens is None else plain_record(tokens)


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "GET", "/traces", "List the records of the latest requests on this machine, the newest first", "traces.read",
        RecordListView, list_records, RecordParams, without_accounts=True,
    ),
    Operation(
        "GET", "/traces/{id}", "Explain a request of this machine by any of its ids", "traces.read", RecordDetail,
        read_record, without_accounts=True,
    ),
    Operation(
        "GET", "/traces/{id}/bodies",
        "Read the captured bodies of a request of this machine, which leaves a row in the audit log", "traces.read",
        CaptureView, read_bodies, without_accounts=True,
    ),
)  # fmt: skip
