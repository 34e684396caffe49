"""``modelmux usage export``: the rows of the ledger, page by page, in a format that other programs read."""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from msgspec.structs import replace

from modelmux.accounts.columns import LEDGER, Column, cells
from modelmux.accounts.entry import Entry
from modelmux.accounts.focus import DayTotals, Version, focus_columns
from modelmux.accounts.periods import Period
from modelmux.accounts.rerate import unpriced_change
from modelmux.cli.accounts.api.open_api import accounts_options, chosen_url, with_api
from modelmux.cli.options import read_config
from modelmux.cli.output import exit_with_error, print_lines, warn
from modelmux.cli.usage.end_users import with_end_users
from modelmux.cli.usage.export_from_api import Chosen, TeamNames, Write, rows_from_api
from modelmux.cli.usage.names import with_ids
from modelmux.cli.usage.options import (
    Sources,
    Where,
    counted,
    period_options,
    read_zone,
    unpriced_warning,
    where_option,
    with_ledger,
)
from modelmux.cli.usage.writers import CsvWriter, JsonLinesWriter, MissingLibrary, ParquetWriter, Row, RowWriter
from modelmux.store.ledger.base import MOST_RETURNED, EntryQuery, Ledger

_WRITERS: Final[dict[str, Callable[[Sequence[Column], BinaryIO], RowWriter]]] = {
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
    "parquet": ParquetWriter,
    "focus": CsvWriter,
}
_NEWEST: Final[Version] = "1.3"
_ACCOUNT: Final = "modelmux"
_STDOUT: Final = Path("-")


@click.command()
@accounts_options
@click.option("--format", "kind", type=click.Choice(tuple(_WRITERS)), required=True, help="What to write.")
@click.option("--out", type=click.Path(path_type=Path), default=_STDOUT, metavar="FILE", help="Replaced; - for stdout, the default.")  # fmt: skip  # noqa: E501
@click.option("--focus", "version", type=click.Choice(("1.2", "1.3")), help=f"Version of FOCUS; {_NEWEST} by default.")
@click.option("--billing-account", metavar="ID", help=f"BillingAccountId in FOCUS; {_ACCOUNT} by default.")
@period_options
@where_option("key", "team", "person", "model", "outcome", "end_user")
@click.pass_context
def export(context: click.Context, config_path: Path | None, overrides: dict[str, Any], kind: str, out: Path, version: Version | None, billing_account: str | None, last: str | None, period: str | None, zone: str | None, where: Where) -> None:  # fmt: skip  # noqa: E501
    """Write the rows of the ledger, all of them unless a period is named, oldest first.

    csv, jsonl and parquet have a row for each request and each correction. focus is CSV by the FinOps Open Cost and
    Usage Specification: a row per day (of UTC), key, team, model, price and kind of token.
    """
    for option, value in (("--focus", version), ("--billing-account", billing_account)):
        if value is not None and kind != "focus":
            raise click.UsageError(f"{option} belongs to --format focus")
    chosen, url = Chosen(last, period, zone, where, Sources.of(context).now()), chosen_url()
    source = _Rows()

    async def write(all_pages: AsyncIterator[list[Entry]], tags: Sequence[str], team_names: TeamNames) -> None:
        nonlocal source
        if kind == "focus":
            source = _Focus(version or _NEWEST, billing_account or _ACCOUNT, tuple(tags), await team_names())
        with _opened(out) as file:
            writer = _WRITERS[kind](source.columns, file)
            async for entries in all_pages:
                writer.write([row for entry in entries for row in source.rows(entry)])
            writer.write(source.last())
            writer.close()

    try:
        if url is not None:
            with_api(url, config_path, overrides, lambda client: rows_from_api(client, chosen, write))
        else:
            _export_here(context, config_path, overrides, chosen, write)
    except MissingLibrary as error:
        exit_with_error([str(error)], "Install it with: pip install 'modelmux-gateway[export]'")
    except BrokenPipeError:
        raise
    except OSError as error:
        exit_with_error([f"{out}: cannot be written: {error.strerror or error}"], "Name another file with --out.")
    if out != _STDOUT:
        print_lines("note", [f"{out}: {counted(source.count, 'row')}"], "cyan")
    if source.unpriced > 0:
        warn([unpriced_warning(source.unpriced)])


def _export_here(
    context: click.Context, config_path: Path | None, overrides: dict[str, Any], chosen: Chosen, write: Write
) -> None:
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)
    config = loaded.config
    period = chosen.read(read_zone(chosen.zone, config)[1])
    query = _query(period, with_end_users(chosen.where, config))

    async def write_rows(ledger: Ledger) -> None:
        directory = Sources.of(context).load_directory(config)
        where = with_ids(query.where, directory, config.build_catalog())

        async def team_names() -> dict[str, str]:
            return {team.id: team.name for team in directory.teams.values()}

        await write(pages(ledger, replace(query, where=where)), config.accounts.tags, team_names)

    with_ledger(context, config, write_rows)


async def pages(ledger: Ledger, query: EntryQuery) -> AsyncIterator[list[Entry]]:
    """All entries, a page at a time. :raises StoreFailed:"""
    while True:
        page = await ledger.entries(query)
        yield page.entries
        if page.next is None:
            return
        query = replace(query, after=page.next)


class _Rows:
    """Rows of the ledger as they are. ``count``: rows so far; ``unpriced``: requests without a price among them."""

    columns: Sequence[Column] = LEDGER

    def __init__(self) -> None:
        self.count = 0
        self.unpriced = 0

    def rows(self, entry: Entry) -> list[Row]:
        self.count += 1
        self.unpriced += unpriced_change(entry)
        return [cells(self.columns, entry)]

    def last(self) -> list[Row]:
        return []


class _Focus(_Rows):
    """Totals of days."""

    def __init__(
        self, version: Version, billing_account: str, tags: tuple[str, ...], team_names: Mapping[str, str]
    ) -> None:
        super().__init__()
        self.columns = focus_columns(version)
        self._totals = DayTotals(billing_account, tags, team_names=team_names)

    def rows(self, entry: Entry) -> list[Row]:
        self.unpriced += unpriced_change(entry)
        return self._counted([cells(self.columns, row) for row in self._totals.add(entry)])

    def last(self) -> list[Row]:
        return self._counted([cells(self.columns, row) for row in self._totals.finish()])

    def _counted(self, rows: list[Row]) -> list[Row]:
        self.count += len(rows)
        return rows


def _query(period: Period | None, where: Where) -> EntryQuery:
    start, end = (None, None) if period is None else (period.start, period.end)
    return EntryQuery(start=start, end=end, where=where, limit=MOST_RETURNED)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which gets its name when it is complete; one that is there stays until then.

    :raises OSError:
    """
    if path == _STDOUT:
        sys.stdout.flush()
        yield sys.stdout.buffer
        return
    if path.exists() and not path.is_file():  # a device or a pipe
        with path.open("wb") as file:
            yield file
        return
    target = path.resolve()  # keeps a link
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            yield file
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
