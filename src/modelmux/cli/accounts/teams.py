"""``modelmux teams``: teams, and who is in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec.structs import replace

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, save_team, set_member
from modelmux.accounts.find import find_person, find_team
from modelmux.accounts.rates import changed_rates
from modelmux.accounts.records import TEAM, Team
from modelmux.accounts.views import plain, team_view, team_views
from modelmux.cli.accounts.access import Access
from modelmux.cli.accounts.api.open_api import accounts_options
from modelmux.cli.accounts.directory import (
    NONE,
    is_word,
    json_option,
    print_fields,
    print_table,
    refuse_empty,
    with_directory,
)
from modelmux.cli.accounts.rates import rate_options, rates_text, take_rates
from modelmux.cli.lazy_group import CommandGroup
from modelmux.cli.output import print_json, print_lines

F = TypeVar("F", bound=Callable[..., Any])


@click.group(cls=CommandGroup)
def teams() -> None:
    """Create, list and edit teams, and say who is in them."""


def _field_options(command: F) -> F:
    for option in (
        rate_options,
        click.option("--contact", metavar="TEXT", help="Whom its members ask for more, shown in errors; or none."),
        click.option(
            "--zone", metavar="NAME", help="Time zone in which its budgets begin, such as Europe/Berlin; or none."
        ),
        click.option("--parent", metavar="TEAM", help="The team above it: a name, an id or none."),
    ):
        command = option(command)
    return command


@teams.command("create")
@click.argument("name")
@_field_options
@accounts_options
@json_option
def create(name: str, config_path: Path | None, overrides: dict[str, Any], json: bool, **options: str | None) -> None:
    """Create a team. One without a parent is an organisation."""

    refuse_empty(options)
    rates = take_rates(options)

    async def run(access: Access) -> tuple[Directory, Team]:
        new = Team(id=access.ids.id(TEAM), name=name, limits=changed_rates(None, rates))
        directory, edit = await access.change(lambda d: save_team(d, _changed(d, new, options)))
        return directory, edit.teams[0]

    _print(*with_directory(config_path, overrides, run), "created", json=json)


@teams.command("list")
@accounts_options
@json_option
def list_teams(config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """List teams, each below the one that it belongs to."""
    directory = with_directory(config_path, overrides, lambda access: access.read())
    records = sorted(
        directory.teams.values(), key=lambda team: [one.name.lower() for one in directory.team_path(team.id)]
    )
    if json:
        print_json([plain(view) for view in team_views(directory, records)])
        return
    print_table(
        ("ID", "NAME", "STATUS", "MEMBERS", "KEYS"),
        [
            (
                team.id, "/".join(one.name for one in directory.team_path(team.id)), team.status,
                str(len(directory.members_of(team.id))),
                str(sum(key.team == team.id and key.status != "revoked" for key in directory.keys.values())),
            )
            for team in records
        ],
    )  # fmt: skip


@teams.command("show")
@click.argument("team")
@accounts_options
@json_option
def show(team: str, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Show a team by its name or id."""

    async def run(access: Access) -> tuple[Directory, Team]:
        directory = await access.read()
        return directory, find_team(directory, team)

    directory, record = with_directory(config_path, overrides, run)
    if json:
        print_json(plain(team_view(directory, record)))
        return
    people = [f"{directory.people[one.person].email} ({one.role})" for one in directory.members_of(record.id)]
    print_fields([
        ("id", record.id), ("name", " / ".join(one.name for one in directory.team_path(record.id))),
        ("status", record.status), ("zone", record.zone), ("contact", record.contact), ("members", ", ".join(people)),
        ("limits", rates_text(record.limits)),
        ("managed", "by the configuration" if record.managed else None),
    ])  # fmt: skip


@teams.command("edit")
@click.argument("team")
@click.option("--name", help="Its new name.")
@click.option("--enable/--disable", "enabled", default=None, help="Keys of a disabled team are refused.")
@_field_options
@accounts_options
@json_option
def edit(
    team: str, name: str | None, enabled: bool | None, config_path: Path | None, overrides: dict[str, Any], json: bool,
    **options: str | None,
) -> None:  # fmt: skip
    """Change a team. What an option does not name stays as it is."""
    refuse_empty({"name": name, **options})
    if name is None and enabled is None and all(value is None for value in options.values()):
        raise click.UsageError("name what to change, such as --contact ann@example.com")
    rates = take_rates(options)

    async def run(access: Access) -> tuple[Directory, Team]:
        def decide(directory: Directory) -> Edit:
            record = _changed(directory, find_team(directory, team), options)
            record = replace(record, limits=changed_rates(record.limits, rates))
            if name is not None:
                record = replace(record, name=name)
            if enabled is not None:
                record = replace(record, status="active" if enabled else "disabled")
            return save_team(directory, record)

        directory, edit = await access.change(decide)
        return directory, edit.teams[0]

    _print(*with_directory(config_path, overrides, run), "changed", json=json)


@teams.command("add")
@click.argument("team")
@click.argument("person")
@click.option("--admin", is_flag=True, help="The person may manage the team's keys and members.")
@accounts_options
def add(team: str, person: str, admin: bool, config_path: Path | None, overrides: dict[str, Any]) -> None:
    """Make a person a member of a team."""

    async def run(access: Access) -> None:
        role: Any = "team_admin" if admin else "member"
        await access.change(lambda d: set_member(d, find_person(d, person).id, find_team(d, team).id, role))

    with_directory(config_path, overrides, run)
    print_lines("added", [f"{person} to {team}"], "green")


@teams.command("remove")
@click.argument("team")
@click.argument("person")
@accounts_options
def remove(team: str, person: str, config_path: Path | None, overrides: dict[str, Any]) -> None:
    """Let a person leave a team. Keys that the person has in the team stay as they are."""

    async def run(access: Access) -> None:
        await access.change(lambda d: set_member(d, find_person(d, person).id, find_team(d, team).id, None))

    with_directory(config_path, overrides, run)
    print_lines("removed", [f"{person} from {team}"], "green")


def _changed(directory: Directory, team: Team, options: dict[str, str | None]) -> Team:
    given = {name: None if is_word(text, NONE) else text for name, text in options.items() if text is not None}
    if (parent := given.get("parent")) is not None:
        given["parent"] = find_team(directory, parent, "parent").id
    return replace(team, **given)


def _print(directory: Directory, team: Team, what: str, *, json: bool) -> None:
    if json:
        print_json(plain(team_view(directory, team)))
    else:
        print_lines(what, [f"{team.name} ({team.id})"], "green")
