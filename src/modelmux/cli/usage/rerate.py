"""``modelmux usage rerate``: corrections of costs that were computed with other prices than today's, or without one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.directory import Directory
from modelmux.accounts.periods import format_instant
from modelmux.catalog.prices import PriceList
from modelmux.cli.accounts.access import user_name
from modelmux.cli.accounts.api.client import AdminClient
from modelmux.cli.accounts.api.open_api import accounts_options, chosen_url, with_api
from modelmux.cli.options import read_config
from modelmux.cli.output import exit_with_config_error, exit_with_error, print_json, warn
from modelmux.cli.sanitize import one_line
from modelmux.cli.usage.from_api import zone_name
from modelmux.cli.usage.options import (
    Sources,
    counted,
    read_period,
    read_zone,
    read_zone_of,
    with_ledger,
    zone_option,
)
from modelmux.cli.usage.report import rounded
from modelmux.config import ConfigError
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author
from modelmux.store.directory.open_directory import stored_prices
from modelmux.store.ledger.base import MOST_RETURNED, EntryQuery, Ledger
from modelmux.store.ledger.rerate_rows import Rerated, rerate_page


@click.command()
@accounts_options
@click.option("--since", metavar="TIME", help="Requests from then on: 2026-11-01, 2026-11, 30d; all by default.")
@zone_option
@click.option("--dry-run", is_flag=True, help="Show what would be corrected, and write nothing.")
@click.option("--json", "json", is_flag=True, help="Print JSON for machines.")
@click.pass_context
def rerate(context: click.Context, config_path: Path | None, overrides: dict[str, Any], since: str | None, zone: str | None, dry_run: bool, json: bool) -> None:  # fmt: skip  # noqa: E501
    """Compute the cost of requests anew, each with the price of its day, and add rows with the differences.

    Prices are those of the configuration of the gateway and of its version of the program. Rows are never changed; a
    second run finds nothing to do.
    """
    url, now = chosen_url(), Sources.of(context).now()

    def start(clock: tzinfo) -> int | None:
        period = read_period(None, since, clock, now, option="--since")
        return None if period is None else period.start

    if url is not None:
        result = with_api(
            url, config_path, overrides, lambda client: _from_api(client, zone, start, dry_run=dry_run)
        )  # fmt: skip
    else:
        result = _here(context, config_path, overrides, zone, start, dry_run=dry_run)
    if json:
        print_json({"dry_run": dry_run, **result.json()})
    else:
        for line in _lines(result, dry_run):
            click.echo(line)
    warn(_warnings(result))


def _here(
    context: click.Context, config_path: Path | None, overrides: dict[str, Any], zone: str | None,
    start: Callable[[tzinfo], int | None], *, dry_run: bool,
) -> Rerated:  # fmt: skip
    loaded, sources = read_config(config_path, overrides), Sources.of(context)
    warn(loaded.warnings)
    query = EntryQuery(start=start(read_zone(zone, loaded.config)[1]), limit=MOST_RETURNED)
    try:
        prices, directory = stored_prices(loaded.config), sources.load_directory(loaded.config)
    except ConfigError as error:
        exit_with_config_error(error)
    except StoreFailed as error:
        exit_with_error([f"prices and budgets cannot be read: {error}"])
    by = None if dry_run else (Author(user_name(), "cli"), int(sources.now() * 1_000_000))
    return with_ledger(context, loaded.config, lambda ledger: correct(ledger, query, prices, directory, by))


async def _from_api(
    client: AdminClient, zone: str | None, start: Callable[[tzinfo], int | None], *, dry_run: bool
) -> Rerated:
    """:raises ApiError:"""
    since = start(read_zone_of(zone or await zone_name(client))[1])
    form = {"dry_run": dry_run, "since": None if since is None else format_instant(since, UTC)}
    result = Rerated()
    after: str | None = None
    while True:
        answer = await client.call("POST", "/ledger/rerate", {**form, "after": after})
        for one in answer["models"]:
            result.corrected[one["model"]] += one["requests"]
            result.difference[one["model"]] += parse_amount("difference", one["difference"]["amount"], "usd")
        result.unpriced.update(answer["unpriced"])
        result.skipped += answer["skipped"]
        after = answer["next"]
        if after is None:
            return result


async def correct(
    ledger: Ledger, query: EntryQuery, prices: PriceList, directory: Directory, by: tuple[Author, int] | None
) -> Rerated:
    """Add the corrections of all entries of a query, page by page. :raises StoreFailed:

    :param by: see ``rerate_page``.
    """
    result = Rerated()
    while True:
        after = await rerate_page(ledger, query, prices, directory, result, by)
        if after is None:
            return result
        query = replace(query, after=after)


def _lines(result: Rerated, dry_run: bool) -> list[str]:
    if not result.corrected:
        return ["nothing to correct"]
    done = "would be corrected" if dry_run else "corrected"
    rows = [
        (one_line(model), counted(count, "request"), rounded(result.difference[model]))
        for model, count in sorted(result.corrected.items())
    ]
    rows.append(("total", counted(result.corrected.total(), "request"), rounded(result.difference.total())))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}} {done}, difference {row[2]:>{widths[2]}} USD" for row in rows
    ]


def _warnings(result: Rerated) -> list[str]:
    warnings = [
        f"{counted(count, 'request')} of {one_line(model)} still without a price: add it to [accounts.prices]"
        for model, count in sorted(result.unpriced.items())
    ]
    if result.skipped:
        skipped = counted(result.skipped, "request")
        warnings.append(
            f"{skipped} of several models left as they are: their rows do not say which tokens are of which"
        )
    return warnings
