"""``/prices``: what costs are computed with. Operators set theirs in ``[accounts.prices]``, or add them here."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final

from msgspec import Meta, Struct

from modelmux.accounts import fields
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.fields import FieldError
from modelmux.accounts.own_prices import add_price, price_of, with_own_prices
from modelmux.accounts.price_views import PriceView, price_views
from modelmux.accounts.records import OwnPrice
from modelmux.admin.operation import Call, ListParams, Operation, Page, Reply, page_of
from modelmux.admin.writes import change
from modelmux.catalog.models import normalise
from modelmux.store.directory.receipts import Receipt

_Amount = Annotated[str, Meta(max_length=32)]


class PriceParams(ListParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of prices. :param model: only those of one model."""

    model: Annotated[str, Meta(max_length=128)] | None = None


class PriceForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices of a model from a day on: decimals in USD per million tokens. What is left out follows from ``input`` as
    Claude's prices do. They are never changed.

    :param valid_from: the first day, in UTC. :param web_search: of 1,000 searches.
    :param regional_multiplier: anywhere but on ``global``.
    """

    model: Annotated[str, Meta(max_length=128)]
    valid_from: Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    input: _Amount
    output: _Amount | None = None
    cache_write: _Amount | None = None
    cache_write_1h: _Amount | None = None
    cache_read: _Amount | None = None
    web_search: _Amount = "10"
    regional_multiplier: _Amount = "1"


def _day(text: str) -> date:
    """:raises FieldError:"""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise FieldError("valid_from", f"{text!r} is not a day", "expected one such as 2026-12-01") from None


async def list_prices(call: Call) -> Reply:
    params: PriceParams = call.params
    config, directory = call.backend.config, await call.read()
    views = price_views(with_own_prices(config.build_prices(), directory.prices))
    if params.model is not None:
        (name,) = fields.models("model", [params.model])
        card = config.build_catalog().card(name)
        views = [one for one in views if normalise(one.model) == normalise(card.id)]
    return Reply(page_of(views, params, lambda view: view))


async def add(call: Call) -> Reply:
    form: PriceForm = call.body
    (name,) = fields.models("model", [form.model])
    if "*" in name:  # it would be the price of no call, and stay for good
        raise FieldError("model", f"{name!r} is a pattern", "expected the name of one model")
    card = call.backend.config.build_catalog().card(name)
    own = OwnPrice(
        model=card.id, valid_from=_day(form.valid_from), input=form.input, output=form.output,
        cache_write=form.cache_write, cache_write_1h=form.cache_write_1h, cache_read=form.cache_read,
        web_search=form.web_search, regional_multiplier=form.regional_multiplier,
        has_fast_mode=bool(card.fast_mode), created=call.now, created_by=call.principal.name,
    )  # fmt: skip

    def decide(directory: Directory) -> Edit:
        return add_price(directory, own)

    def repeat(_: Directory, receipt: Receipt) -> Edit:
        return Edit(action="", subject=receipt.subject)

    directory, edit, pending = await change(call, decide, repeat)
    views = price_views(with_own_prices(call.backend.config.build_prices(), directory.prices))
    added = price_of(directory.prices[edit.subject])
    view = next(one for one in views if one.own and one.id == f"{added.model}/{added.from_date}")
    return Reply(view, pending=pending)


OPERATIONS: Final = (
    Operation(
        "GET", "/prices", "List the prices of all models, with those of days to come", "prices.read", Page[PriceView],
        list_prices, PriceParams,
    ),
    Operation(
        "POST", "/prices", "Add the prices of a model from a day on", "prices.write", PriceView, add, body=PriceForm,
        status=201,
    ),
)  # fmt: skip
