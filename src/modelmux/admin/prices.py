"""``/prices``: what costs are computed with. Operators set theirs in ``[accounts.prices]``."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from modelmux.accounts import fields
from modelmux.accounts.price_views import PriceView, price_views
from modelmux.admin.operation import Call, ListParams, Operation, Page, Reply, page_of
from modelmux.catalog.models import normalise


class PriceParams(ListParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of prices. :param model: only those of one model."""

    model: Annotated[str, Meta(max_length=128)] | None = None


async def list_prices(call: Call) -> Reply:
    params: PriceParams = call.params
    views = price_views(call.backend.config.build_prices())
    if params.model is not None:
        (name,) = fields.models("model", [params.model])
        card = call.backend.config.build_catalog().card(name)
        views = [one for one in views if normalise(one.model) == normalise(card.id)]
    return Reply(page_of(views, params, lambda view: view))


OPERATIONS: Final = (
    Operation(
        "GET", "/prices", "List the prices of all models, with those of days to come", "prices.read", Page[PriceView],
        list_prices, PriceParams,
    ),
)  # fmt: skip
