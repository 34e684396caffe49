"""``[accounts.prices]``: an operator's own prices, in place of those of the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from modelmux.catalog import Catalog, ModelCard, Price, PriceList
from modelmux.catalog.prices import amount, multiplier, per_search, rates_from_input
from modelmux.config.accounts_entries import BudgetConfig, KeyConfig, LimitConfig, PersonConfig, TeamConfig
from modelmux.config.annotations import doc
from modelmux.config.check import Problem
from modelmux.config.errors import ConfigError
from modelmux.config.values import Seconds, Secret

#: Seconds.
_DAY: Final = 86_400
#: Values of ``accounts.unknown_price`` that name no model.
UNKNOWN_PRICE: Final = ("refuse", "ledger_only")
_MAX_SHOWN: Final = 100
_PER_MILLION: Final = "USD per million tokens"


class PriceConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """The prices of one model: decimal strings or whole numbers, in USD per million tokens."""

    input: Annotated[str | int, doc(f"Input, {_PER_MILLION}; 0 if you pay a fixed fee.", example="4")]
    output: Annotated[str | int | None, doc("Output; 5 times the price of input by default.")] = None
    cache_write: Annotated[
        str | int | None, doc("Written to the cache for 5 minutes; 1.25 times the price of input by default.")
    ] = None
    cache_write_1h: Annotated[
        str | int | None, doc("Written to the cache for an hour; twice the price of input by default.")
    ] = None
    cache_read: Annotated[str | int | None, doc("Read from the cache; a tenth of the price of input by default.")] = (
        None
    )
    web_search: Annotated[str | int, doc("USD per 1,000 web searches.")] = 10
    regional_multiplier: Annotated[
        str | int, doc("Multiplies all prices but those of web searches in every location except global.")
    ] = 1


class AccountsConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Keys, teams, budgets and limits, and the ledger of what requests cost."""

    enabled: Annotated[
        bool, doc("Have them, and write a row of what each request used and cost; `modelmux usage` adds the rows up.")
    ] = False
    store: Annotated[
        str,
        doc(
            "The file of the ledger, after sqlite:; a relative path is in the state directory. For several nodes: the "
            "URL of a PostgreSQL database."
        ),
    ] = "sqlite:accounts.db"
    listen_url: Annotated[
        Secret | None,
        doc(
            "URL of the same PostgreSQL database past PgBouncer: changes of keys are announced there, in addition to a "
            "look each second.",
            example="postgresql://modelmux:PASSWORD@db.example.com/modelmux",
        ),
    ] = None
    require_key: Annotated[
        bool, doc("Require a key even while there is none; once there is a key, requests always need one.")
    ] = False
    peppers: Annotated[
        list[Secret],
        doc("What secrets of keys are hashed with, the newest first; by default a file beside the database."),
    ] = []
    address_header: Annotated[
        str | None,
        doc(
            "Header in which a proxy in front tells the client's address, of which the last one counts; for keys that "
            "are limited to networks.",
            example="x-forwarded-for",
        ),
    ] = None
    retention: Annotated[
        Seconds,
        doc("How long rows are kept, at least a day. The sums that reports read stay for ever."),
        Meta(ge=_DAY),
    ] = Seconds(400 * _DAY)
    wait: Annotated[
        Seconds,
        doc('How long a request waits for its share of a budget with `on_short = "wait"` before it is refused.'),
    ] = Seconds(2.0)
    on_outage: Annotated[
        Literal["closed", "open"],
        doc(
            "Requests of hard budgets in USD while the store does not answer and leases are used up: closed refuses "
            "them, open serves them within outage_allowance."
        ),
    ] = "closed"
    outage_allowance: Annotated[
        str | int,
        doc(
            "What all processes together may hold beyond leases, in USD for each window of a budget, with "
            '`on_outage = "open"`.',
            example="5",
        ),
    ] = "0"
    unknown_price: Annotated[
        str,
        doc(
            "Models without a price: refuse (where a hard budget in USD applies), ledger_only, or like: and a model.",
            example="like:claude-opus-5-5",
        ),
    ] = "refuse"
    webhook: Annotated[
        Secret | None,
        doc(
            "URL that gets a POST of every event, such as a budget that reaches one of its thresholds.",
            example="https://example.com/hook",
        ),
    ] = None
    webhook_secret: Annotated[
        Secret | None,
        doc("Signs what the webhook gets, in the header x-modelmux-signature.", example="a long random text"),
    ] = None
    webhook_networks: Annotated[
        list[str],
        doc(
            "Networks beside the public internet to which webhooks of the admin API may go; http to loopback alone.",
            example=["10.20.0.0/16"],
        ),
    ] = []
    zone: Annotated[str, doc("The time zone in which days and months of usage begin.", example="Europe/Berlin")] = "UTC"
    tags: Annotated[
        list[str],
        doc("Names of the tags by which usage is added up; other tags are in the rows only.", example=["app"]),
    ] = []
    end_user: Annotated[
        Literal["hashed", "plain"],
        doc("How rows name the end user that a client tells: as a keyed hash, or as it was sent."),
    ] = "hashed"
    end_user_headers: Annotated[
        list[str],
        doc(
            "Headers that name the end user, before the fields of the body; none that has a credential.",
            example=["x-openwebui-user-email"],
        ),
    ] = []
    teams: Annotated[list[TeamConfig], doc("Teams that the configuration manages; a parent comes first.")] = []
    people: Annotated[list[PersonConfig], doc("People whom the configuration manages.")] = []
    keys: Annotated[list[KeyConfig], doc("Keys that the configuration manages.")] = []
    budgets: Annotated[list[BudgetConfig], doc("Budgets that the configuration manages.")] = []
    limits: Annotated[list[LimitConfig], doc("Rate limits that the configuration manages.")] = []
    prices: Annotated[
        dict[str, str | PriceConfig],
        doc(
            "Your own prices by model: a table, or the name of a model with the same prices.",
            example={"claude-next": "claude-opus-5-5"},
        ),
    ] = {}


def all_prices(prices: PriceList, accounts: AccountsConfig, catalog: Catalog) -> PriceList:
    """The prices that a configuration asks for: its own, and those that models without a price have.

    :raises ConfigError: see ``add_prices``; or ``accounts.unknown_price`` is none of its values.
    """
    prices = add_prices(prices, accounts.prices, catalog)
    kind, colon, model = accounts.unknown_price.partition(":")
    if not colon and kind in UNKNOWN_PRICE:
        return prices
    if kind != "like" or not colon:
        message = f"{accounts.unknown_price[:_MAX_SHOWN]!r} is none of refuse, ledger_only, like:MODEL"
    elif prices.lists(id := catalog.card(model).id):
        return prices.with_default(id)
    else:
        message = f"the price of {model[:_MAX_SHOWN]!r} is not known"
    hint = 'Name a model that has a price, such as "like:claude-opus-5-5"; `modelmux models` lists them.'
    raise ConfigError([str(Problem(("accounts", "unknown_price"), message))], hint=hint)


def add_prices(prices: PriceList, own: Mapping[str, str | PriceConfig], catalog: Catalog) -> PriceList:
    """The prices with those of ``[accounts.prices]``, which apply on every day.

    A table is taken as it stands: no multiplier applies unless it names one. A string is the name of a model of the
    catalog, all of whose prices and conditions apply.

    :raises ConfigError: naming every value that is not a price, and every model without one.
    """
    problems: list[Problem] = []
    added: list[Price] = []
    for name, entry in own.items():
        card = catalog.card(name)
        if isinstance(entry, str):
            rows = [row for row in prices.prices if row.model == catalog.card(entry).id]
            added += [replace(row, model=card.id) for row in rows]
            if not rows:
                problems.append(Problem(("accounts", "prices", name), f"the price of {entry!r} is not known"))
            continue
        price, price_problems = _price(card, entry)
        problems += [Problem(("accounts", "prices", name, key), message) for key, message in price_problems]
        added += [price] if price is not None else []
    if problems:
        raise ConfigError([str(problem) for problem in problems])
    return prices.with_prices(added) if added else prices


def _price(card: ModelCard, entry: PriceConfig) -> tuple[Price | None, list[tuple[str, str]]]:
    """A table as a price, and the problems with it: pairs of a key and a message."""
    problems: list[tuple[str, str]] = []

    def optional(key: str) -> int | None:
        value = getattr(entry, key)
        return None if value is None else read(key)

    def read(key: str) -> int:
        try:
            return amount(str(getattr(entry, key)))
        except ValueError as error:
            problems.append((key, str(error)))
            return 0

    rates = rates_from_input(
        read("input"),
        output=optional("output"),
        cache_write=optional("cache_write"),
        cache_write_1h=optional("cache_write_1h"),
        cache_read=optional("cache_read"),
        web_search=per_search(read("web_search")),
    )
    try:
        regional = multiplier(str(entry.regional_multiplier))
    except ValueError as error:
        problems.append(("regional_multiplier", str(error)))
        regional = multiplier("1")
    if problems:
        return None, problems
    fast = multiplier("1") if card.fast_mode else None
    source = "accounts.prices"
    return Price(model=card.id, rates=rates, source=source, regional_multiplier=regional, fast_multiplier=fast), []
