"""``modelmux accounts``: import from another gateway, and who changed what."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.litellm import Imported, import_from_litellm
from modelmux.accounts.litellm_entries import Lists, read_lists
from modelmux.accounts.views import time_text
from modelmux.admin.audit import shown_records
from modelmux.admin.imports import ImportedView, imported_view
from modelmux.cli.accounts.access import Access
from modelmux.cli.accounts.api.open_api import accounts_options, chosen_url, with_api
from modelmux.cli.accounts.apply import apply, diff
from modelmux.cli.accounts.backup import backup
from modelmux.cli.accounts.directory import json_option, print_table, warn_unmatched, with_directory
from modelmux.cli.accounts.export import export
from modelmux.cli.lazy_group import CommandGroup
from modelmux.cli.output import exit_with_error, print_json, print_lines, printable, warn
from modelmux.cli.sanitize import one_line
from modelmux.store.directory.base import AuditRow

_LEFT_OUT: Final = (
    "Correct these entries in the file and import it again, or make their keys with `modelmux keys create`."
)


@click.group(cls=CommandGroup)
def accounts() -> None:
    """Apply a configuration, import keys and teams, back up, and show who changed what."""


accounts.add_command(apply)
accounts.add_command(backup)
accounts.add_command(diff)
accounts.add_command(export)


@accounts.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would be imported, and write nothing.")
@accounts_options
def import_files(files: tuple[Path, ...], dry_run: bool, config_path: Path | None, overrides: dict[str, Any]) -> None:
    """Import keys and teams of LiteLLM: the JSON of /key/list?return_full_object=true and of /team/list.

    Clients keep their keys. A repeated import adds what is new. What cannot be used is left out and named, and the
    exit code is 1.
    """
    lists = _read(files)
    url = chosen_url()
    if url is not None:
        body = {"keys": lists.keys, "teams": lists.teams, "dry_run": dry_run}
        shown = with_api(
            url, config_path, overrides, lambda client: client.call("POST", "/imports/litellm", body)
        )  # fmt: skip
        view = msgspec.convert({name: shown[name] for name in ImportedView.__struct_fields__}, ImportedView)
    else:
        view = _import_here(lists, dry_run, config_path, overrides)
    warn(view.notices)
    counts = f"{view.keys} keys, {view.teams} teams, {view.people} people"
    print_lines("would import" if dry_run else "imported", [counts], "green")
    if left_out := [*lists.left_out, *view.left_out]:
        exit_with_error([one_line(f"left out: {problem}") for problem in left_out], _LEFT_OUT)


def _import_here(lists: Lists, dry_run: bool, config_path: Path | None, overrides: dict[str, Any]) -> ImportedView:
    async def run(access: Access) -> Imported:
        imported = Imported(Edit(action="", subject=""), ())

        def decide(directory: Directory) -> Edit:
            nonlocal imported
            imported = import_from_litellm(directory, lists.keys, lists.teams, access.ids.id, access.now)
            return imported.edit

        if dry_run:
            decide(await access.read())
        else:
            await access.change(decide)
        warn_unmatched(access.config, (model for key in imported.edit.keys for model in key.models))
        return imported

    return imported_view(with_directory(config_path, overrides, run))


@accounts.command("audit")
@click.option("--subject", metavar="ID", help="Only changes of one key, team or person.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@accounts_options
@json_option
def audit(subject: str | None, limit: int, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Show changes of keys, teams and people, the newest first."""

    async def run(access: Access) -> list[AuditRow]:
        return await access.audit(subject, limit)

    rows = with_directory(config_path, overrides, run)
    if json:
        print_json(
            [
                {
                    "number": row.number, "at": time_text(row.at), "author": row.author.name,
                    "origin": row.author.origin, "action": row.action, "subject": row.subject,
                    "before": shown_records(row.before), "after": shown_records(row.after),
                }
                for row in rows
            ]
        )  # fmt: skip
        return
    print_table(
        ("TIME", "AUTHOR", "ORIGIN", "ACTION", "SUBJECT", "NAME"),
        [(time_text(row.at), row.author.name, row.author.origin, row.action, row.subject, _name(row)) for row in rows],
    )


def _name(row: AuditRow) -> str | None:
    """What the record was called at the time."""
    record = row.after.get(row.subject) or row.before.get(row.subject) or {}
    return record.get("name") or record.get("email")


def _read(files: tuple[Path, ...]) -> Lists:
    documents = []
    for path in files:
        try:
            documents.append((printable(path), json_module.loads(path.read_bytes())))
        except (OSError, ValueError, RecursionError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not JSON"
            exit_with_error([f"{printable(path)}: {why}"])
    try:
        return read_lists(documents)
    except ValueError as error:
        exit_with_error([str(error)], "Save the answers of LiteLLM's admin API as they are.")
