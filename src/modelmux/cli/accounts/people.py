"""``modelmux people``: the people whom keys and usage belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, save_person
from modelmux.accounts.fields import FieldError
from modelmux.accounts.find import find_person
from modelmux.accounts.rates import changed_rates
from modelmux.accounts.records import PERSON, Person
from modelmux.accounts.sign_ins import Subject, subject_of
from modelmux.accounts.views import person_view, plain
from modelmux.cli.accounts.access import Access
from modelmux.cli.accounts.api.open_api import accounts_options, needs_this_machine
from modelmux.cli.accounts.directory import (
    NONE,
    is_word,
    json_option,
    print_table,
    refuse_empty,
    with_directory,
)
from modelmux.cli.accounts.rates import rate_options, take_rates
from modelmux.cli.dashboard import at_option, new_link, print_link
from modelmux.cli.lazy_group import CommandGroup
from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import print_json, print_lines, warn
from modelmux.config.admin_check import roles_of


@click.group(cls=CommandGroup)
def people() -> None:
    """Create, list and edit people."""


@people.command("create")
@click.argument("email")
@click.option("--name", default="", help="The person's name.")
@rate_options
@accounts_options
@json_option
def create(
    email: str, name: str, config_path: Path | None, overrides: dict[str, Any], json: bool, **options: str | None
) -> None:
    """Create a person."""
    refuse_empty(options)
    rates = take_rates(options)

    async def run(access: Access) -> Person:
        new = Person(id=access.ids.id(PERSON), email=email, name=name, limits=changed_rates(None, rates))
        _, edit = await access.change(lambda d: save_person(d, new))
        return edit.people[0]

    _print(with_directory(config_path, overrides, run), "created", json=json)


@people.command("list")
@accounts_options
@json_option
def list_people(config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """List people."""
    directory = with_directory(config_path, overrides, lambda access: access.read())
    records = sorted(directory.people.values(), key=lambda person: person.email)
    if json:
        print_json([plain(person_view(person)) for person in records])
        return
    print_table(
        ("ID", "EMAIL", "NAME", "STATUS", "KEYS"),
        [
            (
                person.id, person.email, person.name, person.status,
                str(sum(key.person == person.id and key.status != "revoked" for key in directory.keys.values())),
            )
            for person in records
        ],
    )  # fmt: skip


@people.command("edit")
@click.argument("person")
@click.option("--email", help="The new e-mail address.")
@click.option("--name", help="The person's name, or none.")
@click.option("--enable/--disable", "enabled", default=None, help="Keys of a disabled person are refused.")
@rate_options
@accounts_options
@json_option
def edit(
    person: str, email: str | None, name: str | None, enabled: bool | None, config_path: Path | None,
    overrides: dict[str, Any], json: bool, **options: str | None,
) -> None:  # fmt: skip
    """Change a person, by e-mail address or id."""
    refuse_empty({"email": email, "name": name, **options})
    if email is None and name is None and enabled is None and all(value is None for value in options.values()):
        raise click.UsageError("name what to change, such as --disable")
    rates = take_rates(options)

    async def run(access: Access) -> Person:
        def decide(directory: Directory) -> Edit:
            record = find_person(directory, person)
            changes: dict[str, Any] = {"email": email, "name": "" if name is not None and is_word(name, NONE) else name}
            if enabled is not None:
                changes["status"] = "active" if enabled else "disabled"
            changed = {field: value for field, value in changes.items() if value is not None}
            limits = changed_rates(record.limits, rates)
            return save_person(directory, replace(record, **changed, limits=limits))

        _, edit = await access.change(decide)
        return edit.people[0]

    _print(with_directory(config_path, overrides, run), "changed", json=json)


@people.command("link")
@click.argument("person")
@config_options
@at_option
@needs_this_machine
def link(person: str, config_path: Path | None, overrides: dict[str, Any], at: str | None) -> None:
    """Print a link that signs a person in to the dashboard, with the role of now: once, within ten minutes."""
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)

    async def run(access: Access) -> Subject:
        directory = await access.read()
        subject = subject_of(directory, find_person(directory, person).id, roles_of(loaded.config.admin))
        if subject is None:
            raise FieldError("person", f"{person!r} is disabled", "enable the person with --enable of `people edit`")
        return subject

    subject = with_directory(config_path, overrides, run)
    print_link(new_link(loaded.config, subject, at))


def _print(person: Person, what: str, *, json: bool) -> None:
    if json:
        print_json(plain(person_view(person)))
    else:
        print_lines(what, [f"{person.email} ({person.id})"], "green")
