"""``/requests/{id}/resolve``: what a request in doubt did cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from modelmux.accounts.entry import Entry
from modelmux.accounts.fields import FieldError
from modelmux.accounts.resolve import resolve
from modelmux.admin.errors import no_record
from modelmux.admin.forms import Amount, amount_of
from modelmux.admin.operation import Call, NoParams, Operation, Reply
from modelmux.admin.requests import RequestDetail, request_at, request_detail
from modelmux.admin.writes import once_of, reused_key
from modelmux.store.directory.receipts import OtherRequest


class ResolveForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either of ``cost`` and ``void``.

    :param cost: what it did cost, in USD. :param void: true if nothing was used.
    :param reason: for those who look at it later.
    """

    reason: str
    cost: Amount | None = None
    void: bool = False


async def resolve_request(call: Call) -> Reply:
    form: ResolveForm = call.body
    directory = await call.read()
    id = await request_at(call, directory)
    cost = cost_of_form(form.cost, void=form.void)

    def decide(entry: Entry, corrections: Sequence[Entry]) -> Entry | None:
        return resolve(directory, entry, corrections, cost, form.reason)

    try:
        written = await call.backend.ledger.correct(id, decide, call.author, call.now, once_of(call))
    except OtherRequest:
        raise reused_key() from None
    if written is None:
        raise no_record("request", call.path["id"])
    return Reply(request_detail(directory, *written))


def cost_of_form(cost: Amount | None, *, void: bool) -> int | None:
    """Nano-USD; None if nothing was used. :raises FieldError: it is not said which, or both are."""
    if (cost is None) != void:
        problem = "both are named" if void else "neither it nor void is named"
        raise FieldError("cost", problem, "expected what it did cost in USD, or void if nothing was used")
    return None if cost is None else amount_of("cost", cost, "usd")


OPERATIONS: Final = (
    Operation(
        "POST", "/requests/{id}/resolve", "Say what a request in doubt did cost, or that nothing was used",
        "requests.write", RequestDetail, resolve_request, NoParams, ResolveForm,
    ),
)  # fmt: skip
