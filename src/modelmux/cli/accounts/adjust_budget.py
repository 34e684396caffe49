"""``modelmux budget top-up`` and ``override``: another limit for a while; and ``keys create --budget``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

import click

from modelmux.accounts.adjustments import ADJUSTMENT, Adjustment
from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.budget_edits import adjust, check_subject
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.fields import MAX_NAME, FieldError
from modelmux.accounts.find import find_budget, find_key, find_person
from modelmux.accounts.records import Key
from modelmux.accounts.views import adjustment_view, plain
from modelmux.accounts.windows import Every, WindowRule
from modelmux.cli.accounts.access import Access
from modelmux.cli.accounts.api.open_api import accounts_options
from modelmux.cli.accounts.directory import instant, json_option, refuse_empty, with_directory
from modelmux.cli.accounts.show_budget import amount_text
from modelmux.cli.output import print_json, print_lines

_SUBJECT_HELP = "Of a budget for each: one key, person or end user; without it, for all of them."
_UNTIL_HELP = "When it ends: 7d, or 2026-12-31; with the window of now by default."
#: Stands in place of the hyphen of an amount below 0, which would be taken for an option.
_MINUS: Final = "\N{MINUS SIGN}"
_BELOW_ZERO: Final = re.compile(r"^-(?=[\d.])")


class _TakesAmountsBelowZero(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [_BELOW_ZERO.sub(_MINUS, one) for one in args])


@click.command("top-up", cls=_TakesAmountsBelowZero)
@click.argument("name")
@click.argument("amount")
@click.option("--subject", metavar="NAME", help=_SUBJECT_HELP)
@click.option("--until", metavar="TIME", help=_UNTIL_HELP)
@click.option("--reason", default="", help="Why, for those who look at it later.")
@accounts_options
@json_option
def top_up(
    name: str, amount: str, subject: str | None, until: str | None, reason: str, config_path: Path | None,
    overrides: dict[str, Any], json: bool,
) -> None:  # fmt: skip
    """Add AMOUNT to the limit of a budget, in the window of now. An amount below 0 takes it away."""
    amount = amount.replace(_MINUS, "-")
    _adjust(name, "top_up", amount, subject, until, reason, config_path, overrides, json=json)


@click.command("override")
@click.argument("name")
@click.argument("limit")
@click.option("--subject", metavar="NAME", help=_SUBJECT_HELP)
@click.option("--until", metavar="TIME", help=_UNTIL_HELP)
@click.option("--reason", default="", help="Why, for those who look at it later.")
@accounts_options
@json_option
def override(
    name: str, limit: str, subject: str | None, until: str | None, reason: str, config_path: Path | None,
    overrides: dict[str, Any], json: bool,
) -> None:  # fmt: skip
    """Let a budget have another LIMIT for a while, whatever was added to it before."""
    _adjust(name, "override", limit, subject, until, reason, config_path, overrides, json=json)


def read_subject(access: Access, directory: Directory, budget: Budget, text: str) -> str:
    """Whose window a name means: an id, or an end user as rows have it. :raises FieldError: there is no such one."""
    match budget.applies_to.each:
        case "key":
            return find_key(directory, text).id
        case "person":
            return find_person(directory, text).id
        case "end_user":
            return access.end_user(text)
    check_subject(directory, budget, text)
    return text


def budget_of_key(text: str, id: str, key: Key) -> Budget:
    """``50/month`` -> a budget in USD of a key, with its name. :raises FieldError:"""
    limit, _, every = text.partition("/")
    window = every.strip().lower() or "month"
    if window not in get_args(Every):
        problem = f"{every[:MAX_NAME]!r} is not a window"
        raise FieldError("budget", problem, f"expected 50/month, or another of {', '.join(get_args(Every))}")
    return Budget(
        id=id, name=key.name, limit=parse_amount("budget", limit, "usd"), applies_to=Selector(key=key.id),
        window=WindowRule(every=cast("Every", window)),
    )  # fmt: skip


def _adjust(
    name: str, kind: Literal["top_up", "override"], amount: str, subject: str | None, until: str | None, reason: str,
    config_path: Path | None, overrides: dict[str, Any], *, json: bool,
) -> None:  # fmt: skip
    refuse_empty({"subject": subject, "until": until})

    async def run(access: Access) -> tuple[Budget, Adjustment]:
        end = None if until is None else instant(until, access.now)
        if until is not None and end is None:
            raise click.BadParameter(
                f"--until {until}: it has to end; `modelmux budget set` changes the limit for good"
            )
        id = access.ids.id(ADJUSTMENT)

        def decide(directory: Directory) -> Edit:
            budget = find_budget(directory, name)
            field = "amount" if kind == "top_up" else "limit"
            return adjust(directory, Adjustment(
                id=id, budget=budget.id, kind=kind, amount=parse_amount(field, amount, budget.unit),
                subject="" if subject is None else read_subject(access, directory, budget, subject),
                reason=reason.strip(), author=access.author.name, created=access.now, until=end,
            ))  # fmt: skip

        directory, edit = await access.change(decide)
        return directory.budgets[edit.subject], edit.adjustments[0]

    budget, adjustment = with_directory(config_path, overrides, run)
    if json:
        print_json(plain(adjustment_view(budget, adjustment)))
    else:
        what = "topped up" if kind == "top_up" else "overridden"
        print_lines(what, [f"{budget.name} ({budget.id}): {amount_text(adjustment.amount, budget.unit)}"], "green")
