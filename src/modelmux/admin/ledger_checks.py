"""``/ledger/verify`` and ``/ledger/rerate``: a part of the ledger at a time, so that each call is short."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from modelmux.accounts.fields import FieldError
from modelmux.accounts.own_prices import with_own_prices
from modelmux.accounts.uuid7 import format_id, parse_id
from modelmux.admin.operation import Call, NoParams, Operation, Reply
from modelmux.admin.writes import once_of, read_instant
from modelmux.store.ledger.base import FIRST, MOST_RETURNED, EntryQuery
from modelmux.store.ledger.rerate_rows import Rerated, rerate_page

#: Days and months of one call.
_MOST_PLACES: Final = 7
#: Seconds after which a call begins no other day or month: clients wait for a minute or so.
_SECONDS: Final = 20.0
_Place = Annotated[str, Meta(max_length=64)] | None
_Day = Annotated[str, Meta(pattern=r"^-?[0-9]{1,18}$")] | None


class VerifyForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param repair: write the sums that differ anew. :param after: ``next`` of the reply before."""

    repair: bool = False
    after: _Day = None


class DifferenceView(Struct, frozen=True, kw_only=True):
    """A sum that is not that of its rows."""

    what: str
    stored: int
    recomputed: int


class VerifyView(Struct, frozen=True, kw_only=True):
    """A part of the sums. :param repaired: they were written anew. :param next: for ``after``; null at the end."""

    differences: list[DifferenceView]
    repaired: bool
    has_more: bool
    next: str | None


class RerateForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    :param since: requests from then on; null for all.
    :param dry_run: say what would be corrected, and write nothing. :param after: ``next`` of the reply before.
    """

    since: str | None = None
    dry_run: bool = False
    after: _Place = None


class RerateView(Struct, frozen=True, kw_only=True):
    """What was corrected in a part of the rows.

    :param models: requests and the difference of their cost. :param unpriced: requests by model, without a price still.
    :param skipped: requests of several models, whose rows do not say which tokens are of which.
    """

    models: list[dict[str, Any]]
    requests: int
    difference: dict[str, str]
    unpriced: dict[str, int]
    skipped: int
    has_more: bool
    next: str | None


async def verify(call: Call) -> Reply:
    form: VerifyForm = call.body
    once_of(call)  # checks the key; the same call again finds nothing to do
    after = FIRST if form.after is None else int(form.after)
    author = call.author if form.repair else None
    clock = call.backend.clock
    end = clock() + _SECONDS
    done = await call.backend.ledger.verify_some(after, _MOST_PLACES, author, call.now, lambda: clock() >= end)
    differences = [
        DifferenceView(what=one.what, stored=one.stored, recomputed=one.recomputed) for one in done.differences
    ]
    next = None if done.next is None else str(done.next)  # noqa: A001 - the name in replies
    repaired = form.repair and bool(differences)
    return Reply(VerifyView(differences=differences, repaired=repaired, has_more=next is not None, next=next))


async def rerate(call: Call) -> Reply:
    form: RerateForm = call.body
    once_of(call)  # as above
    directory, result = await call.read(), Rerated()
    query = EntryQuery(
        start=None if form.since is None else read_instant("since", form.since),
        after=None if form.after is None else _cursor(form.after),
        limit=MOST_RETURNED,
    )
    prices = with_own_prices(call.backend.config.build_prices(), directory.prices)
    by = None if form.dry_run else (call.author, call.now)
    last = await rerate_page(call.backend.ledger, query, prices, directory, result, by)
    next = None if last is None else format_id(last)  # noqa: A001 - the name in replies
    return Reply(RerateView(**result.json(), has_more=next is not None, next=next))


def _cursor(text: str) -> bytes:
    try:
        return parse_id(text)
    except ValueError:
        raise FieldError("after", f"{text[:40]!r} is not a place", "expected next of a reply") from None


OPERATIONS: Final = (
    Operation(
        "POST", "/ledger/verify", "Compare sums with their rows, a week of days at a time, and write them anew",
        "requests.write", VerifyView, verify, NoParams, VerifyForm,
    ),
    Operation(
        "POST", "/ledger/rerate", "Compute costs anew, a thousand rows at a time", "requests.write", RerateView, rerate,
        NoParams, RerateForm,
    ),
)  # fmt: skip
