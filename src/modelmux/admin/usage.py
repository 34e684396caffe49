"""``/usage``: what was used and what it cost, in buckets of time, from rollups alone."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError
from modelmux.accounts.roles import Principal, Scope
from modelmux.accounts.usage_names import NAME_FIELDS, name_of
from modelmux.accounts.usage_pages import read_position
from modelmux.accounts.usage_params import read_usage_query
from modelmux.accounts.usage_query import UsageQuery
from modelmux.accounts.usage_scope import dimensions, visible
from modelmux.admin.ledger_filters import params_of, with_ids
from modelmux.admin.operation import MAX_LIMIT, Call, ListParams, Operation, Reply
from modelmux.config.accounts_check import zone_of
from modelmux.store.ledger.usage_report import Page, usage_report

#: Groups of all buckets of one answer.
MOST_RESULTS: Final = 50_000
#: Groups of ``top``.
MOST_TOP: Final = 10_000
_Text = Annotated[str, Meta(max_length=8_192)] | None


class UsageParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to add up. Several values have commas between them.

    :param start, end: a day, or an instant; the end is not included.
    :param bucket: ``1h``, ``1d``, ``1w``, ``1mo`` or ``all``. :param zone: in which days, weeks and months begin.
    :param group_by: of ``key``, ``team``, ``person``, ``model`` and ``tag:NAME``.
    :param key, team, person: ids or names. :param tag: ``app=chat``.
    :param top: only the groups that cost most in the whole period; each bucket has the sum of the others. 0 for all.
    :param limit: a page of the report: so many groups at most. Without it, and without ``after``, all of it.
    :param after: ``next`` of the page before.
    """

    start: _Text = None
    end: _Text = None
    bucket: _Text = None
    zone: _Text = None
    group_by: _Text = None
    key: _Text = None
    team: _Text = None
    person: _Text = None
    model: _Text = None
    tag: _Text = None
    top: Annotated[int, Meta(ge=0, le=MOST_TOP)] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] | None = None
    after: Annotated[str, Meta(max_length=8_192)] = ""


_FILTERS: Final = tuple(name for name in UsageParams.__struct_fields__ if name not in ("top", "limit", "after"))


async def read_usage(call: Call) -> Reply:
    config, directory = call.backend.config, await call.read()
    sent = params_of(call.params, _FILTERS)
    query = read_usage_query(sent, dimensions(call.principal), call.now, config.accounts.zone, zone_of)
    page = _page(call.params, query)
    where = (*with_ids(call, directory, query.where), *visible(directory, call.principal))
    scope = call.scope(directory)
    body = await usage_report(
        call.backend.ledger, replace(query, where=where, top=call.params.top), zone_of(query.zone),
        own_prices=bool(config.accounts.prices or directory.prices), reported_tags=config.accounts.tags,
        most=MOST_RESULTS, page=page,
        label=lambda name, value: _labels(scope, directory, call.principal, name, value),
    )  # fmt: skip
    return Reply(body)


def _page(params: UsageParams, query: UsageQuery) -> Page | None:
    """Which part of the report is asked for; None for all of it. :raises FieldError:"""
    if params.limit is None and not params.after:
        return None
    if params.top:
        problem = "the groups that cost most are not in pages"
        raise FieldError("top", problem, "expected either it, or limit and after")
    return Page(params.limit or ListParams().limit, read_position(params.after, query.group_by))


def _labels(scope: Scope, directory: Directory, principal: Principal, name: str, value: str | None) -> dict[str, Any]:
    """A group, with its name where the principal may know it. A team is that of the time, with those above it."""
    if name not in NAME_FIELDS:
        return {name: value}
    id = (value or "").rpartition("/")[2]
    shown = {
        NAME_FIELDS[name]: name_of(directory, name, value) if _may_know(scope, directory, principal, name, id) else None
    }
    if name == "team":
        return {"team": id or None, "team_path": value.split("/") if value else [], **shown}
    return {name: value, **shown}


def _may_know(scope: Scope, directory: Directory, principal: Principal, name: str, id: str) -> bool:
    """Whether the principal may know the name of a record."""
    match name:
        case "key":
            key = directory.keys.get(id)
            return key is not None and scope.sees(key)
        case "person":
            person = directory.people.get(id)
            return person is not None and (scope.sees(person) or id == principal.person)
    team = directory.teams.get(id)
    return team is not None and (scope.sees(team) or principal.role == "viewer")


OPERATIONS: Final = (
    Operation(
        "GET", "/usage", "Add up what was used and what it cost, in buckets of time", "usage.read", dict[str, Any],
        read_usage, UsageParams,
    ),
)  # fmt: skip
