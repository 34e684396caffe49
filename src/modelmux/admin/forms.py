"""Parts of bodies that several resources have, and how they become those of records."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.budgets import Each, Selector, Unit
from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError
from modelmux.accounts.rates import Rates, changed_rates
from modelmux.accounts.views import WindowForm
from modelmux.accounts.windows import Every, WindowRule
from modelmux.admin.operation import Call
from modelmux.admin.references import named_key, named_person, named_team
from modelmux.admin.writes import changed_fields


class RateForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits a minute, and at once; null takes one away."""

    rpm: int | UnsetType | None = UNSET
    tpm: int | UnsetType | None = UNSET
    itpm: int | UnsetType | None = UNSET
    otpm: int | UnsetType | None = UNSET
    concurrent: int | UnsetType | None = UNSET


class SelectorForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests; null takes a condition away.

    :param key, team, person: ids or names. :param model, route: patterns.
    """

    key: str | UnsetType | None = UNSET
    team: str | UnsetType | None = UNSET
    person: str | UnsetType | None = UNSET
    each: Each | UnsetType | None = UNSET
    model: str | UnsetType | None = UNSET
    route: str | UnsetType | None = UNSET
    tag: str | UnsetType | None = UNSET


class Money(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An amount in USD."""

    amount: str
    currency: str = "USD"


#: An amount as clients write it: a decimal, or what replies have.
Amount = str | int | Money


def rates_after(rates: Rates | None, form: RateForm | UnsetType | None) -> Rates | None:
    """Limits with the changes of a form; null takes all away."""
    if form is UNSET:
        return rates
    return None if form is None else changed_rates(rates, changed_fields(form))


def selector_after(call: Call, directory: Directory, selector: Selector, form: SelectorForm | UnsetType) -> Selector:
    """A selector with the changes of a form. :raises FieldError: ``applies_to.team`` and so on."""
    if form is UNSET:
        return selector
    changes = changed_fields(form)
    for field, named in (("key", named_key), ("team", named_team), ("person", named_person)):
        if field in changes:
            changes[field] = named(call, directory, f"applies_to.{field}", changes[field])
    return replace(selector, **changes)


def amount_of(field: str, amount: Amount, unit: Unit) -> int:
    """:raises FieldError:"""
    if not isinstance(amount, Money):
        return parse_amount(field, amount, unit)
    if unit != "usd" or amount.currency != "USD":
        expected = "expected USD" if unit == "usd" else f"expected a whole number of {unit}"
        raise FieldError(f"{field}.currency", f"{amount.currency[:10]!r} is not counted here", expected)
    return parse_amount(f"{field}.amount", amount.amount, unit)


def window_rule(form: Every | WindowForm) -> WindowRule:
    if not isinstance(form, WindowForm):
        return WindowRule(every=form)
    return WindowRule(every=form.every, **changed_fields(form, leave_out=("every",)))
