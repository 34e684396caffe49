"""``modelmux usage rerate``: corrections of costs that were computed with other prices than today's, or without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import Entry
from modelmux.accounts.rerate import has_models, is_rerated
from modelmux.accounts.rerate import rerate as correction_of
from modelmux.accounts.usage_views import money
from modelmux.catalog.prices import PriceList
from modelmux.cli.accounts.api.open_api import needs_this_machine
from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import exit_with_config_error, exit_with_error, print_json, warn
from modelmux.cli.sanitize import one_line
from modelmux.cli.usage.export import pages
from modelmux.cli.usage.options import Sources, counted, read_period, read_zone, with_ledger, zone_option
from modelmux.cli.usage.report import rounded
from modelmux.config import ConfigError
from modelmux.store.base import StoreFailed
from modelmux.store.directory.open_directory import stored_prices
from modelmux.store.ledger.base import MOST_RETURNED, EntryQuery, Ledger

#: Kinds of corrections that say what a request without a price costs.
_PRICED: Final = ("rerate", "void", "resolve")


@dataclass
class Result:
    """What a run did.

    :param corrected: requests by model. :param difference: nano-USD by model.
    :param unpriced: requests by model, still without a price.
    :param skipped: requests of several models, whose rows do not say which tokens are of which.
    """

    corrected: Counter[str] = field(default_factory=Counter)
    difference: Counter[str] = field(default_factory=Counter)
    unpriced: Counter[str] = field(default_factory=Counter)
    skipped: int = 0


@click.command()
@needs_this_machine
@config_options
@click.option("--since", metavar="TIME", help="Requests from then on: 2026-11-01, 2026-11, 30d; all by default.")
@zone_option
@click.option("--dry-run", is_flag=True, help="Show what would be corrected, and write nothing.")
@click.option("--json", "json", is_flag=True, help="Print JSON for machines.")
@click.pass_context
def rerate(context: click.Context, config_path: Path | None, overrides: dict[str, Any], since: str | None, zone: str | None, dry_run: bool, json: bool) -> None:  # fmt: skip  # noqa: E501
    """Compute the cost of requests anew, each with the price of its day, and add rows with the differences.

    Prices are those of the configuration and of this version of the program. Rows are never changed; a second run finds
    nothing to do.
    """
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)
    _, clock = read_zone(zone, loaded.config)
    period = read_period(None, since, clock, Sources.of(context).now(), option="--since")
    try:
        prices, directory = stored_prices(loaded.config), Sources.of(context).load_directory(loaded.config)
    except ConfigError as error:
        exit_with_config_error(error)
    except StoreFailed as error:
        exit_with_error([f"prices and budgets cannot be read: {error}"])
    query = EntryQuery(start=None if period is None else period.start, limit=MOST_RETURNED)
    result = with_ledger(
        context, loaded.config, lambda ledger: correct(ledger, query, prices, directory, dry_run=dry_run)
    )
    if json:
        print_json(_json(result, dry_run))
    else:
        for line in _lines(result, dry_run):
            click.echo(line)
    warn(_warnings(result))


async def correct(
    ledger: Ledger, query: EntryQuery, prices: PriceList, directory: Directory, *, dry_run: bool
) -> Result:
    """Add the corrections of all entries of a query, page by page. :raises StoreFailed:"""
    result = Result()
    async for entries in pages(ledger, query):
        requests = [entry for entry in entries if is_rerated(entry)]
        existing: dict[bytes | None, list[Entry]] = {}
        for one in await ledger.corrections([entry.id for entry in requests]) if requests else ():
            existing.setdefault(one.corrects, []).append(one)
        added = _corrections(requests, existing, prices, directory, result)
        if added and not dry_run:
            await ledger.append(added)
    return result


def _corrections(
    requests: Sequence[Entry],
    existing: dict[bytes | None, list[Entry]],
    prices: PriceList,
    directory: Directory,
    result: Result,
) -> list[Entry]:
    added: list[Entry] = []
    for entry in requests:
        corrections, model = existing.get(entry.id, []), entry.model or "-"
        correction = correction_of(entry, corrections, prices, directory)
        if correction is not None and correction.cost is not None:
            added.append(correction)
            result.corrected[model] += 1
            result.difference[model] += correction.cost.total
        elif entry.model is not None and not has_models(entry):
            result.skipped += 1
        elif entry.cost is None and not any(one.kind in _PRICED for one in corrections):
            result.unpriced[model] += 1
    return added


def _lines(result: Result, dry_run: bool) -> list[str]:
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


def _json(result: Result, dry_run: bool) -> dict[str, Any]:
    models = [
        {"model": model, "requests": count, "difference": money(result.difference[model])}
        for model, count in sorted(result.corrected.items())
    ]
    return {
        "dry_run": dry_run,
        "models": models,
        "requests": result.corrected.total(),
        "difference": money(result.difference.total()),
        "unpriced": dict(sorted(result.unpriced.items())),
        "skipped": result.skipped,
    }


def _warnings(result: Result) -> list[str]:
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
