"""``modelmux limits``: how fast selected requests may come."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click
from msgspec.structs import replace

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.find import find_limit
from modelmux.accounts.limit_edits import save_limit, set_limit_status
from modelmux.accounts.rates import LIMIT, Limit, Rates, changed_rates
from modelmux.accounts.views import limit_view, plain
from modelmux.cli.accounts.access import Access
from modelmux.cli.accounts.api.open_api import accounts_options
from modelmux.cli.accounts.directory import json_option, print_table, refuse_empty, with_directory
from modelmux.cli.accounts.rates import rate_options, rates_text, take_rates
from modelmux.cli.accounts.selectors import (
    CONDITIONS,
    changed_selector,
    selector_options,
    warn_unmatched_selector,
)
from modelmux.cli.accounts.show_budget import selector_text
from modelmux.cli.lazy_group import CommandGroup
from modelmux.cli.output import print_json, print_lines


@click.group(cls=CommandGroup)
def limits() -> None:
    """Set, list, enable and disable rate limits. Keys, teams and people have limits of their own."""


@limits.command("set")
@click.argument("name")
@rate_options
@selector_options
@accounts_options
@json_option
def set_limit(name: str, config_path: Path | None, overrides: dict[str, Any], json: bool, **options: Any) -> None:
    """Create the limit NAME, or change what is named of it. An empty value clears a condition: --team ""."""
    rates = take_rates(options)

    async def run(access: Access) -> tuple[Limit, str]:
        new = Limit(id=access.ids.id(LIMIT), name=name, limits=Rates())

        def decide(directory: Directory) -> Edit:
            known = _known(directory, name)
            if known is None:
                refuse_empty({field: options[field] for field in CONDITIONS})
            record = known or new
            record = replace(record, applies_to=changed_selector(directory, record.applies_to, options))
            return save_limit(directory, replace(record, limits=changed_rates(record.limits, rates) or Rates()))

        directory, edit = await access.change(decide)
        record = directory.limits[edit.subject]
        warn_unmatched_selector(access.config, record.applies_to)
        return record, "unchanged" if edit.is_empty else {"create": "created"}.get(edit.action[6:], "changed")

    _print(*with_directory(config_path, overrides, run), json=json)


@limits.command("list")
@accounts_options
@json_option
def list_limits(config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """List limits. Those of keys, teams and people are shown with these."""
    directory = with_directory(config_path, overrides, lambda access: access.read())
    records = sorted(directory.limits.values(), key=lambda one: one.name.lower())
    if json:
        print_json([plain(limit_view(record)) for record in records])
        return
    print_table(
        ("ID", "NAME", "STATUS", "APPLIES-TO", "LIMITS"),
        [
            (one.id, one.name, one.status, selector_text(directory, one.applies_to), rates_text(one.limits))
            for one in records
        ],
    )


@limits.command("enable")
@click.argument("name")
@accounts_options
@json_option
def enable(name: str, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Let a limit apply again."""
    _set_status(name, "active", config_path, overrides, json=json)


@limits.command("disable")
@click.argument("name")
@accounts_options
@json_option
def disable(name: str, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Let a limit apply to nothing until it is enabled."""
    _set_status(name, "disabled", config_path, overrides, json=json)


def _set_status(
    name: str, status: Literal["active", "disabled"], config_path: Path | None, overrides: dict[str, Any], *, json: bool
) -> None:
    async def run(access: Access) -> Limit:
        directory, edit = await access.change(lambda d: set_limit_status(d, find_limit(d, name).id, status))
        return directory.limits[edit.subject]

    _print(with_directory(config_path, overrides, run), "enabled" if status == "active" else "disabled", json=json)


def _known(directory: Directory, name: str) -> Limit | None:
    wanted = name.strip()
    by_name = (one for one in directory.limits.values() if one.name.lower() == wanted.lower())
    return directory.limits.get(wanted) or next(by_name, None)


def _print(record: Limit, what: str, *, json: bool) -> None:
    if json:
        print_json(plain(limit_view(record)))
    else:
        print_lines(what, [f"{record.name} ({record.id})"], "green")
