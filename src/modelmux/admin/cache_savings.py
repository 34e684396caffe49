"""``/usage/cache-savings``: what the prompt cache saved against plain input, from rollups alone."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from modelmux.accounts.cache_savings import ModelSavings, cache_savings
from modelmux.accounts.own_prices import with_own_prices
from modelmux.accounts.periods import format_instant
from modelmux.accounts.usage_params import read_usage_query
from modelmux.accounts.usage_scope import dimensions, visible
from modelmux.accounts.usage_views import money
from modelmux.admin.ledger_filters import params_of, with_ids
from modelmux.admin.operation import Call, Operation, Reply
from modelmux.config.accounts_check import zone_of

_Text = Annotated[str, Meta(max_length=8_192)] | None


class SavingsParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests. Several values have commas between them.

    :param start, end: a day in UTC, or an instant; the end is not included. The last 30 days by default.
    :param key, team, person: ids or names. :param tag: ``app=chat``.
    """

    start: _Text = None
    end: _Text = None
    key: _Text = None
    team: _Text = None
    person: _Text = None
    model: _Text = None
    tag: _Text = None


class MoneyView(Struct, frozen=True, kw_only=True):
    """:param amount: an exact decimal, negative where writes to the cache cost more than reads saved."""

    amount: str
    currency: str


class ModelSavingsView(Struct, frozen=True, kw_only=True):
    """:param saved: null if no request has a known price. :param unpriced: requests that are left out."""

    model: str | None
    saved: MoneyView | None
    unpriced: int


class SavingsView(Struct, frozen=True, kw_only=True):
    """What reads of the cache would have cost more as plain input, less what writes to it cost above that.

    :param unpriced: requests to these models that are left out, as their price is unknown.
    :param saved: null if that is true of all of them.
    :param models: those that used the cache.
    """

    start: str
    end: str
    saved: MoneyView | None
    unpriced: int
    models: list[ModelSavingsView]


async def read_savings(call: Call) -> Reply:
    config, directory = call.backend.config, await call.read()
    sent = params_of(call.params, SavingsParams.__struct_fields__) | {"bucket": ["1d"], "zone": ["UTC"]}
    query = read_usage_query(sent, dimensions(call.principal), call.now, "UTC", zone_of)
    where = (*with_ids(call, directory, query.where), *visible(directory, call.principal))
    rows = await call.backend.ledger.usage(replace(query, where=where, group_by=("model",)))
    models = await asyncio.to_thread(cache_savings, rows, with_own_prices(config.build_prices(), directory.prices))
    known = [one.saved for one in models if one.saved is not None]
    view = SavingsView(
        start=format_instant(query.start, UTC),
        end=format_instant(query.end, UTC),
        saved=_money(sum(known) if known or not models else None),
        unpriced=sum(one.unpriced for one in models),
        models=[_model(one) for one in models],
    )
    return Reply(view)


def _model(one: ModelSavings) -> ModelSavingsView:
    return ModelSavingsView(model=one.model or None, saved=_money(one.saved), unpriced=one.unpriced)


def _money(nano: int | None) -> MoneyView | None:
    return None if nano is None else MoneyView(**money(nano))


OPERATIONS: Final = (
    Operation(
        "GET", "/usage/cache-savings", "Add up what the prompt cache saved against plain input", "usage.read",
        SavingsView, read_savings, SavingsParams,
    ),
)  # fmt: skip
