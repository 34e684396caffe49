"""``modelmux usage``: what was used and what it cost, by key, team, person, model, tag or time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final

import click
from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts.directory import Directory
from modelmux.accounts.periods import format_instant
from modelmux.accounts.usage_names import NAME_FIELDS, names_of
from modelmux.accounts.usage_pages import Position
from modelmux.accounts.usage_query import Bucket, UsageQuery, UsageRow
from modelmux.accounts.usage_views import total
from modelmux.cli.accounts.api.client import AdminClient
from modelmux.cli.accounts.api.open_api import accounts_options, chosen_url, with_api
from modelmux.cli.lazy_group import LazyGroup
from modelmux.cli.options import read_config
from modelmux.cli.output import print_json, warn
from modelmux.cli.usage.from_api import Answer, ask_usage, zone_name
from modelmux.cli.usage.names import unknown_models, with_ids
from modelmux.cli.usage.options import (
    Sources,
    Where,
    check_dimension,
    period_options,
    read_period,
    read_zone,
    read_zone_of,
    refuse_options_of_group,
    unpriced_warning,
    where_option,
    with_ledger,
)
from modelmux.cli.usage.report import as_json, table
from modelmux.config import Config
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.base import MOST_RETURNED, Ledger

_COMMANDS: Final = {
    "export": ("usage.export", "export", "Write the rows of the ledger: csv, jsonl, parquet or FOCUS."),
    "verify": ("usage.verify", "verify", "Compare the sums of the ledger with its rows."),
    "reconcile": ("usage.reconcile", "reconcile", "Compare the ledger with Google's billing export."),
    "rerate": ("usage.rerate", "rerate", "Correct costs that were computed with other prices, or without one."),
}
_DIMENSIONS: Final = ("key", "team", "person", "model")
_BUCKETS: Final[dict[str, Bucket]] = {"hour": "1h", "day": "1d", "week": "1w", "month": "1mo"}
_DEFAULT: Final = "30d"
#: As many as the admin API shows.
_MOST_TOP: Final = 10_000
_NO_MODEL: Final = "no model is called {}; usage is by the models that answered, as `modelmux usage` lists them"


class By(Struct, frozen=True):
    """:param names: of the groups, in the order of the columns. :param time: one of ``_BUCKETS``, or None."""

    names: tuple[str, ...]
    time: str | None = None


def _read_by(_context: click.Context, _param: click.Parameter, text: str) -> By:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    times = [name for name in names if name in _BUCKETS]
    if len(times) > 1:
        raise click.BadParameter(f"{' and '.join(times)} exclude each other")
    names = [name for name in names if name not in times]
    for name in names:
        check_dimension(name, (*_DIMENSIONS, *_BUCKETS))
    return By(tuple(names), times[0] if times else None)


@click.group(
    cls=LazyGroup, table=_COMMANDS, invoke_without_command=True,
    subcommand_metavar="[COMMAND] [ARGS]...",  # as the latest click has it
)  # fmt: skip
@accounts_options
@click.option(
    "--by", metavar="NAMES", default="model", show_default=True, callback=_read_by,
    help="One row for each key, team, person, model or tag:NAME, and hour, day, week or month; several with commas.",
)  # fmt: skip
@click.option(
    "--top", metavar="N", type=click.IntRange(1, _MOST_TOP),
    help="Only the N groups that cost most in the period, and the sum of the others.",
)  # fmt: skip
@period_options
@where_option(*_DIMENSIONS)
@click.option("--json", "json", is_flag=True, help="Print JSON for machines, with exact costs.")
@click.pass_context
def usage(context: click.Context, config_path: Path | None, overrides: dict[str, Any], by: By, top: int | None, last: str | None, period: str | None, zone: str | None, where: Where, json: bool) -> None:  # fmt: skip  # noqa: E501
    """Show what was used and what it cost at list prices or your own, of the last 30 days by default."""
    if context.invoked_subcommand is not None:
        refuse_options_of_group(context)
        return
    url = chosen_url()
    now = Sources.of(context).now()
    if url is not None:
        query, answer, clock = with_api(
            url, config_path, overrides, lambda client: _from_api(client, by, top, last, period, zone, where, now)
        )
    else:
        loaded = read_config(config_path, overrides)
        warn(loaded.warnings)
        config = loaded.config
        query, clock = _query(by, top, last, period, *read_zone(zone, config), where, now)
        answer = with_ledger(context, config, lambda ledger: _from_ledger(context, config, ledger, query))
    if json:
        print_json(as_json(query, answer.rows, clock, answer.names, own_prices=answer.own_prices))
    else:
        click.echo(_heading(query, clock, own_prices=answer.own_prices))
        for line in table(query, answer.rows, clock, answer.names):
            click.echo(line)
    unpriced = total(query, answer.rows).unpriced
    warn([*answer.warnings, *([unpriced_warning(unpriced)] if unpriced else [])])


async def _from_api(
    client: AdminClient,
    by: By,
    top: int | None,
    last: str | None,
    period: str | None,
    zone: str | None,
    where: Where,
    now: float,
) -> tuple[UsageQuery, Answer, tzinfo]:
    name, clock = read_zone_of(zone or await zone_name(client))
    query, clock = _query(by, top, last, period, name, clock, where, now)
    return query, await ask_usage(client, query), clock


async def _from_ledger(context: click.Context, config: Config, ledger: Ledger, query: UsageQuery) -> Answer:
    """:raises FieldError: a filter names what there is not. :raises StoreFailed:"""
    catalog = config.build_catalog()
    directory, warnings = _directory(Sources.of(context), config, query)
    rows = await _rows(ledger, replace(query, where=with_ids(query.where, directory, catalog)))
    warnings += _tag_warnings(query.group_by, query.where, config)
    if not rows:
        warnings += [_NO_MODEL.format(name) for name in unknown_models(query.where, catalog)]
    return Answer(rows, bool(config.accounts.prices or directory.prices), warnings, names_of(directory, query, rows))


async def _rows(ledger: Ledger, query: UsageQuery) -> list[UsageRow]:
    """The whole report, page after page, so that none of them takes long. :raises StoreFailed:"""
    if query.top:
        return await ledger.usage(query)
    rows: list[UsageRow] = []
    after: Position | None = ()
    while after is not None:
        page = await ledger.usage_page(query, after, MOST_RETURNED)
        rows += page.rows
        after = page.next
    return rows


def _directory(sources: Sources, config: Config, query: UsageQuery) -> tuple[Directory, list[str]]:
    """That which has the names, and a warning if it cannot be read and only the answer has some.

    :raises StoreFailed: it cannot be read, and the question has some.
    """
    is_asked = not NAME_FIELDS.keys().isdisjoint(name for name, _ in query.where)
    if not is_asked and NAME_FIELDS.keys().isdisjoint(query.group_by):
        return Directory(), []
    try:
        return sources.load_directory(config), []
    except StoreFailed as error:
        if is_asked:
            raise
        return Directory(), [f"ids are shown without names: {error}"]


def _query(
    by: By, top: int | None, last: str | None, period: str | None, zone: str, clock: tzinfo, where: Where, now: float
) -> tuple[UsageQuery, tzinfo]:
    """:param now: Unix seconds."""
    chosen = read_period(last or (None if period else _DEFAULT), period, clock, now)
    assert chosen is not None
    query = UsageQuery(
        start=chosen.start,
        end=chosen.end,
        bucket=_BUCKETS[by.time] if by.time else "all",
        zone=zone,
        group_by=by.names,
        where=where,
        top=top or 0,
    )
    return query, clock


def _heading(query: UsageQuery, zone: tzinfo, *, own_prices: bool) -> str:
    prices = "list prices and your own" if own_prices else "list prices"
    start, end = (format_instant(at, zone) for at in (query.start, query.end))
    return f"{start} to {end} ({query.zone}); cost in USD at {prices}"


def _tag_warnings(names: Sequence[str], where: Where, config: Config) -> list[str]:
    used = {name.removeprefix("tag:") for name in (*names, *(name for name, _ in where)) if name.startswith("tag:")}
    unknown = sorted(used - set(config.accounts.tags))
    return [f"usage is not added up by tag {name}: add it to accounts.tags, for rows to come" for name in unknown]
