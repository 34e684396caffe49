"""``modelmux budget``: what keys, teams, people and end users may spend."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

import click
from msgspec.structs import replace

from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.budget_edits import save_budget, set_budget_status
from modelmux.accounts.budget_windows import WindowState, usable_zone_of_budget
from modelmux.accounts.budgets import BUDGET, Budget, OnShort, Reserve, Unit
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.find import find_budget
from modelmux.accounts.periods import format_instant
from modelmux.accounts.views import adjustment_view, budget_view, plain, window_view
from modelmux.accounts.windows import Every, Weekday, WindowRule
from modelmux.cli.accounts.access import Access
from modelmux.cli.accounts.adjust_budget import override, read_subject, top_up
from modelmux.cli.accounts.api.open_api import accounts_options
from modelmux.cli.accounts.directory import (
    json_option,
    listed,
    print_fields,
    print_table,
    refuse_empty,
    with_directory,
)
from modelmux.cli.accounts.selectors import CONDITIONS, changed_selector, selector_options, warn_unmatched_selector
from modelmux.cli.accounts.show_budget import (
    amount_text,
    budget_fields,
    selector_text,
    window_text,
)
from modelmux.cli.lazy_group import CommandGroup
from modelmux.cli.output import print_json, print_lines

F = TypeVar("F", bound=Callable[..., Any])
#: Windows that `list` reads of a budget for each; of `show` they are the hundred that have spent most.
_LISTED: Final = 10


@click.group(cls=CommandGroup)
def budget() -> None:
    """Set, list, show, raise, enable and disable budgets."""


budget.add_command(top_up)
budget.add_command(override)


def _fields(command: F) -> F:
    for option in (
        click.option("--metric/--no-metric", "metric", default=None, help="Whether /metrics shows it."),
        click.option("--reserve", type=click.Choice(get_args(Reserve)), help="What a request holds while it runs: its worst case (the default), or what it is expected to cost."),  # noqa: E501
        click.option("--on-short", type=click.Choice(get_args(OnShort)), help="A request that does not fit: refuse it (the default), wait, or clamp its max_tokens."),  # noqa: E501
        click.option("--alerts", metavar="LIST", help="Percentages of the limit at which you are told: 50,80,100."),
        click.option("--soft/--hard", "soft", default=None, help="A soft budget is counted, and refuses nothing."),
        click.option("--unit", type=click.Choice(get_args(Unit)), help="What is counted; usd by default."),
        click.option("--hour", type=click.IntRange(0, 23), help="The hour at which days, weeks and so on begin."),
        click.option("--starts", type=click.Choice(get_args(Weekday)), help="The day on which weeks begin; monday by default."),  # noqa: E501
        click.option("--zone", metavar="NAME", help="Time zone of its windows; that of the team or of accounts.zone by default."),  # noqa: E501
        click.option("--per", type=click.Choice(get_args(Every)), help="How long a window lasts; month by default."),
        click.option("--limit", metavar="AMOUNT", help="How much: 50, or 0.25; whole numbers of tokens and requests."),
    ):  # fmt: skip
        command = option(command)
    return command


@budget.command("set")
@click.argument("name")
@_fields
@selector_options
@accounts_options
@json_option
def set_budget(name: str, config_path: Path | None, overrides: dict[str, Any], json: bool, **options: Any) -> None:
    """Create the budget NAME, or change what is named of it. An empty value clears a condition: --team ""."""

    async def run(access: Access) -> tuple[Budget, str]:
        new = Budget(id=access.ids.id(BUDGET), name=name, limit=0, window=WindowRule(every="month"))

        def decide(directory: Directory) -> Edit:
            known = _known(directory, name)
            if known is None:
                if options["limit"] is None:
                    raise click.UsageError(f"there is no budget {name!r} yet; say how much with --limit 50")
                refuse_empty({field: options[field] for field in (*CONDITIONS, "zone")})
            return save_budget(directory, _changed(directory, known or new, options))

        directory, edit = await access.change(decide)
        record = directory.budgets[edit.subject]
        warn_unmatched_selector(access.config, record.applies_to)
        return record, "unchanged" if edit.is_empty else {"create": "created"}.get(edit.action[7:], "changed")

    _print(*with_directory(config_path, overrides, run), json=json)


@budget.command("list")
@accounts_options
@json_option
def list_budgets(config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """List budgets, with what their windows of now have spent."""

    async def run(access: Access) -> tuple[Directory, list[tuple[Budget, list[WindowState]]], tzinfo]:
        directory = await access.read()
        records = sorted(directory.budgets.values(), key=lambda one: one.name.lower())
        states = await access.states_of(directory, ((one, None) for one in records), _LISTED)
        return directory, list(zip(records, states, strict=True)), UTC if json else await access.zone()

    directory, rows, zone = with_directory(config_path, overrides, run)
    if json:
        print_json([
            {**plain(budget_view(record)), "windows": [plain(window_view(record, one)) for one in states]}
            for record, states in rows
        ])  # fmt: skip
        return
    print_table(
        ("ID", "NAME", "STATUS", "APPLIES-TO", "WINDOW", "SPENT", "LIMIT", "UNIT", "MODE", "RESETS"),
        [_row(directory, zone, record, states) for record, states in rows],
    )


@budget.command("show")
@click.argument("name")
@click.option("--subject", metavar="NAME", help="Of a budget for each: one key, person or end user.")
@accounts_options
@json_option
def show(name: str, subject: str | None, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Show a budget by its name or id, what is spent of it, and when it begins anew."""

    async def run(access: Access) -> None:
        directory = await access.read()
        record = find_budget(directory, name)
        whose = None if subject is None else read_subject(access, directory, record, subject)
        (states,) = await access.states_of(directory, [(record, whose)])
        adjustments = await access.adjustments_of(directory, record)
        if json:
            print_json({
                **plain(budget_view(record)),
                "windows": [plain(window_view(record, state)) for state in states],
                "adjustments": [plain(adjustment_view(record, one)) for one in adjustments],
            })  # fmt: skip
        else:
            print_fields(budget_fields(await access.zone(), directory, record, states, adjustments))

    with_directory(config_path, overrides, run)


@budget.command("enable")
@click.argument("name")
@accounts_options
@json_option
def enable(name: str, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Let a budget apply again. What was spent meanwhile is not counted."""
    _set_status(name, "active", config_path, overrides, json=json)


@budget.command("disable")
@click.argument("name")
@accounts_options
@json_option
def disable(name: str, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Let a budget apply to nothing until it is enabled. Budgets are never deleted."""
    _set_status(name, "disabled", config_path, overrides, json=json)


def _set_status(
    name: str, status: Literal["active", "disabled"], config_path: Path | None, overrides: dict[str, Any], *, json: bool
) -> None:
    async def run(access: Access) -> Budget:
        directory, edit = await access.change(lambda d: set_budget_status(d, find_budget(d, name).id, status))
        return directory.budgets[edit.subject]

    _print(with_directory(config_path, overrides, run), "enabled" if status == "active" else "disabled", json=json)


def _known(directory: Directory, name: str) -> Budget | None:
    wanted = name.strip()
    by_name = (one for one in directory.budgets.values() if one.name.lower() == wanted.lower())
    return directory.budgets.get(wanted) or next(by_name, None)


def _changed(directory: Directory, record: Budget, options: dict[str, Any]) -> Budget:
    """A budget with what the options say. :raises FieldError: :raises click.BadParameter:"""
    changes: dict[str, Any] = {
        field: options[field] for field in ("unit", "on_short", "reserve", "metric") if options[field] is not None
    }
    if options["limit"] is not None:
        changes["limit"] = parse_amount("limit", options["limit"], changes.get("unit", record.unit))
    if options["soft"] is not None:
        changes["mode"] = "soft" if options["soft"] else "hard"
    if options["alerts"] is not None:
        changes["alerts"] = _percents(options["alerts"])
    changes["applies_to"] = changed_selector(directory, record.applies_to, options)
    changes["window"] = _window(record.window, options)
    return replace(record, **changes)


def _window(rule: WindowRule, options: dict[str, Any]) -> WindowRule:
    """Of another kind of window, what it does not look at is dropped."""
    every = options["per"] or rule.every
    if every in ("hour", "lifetime"):
        rule = WindowRule(every=every)
    rule = replace(rule, every=every, starts=rule.starts if every == "week" else "monday")
    changes = {field: options[field] for field in ("starts", "hour") if options[field] is not None}
    if options["zone"] is not None:
        changes["zone"] = options["zone"].strip() or None
    return replace(rule, **changes)


def _percents(text: str) -> tuple[int, ...]:
    """``50,80%`` -> 50, 80. :raises click.BadParameter:"""
    try:
        return tuple(int(part.removesuffix("%")) for part in listed(text) or ())
    except ValueError:
        raise click.BadParameter(f"--alerts: {text!r} is not a list of percentages such as 50,80,100") from None


def _row(directory: Directory, zone: tzinfo, record: Budget, states: list[WindowState]) -> tuple[str | None, ...]:
    """:param zone: of windows that name none."""
    one = states[0] if record.applies_to.each is None else None
    end = None if one is None else one.window.end
    return (
        record.id, record.name, record.status, selector_text(directory, record.applies_to), window_text(record.window),
        amount_text(one.spent, record.unit) if one else None,
        amount_text(one.limit if one else record.limit, record.unit), record.unit, record.mode,
        None if end is None else format_instant(end, usable_zone_of_budget(directory, record, zone)),
    )  # fmt: skip


def _print(record: Budget, what: str, *, json: bool) -> None:
    if json:
        print_json(plain(budget_view(record)))
    else:
        print_lines(what, [f"{record.name} ({record.id})"], "green")
