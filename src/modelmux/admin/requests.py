"""``/requests``: the rows of the ledger, the newest first."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta

from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import Entry
from modelmux.accounts.fields import FieldError
from modelmux.accounts.request_views import RequestView, request_view
from modelmux.accounts.usage_params import filters, instant, listed
from modelmux.accounts.usage_scope import Where, is_visible, visible
from modelmux.accounts.uuid7 import format_id, parse_id
from modelmux.accounts.views import plain
from modelmux.admin.errors import no_record
from modelmux.admin.ledger_filters import params_of, with_ids
from modelmux.admin.operation import Call, ListParams, Operation, Page, Reply
from modelmux.config.accounts_check import zone_of
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.in_doubt import rows_in_doubt
from modelmux.telemetry.records import Outcome

_Text = Annotated[str, Meta(max_length=8_192)] | None
_FILTERS: Final = ("key", "team", "person", "model", "outcome", "end_user")
_OUTCOMES: Final = get_args(Outcome)
#: Rows that are made in the event loop at most.
FEW: Final = 50


class RowParams(ListParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows. Several values have commas between them.

    :param start, end: a day in ``accounts.zone``, or an instant; the end is not included.
    :param key, team, person: ids or names; a team with those below it.
    :param outcome: ``ok``, ``client_gone`` and so on.
    :param end_user: as rows have it.
    :param min_cost: in USD.
    :param tag: ``app=chat``.
    """

    start: _Text = None
    end: _Text = None
    key: _Text = None
    team: _Text = None
    person: _Text = None
    model: _Text = None
    outcome: _Text = None
    end_user: _Text = None
    min_cost: _Text = None
    tag: _Text = None


class RequestParams(RowParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows. :param in_doubt: only those in doubt for which it was not decided yet what they cost."""

    in_doubt: Literal["true"] | None = None


class RequestDetail(RequestView, frozen=True, kw_only=True):
    """A row, with those that correct it."""

    corrections: list[RequestView]


async def list_requests(call: Call) -> Reply:
    params: RequestParams = call.params
    directory = await call.read()
    query, ledger = entry_query(call, directory, newest_first=True), call.backend.ledger
    page = await (rows_in_doubt(ledger, query) if params.in_doubt else ledger.entries(query))
    if len(page.entries) > FEW:
        rows = await asyncio.to_thread(_views, directory, page.entries)
    else:
        rows = _views(directory, page.entries)
    next = None if page.next is None else format_id(page.next)  # noqa: A001 - the name in replies
    return Reply(Page(data=rows, has_more=next is not None, next=next))


def entry_query(call: Call, directory: Directory, *, newest_first: bool) -> EntryQuery:
    """The question for rows that the parameters ask, as far as the principal sees them. :raises FieldError:"""
    params: RowParams = call.params
    zone = zone_of(call.backend.config.accounts.zone)
    sent = params_of(params, (*_FILTERS, "tag", "start", "end"))
    for name in _FILTERS:
        listed(sent, name)  # refuses an empty one
    for outcome in listed(sent, "outcome"):
        if outcome not in _OUTCOMES:
            raise FieldError("outcome", f"{outcome!r} is not one", f"expected some of {', '.join(_OUTCOMES)}")
    return EntryQuery(
        start=instant(sent, "start", zone),
        end=instant(sent, "end", zone),
        where=_merged((*with_ids(call, directory, filters(sent, _FILTERS)), *visible(directory, call.principal))),
        min_cost=None if params.min_cost is None else parse_amount("min_cost", params.min_cost, "usd"),
        newest_first=newest_first,
        after=_cursor(params.after),
        limit=params.limit,
    )


async def read_request(call: Call) -> Reply:
    directory = await call.read()
    id = await request_at(call, directory)
    rows = await call.backend.ledger.by_id([id])
    corrections = await call.backend.ledger.corrections([id])
    return Reply(request_detail(directory, rows[0], corrections))


async def request_at(call: Call, directory: Directory) -> bytes:
    """The id of the row that the path names. :raises NoSuchRecord: the principal may not see it."""
    text = call.path["id"]
    try:
        id = parse_id(text)
    except ValueError:
        raise no_record("request", text) from None
    rows = await call.backend.ledger.by_id([id])
    if not rows or not is_visible(visible(directory, call.principal), rows[0]):
        raise no_record("request", text)
    return id


def request_detail(directory: Directory, entry: Entry, corrections: list[Entry]) -> RequestDetail:
    """A row with its corrections."""
    return RequestDetail(**plain(request_view(directory, entry)), corrections=_views(directory, corrections))


def _views(directory: Directory, entries: list[Entry]) -> list[RequestView]:
    return [request_view(directory, entry) for entry in entries]


def _merged(where: Where) -> Where:
    """One key is looked up by an index, so a filter of it comes first."""
    return tuple(sorted(where, key=lambda one: one[0] != "key" or len(one[1]) != 1))


def _cursor(text: str) -> bytes | None:
    if not text:
        return None
    try:
        return parse_id(text)
    except ValueError:
        raise FieldError("after", f"{text[:40]!r} is not a place in this list", "expected next of a page") from None


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "GET", "/requests", "List requests, the newest first", "requests.read", Page[RequestView], list_requests,
        RequestParams,
    ),
    Operation(
        "GET", "/requests/{id}", "Read a request, and what corrects it", "requests.read", RequestDetail, read_request
    ),
)  # fmt: skip
