"""The ledger beside Google's own bill: charges of a billing export in FOCUS format, by day (of UTC) and model.

The export (https://cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/focus-export) has no id of a model.
Which model a charge is of, is read from the text that Google gives its SKU, such as ``Claude Opus 4.6 Input Tokens``:
of the columns of ``_TEXTS``, the first one that names a Claude model counts. Google's FOCUS view of March 2024 fills
``ChargeDescription`` with the description of the SKU, and ``BilledCost`` with the cost after credits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

from msgspec import Struct

from modelmux.accounts.periods import day_of
from modelmux.accounts.usage_query import UsageRow
from modelmux.catalog.prices import NANO

#: Where the name of a model may be.
_TEXTS: Final = ("ChargeDescription", "SkuMeter", "x_SkuDescription", "ServiceName", "ResourceName")
#: Columns without which a file cannot be compared.
NEEDED: Final = ("BilledCost", "ChargePeriodStart")
_NUMBER: Final = r"(?P<{}>[0-9]{{1,2}}(?:[.\-][0-9]{{1,2}})?)(?![0-9])"
_MODEL: Final = re.compile(
    rf"claude[\s\-]+(?:{_NUMBER.format('before')}[\s\-]+)?(?P<family>[a-z]+)(?:[\s\-]+v?{_NUMBER.format('after')})?",
    re.IGNORECASE,
)
_CLAUDE: Final = re.compile(r"claude|anthropic", re.IGNORECASE)
_HUNDRED: Final = 100
#: Before and behind the point. An amount is computed exactly, so an exponent of nine digits would take hours.
_MOST_DIGITS: Final = 100
#: Names of services and texts that an answer has at most.
_MOST_NAMES: Final = 1_000


class BadCharge(ValueError):
    """A row that cannot be read. :param column: its column."""

    def __init__(self, column: str, value: object, expected: str) -> None:
        super().__init__(f"{column}: {str(value)[:40]!r} is not {expected}")


class Charge(Struct, frozen=True, kw_only=True):
    """A row of the export.

    :param category: ``usage``, ``tax`` and so on.
    :param text: which names its model, or what there is instead. :param model: see ``model_name``.
    :param list_cost: USD; None if the export does not say. :param billed_cost: USD, after credits.
    :param currency: if its costs are not in USD, and no rate is there.
    """

    day: date
    category: str
    service: str
    text: str
    model: str | None
    list_cost: Fraction | None
    billed_cost: Fraction
    currency: str | None = None


class Compared(Struct, frozen=True, kw_only=True):
    """A day and model, in nano-USD. :param list: None if the export has no list cost."""

    day: date | None
    model: str | None
    ours: int
    list: int | None
    billed: int
    unpriced: int = 0

    @property
    def difference(self) -> int:
        """What they have in addition: at list price, if the export has that."""
        return (self.billed if self.list is None else self.list) - self.ours

    @property
    def percent(self) -> float | None:
        """The difference in percent of ours; None where ours is nothing."""
        return None if self.ours == 0 else round(self.difference * _HUNDRED / self.ours, 4)


class Named(Struct, frozen=True, kw_only=True):
    """Charges with the same text, and what they were billed at, in nano-USD."""

    name: str
    rows: int
    billed: int
    model: str | None = None


class Reconciliation(Struct, frozen=True, kw_only=True):
    """
    :param rows: by day and model. :param total: of all of them.
    :param skus: texts by which charges were matched, with the models that they were taken for.
    :param unmatched: texts that name Claude, but no model that can be read.
    :param other: services of charges that are not for Claude.
    :param not_usage: taxes, adjustments and credits, by category, whatever they are for.
    :param currencies: of charges that are not compared, as they are not in USD and no rate is there.
    :param outside: rows of other days.
    """

    rows: Sequence[Compared]
    total: Compared
    skus: Sequence[Named]
    unmatched: Sequence[Named]
    other: Sequence[Named]
    not_usage: Sequence[Named]
    currencies: Sequence[Named]
    outside: int


def model_name(text: str) -> str | None:
    """The model that a text names, in one spelling for a SKU's description and for a Vertex id: ``opus 4.6``.

    None if it names none, or no version.
    """
    for match in _MODEL.finditer(text):
        version = match["after"] or match["before"]
        if version is not None:
            return f"{match['family'].lower()} {version.replace('-', '.').removesuffix('.0')}"
    return None


def read_charge(row: Mapping[str, Any]) -> Charge:
    """A row of the export: text from a CSV file, or values of their types.

    :raises BadCharge: a value cannot be read.
    """
    texts = [str(row[name]) for name in _TEXTS if row.get(name)]
    models = ((text, model_name(text)) for text in texts)
    text, model = next((one for one in models if one[1] is not None), ("", None))
    if not text:
        text = next((one for one in texts if _CLAUDE.search(one)), texts[0] if texts else "")
    elif text != texts[0]:
        text = f"{text}: {texts[0]}"
    currency = str(row.get("BillingCurrency") or "USD").strip().upper()
    rate = _rate(row) if currency != "USD" else Fraction(1)
    return Charge(
        day=_day(row.get("ChargePeriodStart")),
        category=str(row.get("ChargeCategory") or "usage").strip().lower(),
        service=str(row.get("ServiceName") or "unknown service"),
        text=text,
        model=model,
        list_cost=_amount("ListCost", row.get("ListCost"), rate) if _has(row.get("ListCost")) else None,
        billed_cost=_amount("BilledCost", row.get("BilledCost"), rate),
        currency=currency if rate is None else None,
    )


class _Sums:
    def __init__(self) -> None:
        self.rows = 0
        self.list: Fraction | None = Fraction()
        self.billed = Fraction()
        self.model: str | None = None

    def add(self, charge: Charge) -> None:
        self.rows += 1
        self.billed += charge.billed_cost
        self.list = None if self.list is None or charge.list_cost is None else self.list + charge.list_cost
        self.model = charge.model


class Reconciler:
    """Adds up charges. Memory holds days and models, and a bounded number of names.

    :param start, end: days; the end is not included. None for those of the charges.
    """

    def __init__(self, start: date | None = None, end: date | None = None) -> None:
        self._start, self._end = start, end
        self._by_model: dict[tuple[date, str], _Sums] = {}
        self._named: dict[str, dict[str, _Sums]] = {}
        self._outside = 0
        self.first: date | None = None
        self.last: date | None = None

    def add(self, charge: Charge) -> None:
        if (self._start and charge.day < self._start) or (self._end and charge.day >= self._end):
            self._outside += 1
            return
        self.first = charge.day if self.first is None else min(self.first, charge.day)
        self.last = charge.day if self.last is None else max(self.last, charge.day)
        if charge.currency is not None:
            self._name("currencies", charge.currency, charge)
        elif charge.category != "usage":
            self._name("not_usage", charge.category, charge)
        elif charge.model is not None:
            self._by_model.setdefault((charge.day, charge.model), _Sums()).add(charge)
            self._name("skus", charge.text, charge)
        elif _CLAUDE.search(charge.text):
            self._name("unmatched", charge.text, charge)
        else:
            self._name("other", charge.service, charge)

    def compare(self, usage: Iterable[UsageRow]) -> Reconciliation:
        """:param usage: ours, by day of UTC and model. Costs of models that have no name here are in None."""
        ours: dict[tuple[date, str | None], list[int]] = {}
        for row in usage:
            (id,) = row.group
            sums = ours.setdefault((day_of(row.start), None if id is None else model_name(id) or id), [0, 0])
            sums[0] += row.cost.total
            sums[1] += row.unpriced
        keys = sorted({*ours, *self._by_model}, key=lambda key: (key[0], key[1] or ""))
        rows = [_compared(*key, ours.get(key, [0, 0]), self._by_model.get(key)) for key in keys]  # type: ignore[arg-type]
        rows = [one for one in rows if one.ours or one.list or one.billed or one.unpriced]
        lists = [one.list for one in rows if one.list is not None]
        total = Compared(
            day=None, model=None, ours=sum(one.ours for one in rows),
            list=sum(lists) if len(lists) == len(rows) else None, billed=sum(one.billed for one in rows),
            unpriced=sum(one.unpriced for one in rows),
        )  # fmt: skip
        return Reconciliation(
            rows=rows, total=total, outside=self._outside,
            **{name: self._listed(name) for name in ("skus", "unmatched", "other", "not_usage", "currencies")},
        )  # fmt: skip

    def _name(self, kind: str, name: str, charge: Charge) -> None:
        names = self._named.setdefault(kind, {})
        if name not in names and len(names) >= _MOST_NAMES:
            name = "others"
        names.setdefault(name, _Sums()).add(charge)

    def _listed(self, kind: str) -> list[Named]:
        named = [
            Named(name=name, rows=sums.rows, billed=_nano(sums.billed), model=sums.model)
            for name, sums in self._named.get(kind, {}).items()
        ]
        return sorted(named, key=lambda one: (-one.billed, one.name))


def _compared(day: date, model: str | None, ours: Sequence[int], theirs: _Sums | None) -> Compared:
    return Compared(
        day=day, model=model, ours=ours[0], unpriced=ours[1],
        list=0 if theirs is None else None if theirs.list is None else _nano(theirs.list),
        billed=0 if theirs is None else _nano(theirs.billed),
    )  # fmt: skip


def _nano(usd: Fraction) -> int:
    return round(usd * NANO)


def _has(value: object) -> bool:
    return value is not None and str(value).strip() != ""


def _amount(column: str, value: object, rate: Fraction | None) -> Fraction:
    """In USD; as it is, without a rate."""
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if not (number.is_finite() and -_MOST_DIGITS < number.adjusted() < _MOST_DIGITS):
        raise BadCharge(column, value, "an amount")
    return Fraction(number) if rate is None else Fraction(number) / rate


def _rate(row: Mapping[str, Any]) -> Fraction | None:
    """How much of the currency a USD was."""
    value = row.get("x_CurrencyConversionRate")
    if not _has(value):
        return None
    rate = _amount("x_CurrencyConversionRate", value, None)
    return rate if rate > 0 else None


def _day(value: object) -> date:
    """The day in UTC of RFC 3339, of BigQuery's ``2026-11-01 00:00:00 UTC``, or of a value of its type.

    A day follows it: it is not the last one that there is.
    """
    try:
        at = value if isinstance(value, datetime) else _parsed(str(value).strip())
        day = at.replace(tzinfo=UTC).date() if at.tzinfo is None else at.astimezone(UTC).date()
    except (ValueError, OverflowError):
        day = date.max
    if day == date.max:
        raise BadCharge("ChargePeriodStart", value, "a time")
    return day


def _parsed(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix(" UTC"))
