"""``modelmux ledger``: list and show rows, and say what those in doubt did cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.fields import FieldError
from modelmux.admin.resolve import cost_of_form
from modelmux.catalog.prices import usd
from modelmux.cli.accounts.api.open_api import accounts_options
from modelmux.cli.accounts.directory import exit_with_field_error, json_option, print_fields, print_table
from modelmux.cli.lazy_group import CommandGroup
from modelmux.cli.ledger.rows import RowQuery, Rows, with_rows
from modelmux.cli.output import print_json, print_lines
from modelmux.cli.usage.options import (
    Sources,
    Where,
    period_options,
    read_period,
    read_zone_of,
    where_option,
)

_DEFAULT: Final = "30d"
_HEADS: Final = ("ID", "AT", "KIND", "KEY", "KEY-NAME", "MODEL", "OUTCOME", "INPUT", "OUTPUT", "USD")


@click.group(cls=CommandGroup)
def ledger() -> None:
    """List and show rows of the ledger, and resolve those in doubt."""


@ledger.command("list")
@click.option("--in-doubt", is_flag=True, help="Only rows of killed processes for which nothing was decided yet.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@period_options
@where_option("key", "team", "person", "model", "outcome", "end_user")
@accounts_options
@json_option
@click.pass_context
def list_rows(context: click.Context, in_doubt: bool, limit: int, last: str | None, period: str | None, zone: str | None, where: Where, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:  # fmt: skip  # noqa: E501
    """List rows, the newest first, of the last 30 days by default."""
    now = Sources.of(context).now()

    async def run(rows: Rows) -> list[dict[str, Any]]:
        _, clock = read_zone_of(zone or await rows.zone())
        chosen = read_period(last or (None if period else _DEFAULT), period, clock, now)
        assert chosen is not None
        return await rows.listed(RowQuery(period=chosen, where=where, in_doubt=in_doubt, limit=limit))

    shown = with_rows(context, config_path, overrides, run)
    if json:
        print_json(shown)
    else:
        print_table(_HEADS, [_cells(one) for one in shown])


@ledger.command("show")
@click.argument("id")
@accounts_options
@json_option
@click.pass_context
def show(context: click.Context, id: str, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Show a row by its id, and what corrects it."""
    detail = with_rows(context, config_path, overrides, lambda rows: rows.show(id))
    if json:
        print_json(detail)
        return
    fields = [(name.lower(), value) for name, value in zip(_HEADS, _cells(detail), strict=True)]
    fields += [
        ("corrected", f"{one['id']} {one['kind']} {_amount(one)} ({one['reason']})") for one in detail["corrections"]
    ]
    print_fields([*fields, ("total", usd(_total(detail)))])


@ledger.command("resolve")
@click.argument("id")
@click.option("--cost", metavar="AMOUNT", help="What it did cost, in USD.")
@click.option("--void", is_flag=True, help="Nothing was used.")
@click.option("--reason", required=True, help="Why, for those who look at it later.")
@accounts_options
@json_option
@click.pass_context
def resolve(context: click.Context, id: str, cost: str | None, void: bool, reason: str, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:  # fmt: skip  # noqa: E501
    """Say what a row in doubt did cost, or that nothing was used: a row is added that corrects it.

    Budgets and usage follow. The same command again adds nothing.
    """
    try:
        amount = cost_of_form(cost, void=void)
    except FieldError as error:
        exit_with_field_error(error)
    detail = with_rows(context, config_path, overrides, lambda rows: rows.resolve(id, amount, reason))
    if json:
        print_json(detail)
    else:
        what = f"{usd(_total(detail))} USD" if detail["model"] is not None else "its budgets follow"
        print_lines("resolved", [f"{detail['id']}: {what}"], "green")


def _cells(row: dict[str, Any]) -> tuple[str | None, ...]:
    return (
        row["id"], row["at"], row["kind"], row["key"], row["key_name"], row["model"], row["outcome"],
        str(row["tokens"]["input"]), str(row["tokens"]["output"]), _amount(row),
    )  # fmt: skip


def _amount(row: dict[str, Any]) -> str | None:
    amount: str | None = row["cost"]["amount"]
    return amount


def _total(detail: dict[str, Any]) -> int:
    """Nano-USD of a row and its corrections."""
    amounts = (_amount(one) for one in (detail, *detail["corrections"]))
    return sum(parse_amount("cost", amount, "usd") for amount in amounts if amount is not None)
