"""The ledger as a FOCUS dataset, versions 1.2 and 1.3: a row per day, key, model and kind of token.

FOCUS is the FinOps Open Cost and Usage Specification. Columns, their allowed values and which may be null are from
https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec: ``specification/columns`` at v1.2 and, for 1.3,
``specification/datasets/cost_and_usage/columns``. All mandatory columns are here, and the conditional ones whose
condition this gateway fulfils. 1.3 adds ``HostProviderName`` and ``ServiceProviderName``; it deprecates
``ProviderName`` and ``PublisherName``, but still requires them.

Days and months are those of UTC, as the specification wants it. Memory holds a bounded number of totals,
and those of the two newest days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final, Literal

from msgspec import Struct

from modelmux.accounts.columns import Column, Kind
from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.entry import Entry
from modelmux.catalog.locations import GLOBAL
from modelmux.catalog.prices import NANO

Version = Literal["1.2", "1.3"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Decimals of a unit price: with those, price x quantity rounds to the cost up to 10^8 tokens a row.
_DECIMALS: Final = 18
#: About 50 MB: a year of 100 keys with a model each.
MOST_TOTALS: Final = 40_000
#: Days that may still get rows: no request takes a day.
_OPEN_DAYS: Final = 2


class Meter(Struct, frozen=True):
    """What is counted and priced. :param counts, cost: fields of ``TokenCounts`` and ``Cost``."""

    name: str
    unit: str
    counts: str
    cost: str


METERS: Final = (
    Meter("Input Tokens", "Tokens", "input", "input"),
    Meter("Cache Write Tokens (5 Minutes)", "Tokens", "cache_write", "cache_write"),
    Meter("Cache Write Tokens (1 Hour)", "Tokens", "cache_write_1h", "cache_write_1h"),
    Meter("Cache Read Tokens", "Tokens", "cache_read", "cache_read"),
    Meter("Output Tokens", "Tokens", "output", "output"),
    Meter("Web Searches", "Searches", "web_searches", "web_search"),
)


class Group(Struct, frozen=True, kw_only=True):
    """What the rows of one total have in common.

    :param is_correction: they correct the cost of others, and count no tokens.
    :param price: id of the price; None if it is unknown.
    """

    day: date
    is_correction: bool
    key: str
    team: str
    model: str | None
    location: str | None
    price: str | None
    is_unpriced: bool
    tags: tuple[tuple[str, str], ...]


class FocusRow(Struct, frozen=True):
    """
    :param cost: nano-USD. :param billing_account: what ``BillingAccountId`` says.
    :param team_name: of today; None where there is none.
    """

    group: Group
    meter: Meter
    quantity: int
    cost: int
    billing_account: str
    team_name: str | None


class DayTotals:
    """Adds up rows of the ledger, which come in the order of their ids: nearly that of time. A row of a long request,
    or of one that was corrected later, may come among those of later days.

    :param tags: names of the tags by which totals are kept apart. :param team_names: id -> name.
    :param most: totals in memory, before the oldest days are returned. The two newest days always stay.
    """

    def __init__(
        self,
        billing_account: str,
        tags: tuple[str, ...] = (),
        most: int = MOST_TOTALS,
        team_names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._billing_account = billing_account
        self._team_names = team_names
        self._tags = frozenset(tags)
        self._most = most
        self._days: dict[date, dict[Group, tuple[TokenCounts, Cost]]] = {}
        self._count = 0

    def add(self, entry: Entry) -> list[FocusRow]:
        """Add a row. :returns: the totals of days that are over, if there are too many in memory."""
        day = (_EPOCH + timedelta(microseconds=entry.at)).date()
        group = Group(
            day=day,
            is_correction=entry.corrects is not None,
            key=entry.key,
            team=entry.team,
            model=entry.model,
            location=entry.location,
            price=entry.price,
            is_unpriced=entry.cost is None,
            tags=tuple(tag for tag in entry.tags if tag[0] in self._tags),
        )
        totals = self._days.setdefault(day, {})
        self._count += group not in totals
        counts, cost = totals.get(group, (TokenCounts(), Cost()))
        totals[group] = (counts + entry.counts, cost + (entry.cost or Cost()))
        rows: list[FocusRow] = []
        while self._count > self._most and len(self._days) > _OPEN_DAYS:
            rows += self._end(min(self._days))
        return rows

    def finish(self) -> list[FocusRow]:
        """The totals so far, by day, which are forgotten."""
        return [row for day in sorted(self._days) for row in self._end(day)]

    def _end(self, day: date) -> list[FocusRow]:
        totals = self._days.pop(day)
        self._count -= len(totals)
        return [*self._rows(totals)]

    def _rows(self, totals: Mapping[Group, tuple[TokenCounts, Cost]]) -> Iterator[FocusRow]:
        for group, (counts, cost) in totals.items():
            team_name = self._team_names.get(_team_id(group))
            for meter in METERS:
                quantity, amount = getattr(counts, meter.counts), getattr(cost, meter.cost)
                if quantity or amount:
                    yield FocusRow(group, meter, quantity, amount, self._billing_account, team_name)


def focus_columns(version: Version) -> tuple[Column, ...]:
    """The columns of a version; those that are not of the specification come last, with the prefix ``x_``."""
    return tuple(column for since, column in _COLUMNS if since <= version)


def unit_price(row: FocusRow) -> str | None:
    """USD for one unit: the average of the row, because prices depend on the size of a prompt, and costs are rounded
    for each request. None for corrections, which have no price of their own."""
    if row.group.is_correction:
        return None
    scaled = round(Fraction(row.cost, row.quantity * NANO) * 10**_DECIMALS) if row.quantity else 0
    whole, rest = divmod(scaled, 10**_DECIMALS)
    return f"{whole}.{rest:0{_DECIMALS}}".rstrip("0").rstrip(".")


def _day(offset: int) -> Callable[[FocusRow], int]:
    return lambda row: _instant(row.group.day + timedelta(offset))


def _month(offset: int) -> Callable[[FocusRow], int]:
    def value(row: FocusRow) -> int:
        first = row.group.day.replace(day=1)
        return _instant((first + timedelta(31)).replace(day=1) if offset else first)

    return value


def _instant(day: date) -> int:
    return (datetime(day.year, day.month, day.day, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def _quantity(row: FocusRow) -> int | None:
    return row.quantity or None if row.group.is_correction else row.quantity


def _consumed(row: FocusRow) -> int | None:
    return None if row.group.is_correction else row.quantity


def _region(row: FocusRow) -> str | None:
    return row.group.location if row.group.location not in (None, "", GLOBAL) else None


def _sku(row: FocusRow) -> str:
    return f"{row.group.model or 'unknown model'}/{row.meter.counts}"


def _price(row: FocusRow) -> str:
    return f"{row.group.price}/{row.meter.counts}" if row.group.price else _sku(row)


def _description(row: FocusRow) -> str:
    correction = "Correction of " if row.group.is_correction else ""
    return f"{correction}{row.group.model or 'unknown model'}: {row.meter.name}"


def _team_id(group: Group) -> str:
    """The id of the team itself, without those above it; empty if there is none."""
    return group.team.rpartition("/")[2]


def _team(row: FocusRow) -> str | None:
    return _team_id(row.group) or None


def _constant(text: str) -> Callable[[FocusRow], str]:
    return lambda _: text


def _column(name: str, kind: Kind, value: Callable[[FocusRow], Any], since: Version = "1.2") -> tuple[Version, Column]:
    return since, Column(name, kind, value)


def _cost(row: FocusRow) -> int:
    return row.cost


_COLUMNS: Final = (
    _column("BilledCost", "money", _cost),
    _column("BillingAccountId", "text", lambda row: row.billing_account),
    _column("BillingAccountName", "text", lambda row: row.billing_account),
    _column("BillingCurrency", "text", _constant("USD")),
    _column("BillingPeriodEnd", "instant", _month(1)),
    _column("BillingPeriodStart", "instant", _month(0)),
    _column("ChargeCategory", "text", lambda row: "Adjustment" if row.group.is_correction else "Usage"),
    # A correction is booked in the period of its request, so it never is one of an earlier period.
    _column("ChargeClass", "text", lambda _: None),
    _column("ChargeDescription", "text", _description),
    _column("ChargeFrequency", "text", _constant("Usage-Based")),
    _column("ChargePeriodEnd", "instant", _day(1)),
    _column("ChargePeriodStart", "instant", _day(0)),
    _column("ConsumedQuantity", "integer", _consumed),
    _column("ConsumedUnit", "text", lambda row: None if row.group.is_correction else row.meter.unit),
    _column("ContractedCost", "money", _cost),
    _column("ContractedUnitPrice", "number", unit_price),
    _column("EffectiveCost", "money", _cost),
    _column("HostProviderName", "text", _constant("Google Cloud"), "1.3"),
    _column("InvoiceIssuerName", "text", _constant("Google Cloud")),
    _column("ListCost", "money", _cost),
    _column("ListUnitPrice", "number", unit_price),
    _column("PricingCategory", "text", _constant("Standard")),
    _column("PricingQuantity", "integer", _quantity),
    _column("PricingUnit", "text", lambda row: None if _quantity(row) is None else row.meter.unit),
    _column("ProviderName", "text", _constant("Google Cloud")),
    _column("PublisherName", "text", _constant("Anthropic")),
    _column("RegionId", "text", _region),
    _column("RegionName", "text", _region),
    _column("ServiceCategory", "text", _constant("AI and Machine Learning")),
    _column("ServiceName", "text", _constant("Vertex AI")),
    _column("ServiceProviderName", "text", _constant("Google Cloud"), "1.3"),
    _column("ServiceSubcategory", "text", _constant("Generative AI")),
    _column("SkuId", "text", _sku),
    _column("SkuMeter", "text", lambda row: row.meter.name),
    _column("SkuPriceId", "text", _price),
    _column("SubAccountId", "text", _team),
    # Not null where the id is not: so of a team without a name, as one that is gone, it is the id.
    _column("SubAccountName", "text", lambda row: row.team_name or _team(row)),
    _column("Tags", "json", lambda row: dict(row.group.tags) or None),
    _column("x_KeyId", "text", lambda row: row.group.key),
    _column("x_Model", "text", lambda row: row.group.model),
    _column("x_PriceUnknown", "boolean", lambda row: row.group.is_unpriced),
    _column("x_TeamPath", "text", lambda row: row.group.team or None),
    _column("x_TokenType", "text", lambda row: row.meter.counts),
)
