"""``modelmux keys``: virtual keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import click
from msgspec.structs import replace

from modelmux.accounts.budget_edits import with_budget
from modelmux.accounts.budget_windows import budgets_of_key
from modelmux.accounts.budgets import BUDGET, Budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, revoke_key, rotate_key, save_key
from modelmux.accounts.find import find_key, find_person, find_team
from modelmux.accounts.rates import changed_rates
from modelmux.accounts.records import KEY, Api, Key
from modelmux.accounts.views import budget_view, key_view, plain, secret_views, time_text, window_view
from modelmux.cli.accounts.access import Access
from modelmux.cli.accounts.adjust_budget import budget_of_key
from modelmux.cli.accounts.api.open_api import accounts_options
from modelmux.cli.accounts.directory import (
    NONE,
    duration,
    instant,
    is_word,
    json_option,
    listed,
    print_fields,
    print_table,
    refuse_empty,
    tag_pairs,
    warn_unmatched,
    with_directory,
)
from modelmux.cli.accounts.rates import rate_options, take_rates
from modelmux.cli.accounts.show_budget import state_text
from modelmux.cli.accounts.show_key import key_fields, status_text
from modelmux.cli.lazy_group import CommandGroup
from modelmux.cli.output import print_json, print_lines

F = TypeVar("F", bound=Callable[..., Any])
_GRACE: Final = "24h"
_ONCE: Final = "the secret on stdout is shown this once; only its hash is kept"


@click.group(cls=CommandGroup)
def keys() -> None:
    """Create, list, edit, rotate and revoke virtual keys."""


def _rights_options(command: F) -> F:
    """What a key may do, and until when."""
    for option in (
        rate_options,
        click.option("--capture/--no-capture", default=None,
                     help="Whether bodies of its requests may be kept, where the gateway keeps any."),
        click.option("--expires", metavar="TIME", help="When it ends: 90d, 2026-12-31, or never."),
        click.option("--tags", metavar="TAGS", help="Tags that all its requests have: app=chat,env=prod; or none."),
        click.option(
            "--addresses", metavar="LIST", help="Networks from which it may be used: 10.0.0.0/8,192.0.2.7; or all."
        ),
        click.option("--apis", metavar="LIST", help=f"APIs that it may use: {', '.join(get_args(Api))}; or all."),
        click.option("--models", metavar="LIST", help="Routes or models that it may use: fast,claude-haiku-*; or all."),
        click.option("--person", metavar="PERSON", help="Whose it is: an e-mail address, an id or none."),
        click.option("--team", metavar="TEAM", help="The team that it belongs to: a name, an id or none."),
    ):  # fmt: skip
        command = option(command)
    return command


@keys.command("create")
@click.option("--name", required=True, help="What people call it.")
@click.option("--budget", metavar="AMOUNT/WINDOW", help="What it may spend: 50/month, in USD; day, week, lifetime, …")
@_rights_options
@accounts_options
@json_option
def create(
    name: str, budget: str | None, capture: bool | None, config_path: Path | None, overrides: dict[str, Any],
    json: bool,
    **options: str | None,
) -> None:  # fmt: skip
    """Create a key. Its secret alone is printed on stdout."""
    refuse_empty({**options, "budget": budget})
    rates = take_rates(options)

    async def run(access: Access) -> tuple[Key, Sequence[Budget], str]:
        issuer = access.issuer()
        id = issuer.id(KEY)
        text, secret = issuer.secret(id)
        base = Key(
            id=id, name=name, created=access.now, created_by=access.author.name, limits=changed_rates(None, rates),
            capture=bool(capture),
        )  # fmt: skip
        its_budget = None if budget is None else budget_of_key(budget, access.ids.id(BUDGET), base)

        def decide(directory: Directory) -> Edit:
            edit = save_key(directory, _changed(directory, base, options, access.now), secret)
            return edit if its_budget is None else with_budget(directory, edit, its_budget)

        _, edit = await access.change(decide)
        warn_unmatched(access.config, edit.keys[0].models)
        return edit.keys[0], edit.budgets, access.text_of(text)

    key, budgets, text = with_directory(config_path, overrides, run)
    if json:
        print_json({**plain(key_view(key)), "budgets": [plain(budget_view(one)) for one in budgets], "secret": text})
        return
    print_lines("created", [f"{key.name} ({key.id})", *(f"budget {one.name} ({one.id})" for one in budgets)], "green")
    end = [f"it expires at {time_text(key.expires)}"] if key.expires is not None else []
    print_lines("note", [*end, _ONCE], "cyan")
    click.echo(text)


@keys.command("list")
@click.option("--team", metavar="TEAM", help="Only those of a team and of the teams below it.")
@click.option("--person", metavar="PERSON", help="Only those of a person.")
@click.option("--all", "show_all", is_flag=True, help="Revoked ones, too.")
@accounts_options
@json_option
def list_keys(
    team: str | None,
    person: str | None,
    show_all: bool,
    config_path: Path | None,
    overrides: dict[str, Any],
    json: bool,
) -> None:
    """List keys. Secrets are not known here; hints tell them apart."""

    async def run(access: Access) -> tuple[Directory, list[Key], int]:
        directory = await access.read()
        return directory, _selected(directory, team, person, show_all=show_all), access.now

    directory, selected, now = with_directory(config_path, overrides, run)
    if json:
        print_json([plain(key_view(key)) for key in selected])
        return
    hints = {secret.key: secret.hint for secret in directory.all_secrets() if secret.valid_until is None}
    print_table(
        ("ID", "NAME", "STATUS", "SECRET", "TEAM", "PERSON", "EXPIRES"),
        [
            (
                key.id, key.name, status_text(key, now), hints.get(key.id),
                directory.teams[key.team].name if key.team else None,
                directory.people[key.person].email if key.person else None,
                time_text(key.expires),
            )
            for key in selected
        ],
    )  # fmt: skip


@keys.command("show")
@click.argument("key")
@accounts_options
@json_option
def show(key: str, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Show a key by its name or id, and what is spent of its budgets."""

    async def run(access: Access) -> None:
        directory = await access.read()
        record = find_key(directory, key)
        budgets = budgets_of_key(directory, record)
        states = zip((one for one, _ in budgets), await access.states_of(directory, budgets), strict=True)
        secrets = await access.secrets_of(directory, record)
        if json:
            ends = [plain(one) for one in secret_views(secrets)]
            shown = [{**plain(budget_view(one)), **plain(window_view(one, state))} for one, (state,) in states]
            print_json({**plain(key_view(record)), "secrets": ends, "budgets": shown})
            return
        zone = await access.zone() if budgets else UTC
        lines = [("budget", f"{one.name}: {state_text(zone, directory, one, state)}") for one, (state,) in states]
        print_fields([*key_fields(directory, record, secrets, access.now), *lines])

    with_directory(config_path, overrides, run)


@keys.command("edit")
@click.argument("key")
@click.option("--name", help="What people call it.")
@click.option("--enable/--disable", "enabled", default=None, help="A disabled key is refused until it is enabled.")
@_rights_options
@accounts_options
@json_option
def edit(
    key: str, name: str | None, enabled: bool | None, capture: bool | None, config_path: Path | None,
    overrides: dict[str, Any], json: bool,
    **options: str | None,
) -> None:  # fmt: skip
    """Change a key. What an option does not name stays as it is."""
    refuse_empty({"name": name, **options})
    if name is None and enabled is None and capture is None and all(value is None for value in options.values()):
        raise click.UsageError("name what to change, such as --models fast")
    rates = take_rates(options)

    async def run(access: Access) -> Key:
        def decide(directory: Directory) -> Edit:
            record = find_key(directory, key)
            record = _changed(directory, record, options, access.now)
            record = replace(record, limits=changed_rates(record.limits, rates))
            if name is not None:
                record = replace(record, name=name)
            if capture is not None:
                record = replace(record, capture=capture)
            if enabled is not None and record.status != "revoked":
                record = replace(record, status="active" if enabled else "disabled")
            return save_key(directory, record)

        _, edit = await access.change(decide)
        if options["models"] is not None:
            warn_unmatched(access.config, edit.keys[0].models)
        return edit.keys[0]

    record = with_directory(config_path, overrides, run)
    if json:
        print_json(plain(key_view(record)))
    else:
        print_lines("changed", [f"{record.name} ({record.id})"], "green")


@keys.command("rotate")
@click.argument("key")
@click.option("--grace", metavar="TIME", default=_GRACE, help="How long the old secret stays valid; 0 ends it now.",
              show_default=True)  # fmt: skip
@accounts_options
@json_option
def rotate(key: str, grace: str, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Give a key another secret, printed alone on stdout. Its id, budgets and usage stay."""
    seconds = duration(grace)

    async def run(access: Access) -> tuple[Key, str]:
        issuer, text = access.issuer(), ""

        def decide(directory: Directory) -> Edit:
            nonlocal text
            record = find_key(directory, key)
            text, secret = issuer.secret(record.id)
            return rotate_key(directory, record.id, secret, round(seconds * 1_000_000))

        directory, change = await access.change(decide)
        return directory.keys[change.subject], access.text_of(text)

    record, text = with_directory(config_path, overrides, run)
    if json:
        print_json({**plain(key_view(record)), "secret": text})
        return
    ends = f"the old secret is valid for {grace} more" if seconds else "the old secret is not valid any more"
    print_lines("rotated", [f"{record.name} ({record.id}); {ends}"], "green")
    print_lines("note", [_ONCE], "cyan")
    click.echo(text)


@keys.command("revoke")
@click.argument("key")
@click.option("--now", is_flag=True, help="End its requests that run, too: their clients get an error.")
@accounts_options
@json_option
def revoke(key: str, now: bool, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """End a key for good. Every worker refuses it within a second; requests that run are ended with --now only."""

    async def run(access: Access) -> Key:
        directory, change = await access.change(
            lambda d: revoke_key(d, find_key(d, key).id, access.now, ends_requests=now)
        )
        return directory.keys[change.subject]

    record = with_directory(config_path, overrides, run)
    if json:
        print_json(plain(key_view(record)))
    else:
        print_lines("revoked", [f"{record.name} ({record.id})"], "green")


def _selected(directory: Directory, team: str | None, person: str | None, *, show_all: bool) -> list[Key]:
    """In the order in which they were text. :raises FieldError: there is no such team or person."""
    selected = [key for key in directory.keys.values() if show_all or key.status != "revoked"]
    if team is not None:
        wanted = find_team(directory, team)
        selected = [key for key in selected if wanted in directory.team_path(key.team)]
    if person is not None:
        owner = find_person(directory, person)
        selected = [key for key in selected if key.person == owner.id]
    return sorted(selected, key=lambda key: key.id)


def _changed(directory: Directory, key: Key, options: dict[str, str | None], now: int) -> Key:
    """A key with what the options say. :raises FieldError: :raises click.BadParameter:"""
    changes: dict[str, Any] = {}
    if (team := options["team"]) is not None:
        changes["team"] = None if is_word(team, NONE) else find_team(directory, team).id
    if (person := options["person"]) is not None:
        changes["person"] = None if is_word(person, NONE) else find_person(directory, person).id
    if (expires := options["expires"]) is not None:
        changes["expires"] = instant(expires, now)
    lists: dict[str, Callable[[str], Any]] = {
        "models": listed, "apis": listed, "addresses": listed, "tags": tag_pairs,
    }  # fmt: skip
    changes |= {name: parse(text) for name, parse in lists.items() if (text := options[name]) is not None}
    return replace(key, **changes)
