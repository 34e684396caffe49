"""``modelmux accounts backup``: a copy of the database, while the gateway runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from modelmux.cli.accounts.api.open_api import needs_this_machine
from modelmux.cli.accounts.directory import json_option
from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import exit_with_config_error, exit_with_error, print_json, print_lines, printable, warn
from modelmux.config import Config, ConfigError
from modelmux.store.backup import BackupExists, back_up
from modelmux.store.base import StoreFailed
from modelmux.store.journal.journal import journal_directory, journal_paths
from modelmux.store.ledger.open_ledger import NoLedger, existing_path
from modelmux.store.pepper import pepper_path

_MIB: Final = 1024 * 1024


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@needs_this_machine
@config_options
@json_option
def backup(file: Path, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Copy the database of accounts to FILE, which must not exist; the gateway may run meanwhile.

    What secrets are hashed with, the pepper, is not in the copy, nor are the journals of requests that run.
    """
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)
    try:
        path = existing_path(loaded.config)
        size = back_up(path, file)
    except ConfigError as error:
        exit_with_config_error(error)
    except NoLedger as error:
        exit_with_error([str(error)], error.hint)
    except BackupExists as error:
        exit_with_error([printable(str(error))], "Name another file: a backup is never overwritten.")
    except StoreFailed as error:
        exit_with_error([f"there is no backup: {printable(str(error))}"])
    journals, pepper = journal_directory(path), _pepper(path, loaded.config)
    count = len(journal_paths(journals))
    if json:
        print_json({
            "file": str(file), "bytes": size, "database": str(path),
            "pepper": None if loaded.config.accounts.peppers else str(pepper_path(path)),
            "journals": {"directory": str(journals), "files": count},
        })  # fmt: skip
        return
    print_lines(
        "written", [f"{printable(str(file))}: {size / _MIB:.1f} MiB, a copy of {printable(str(path))}"], "green"
    )
    print_lines("note", [f"the pepper is not in it: back up {pepper}, apart from this file"], "cyan")
    if count:
        where = f"{count} in {printable(str(journals))}"
        print_lines(
            "note", [f"requests that run are not in it: their journals are files of their own, {where}"], "cyan"
        )


def _pepper(path: Path, config: Config) -> str:
    if config.accounts.peppers:
        return "what accounts.peppers names"
    return printable(str(pepper_path(path)))
