"""``modelmux usage reconcile``: what the ledger has beside what Google bills."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Any, Final

import click
from msgspec.structs import asdict

from modelmux.accounts.periods import Period, day_of
from modelmux.accounts.reconcile import (
    NEEDED,
    BadCharge,
    Charge,
    Compared,
    Named,
    Reconciler,
    Reconciliation,
    read_charge,
)
from modelmux.accounts.usage_query import UsageQuery
from modelmux.catalog.prices import usd
from modelmux.cli.accounts.api.open_api import accounts_options, chosen_url, with_api
from modelmux.cli.accounts.directory import print_table
from modelmux.cli.options import read_config
from modelmux.cli.output import exit_with_error, print_json, print_lines, printable, warn
from modelmux.cli.sanitize import one_line
from modelmux.cli.usage.billing_file import BadFile, read_rows
from modelmux.cli.usage.from_api import Answer, ask_usage
from modelmux.cli.usage.options import Sources, counted, days_options, read_period, with_ledger
from modelmux.cli.usage.report import rounded
from modelmux.cli.usage.writers import MissingLibrary

#: Names that a message has.
_SHOWN: Final = 5
_HEADS: Final = ("DAY", "MODEL", "OURS", "LIST", "BILLED", "DIFFERENCE", "PERCENT")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@accounts_options
@days_options
@click.option("--json", "json", is_flag=True, help="Print JSON for machines, with exact costs.")
@click.pass_context
def reconcile(
    context: click.Context, file: Path, config_path: Path | None, overrides: dict[str, Any], last: str | None,
    period: str | None, json: bool,
) -> None:  # fmt: skip
    """Compare the ledger with FILE, a billing export of Google in FOCUS format (CSV or Parquet).

    By day of UTC and model; the days are those of the file, or of a period.
    """
    days = _days(read_period(last, period, UTC, Sources.of(context).now()))
    reconciler = Reconciler(*(days or (None, None)))
    _read(file, reconciler)
    if days is None:
        if reconciler.first is None or reconciler.last is None:
            exit_with_error([f"{printable(file)}: it has no charges"], "Export the days that you want to compare.")
        days = reconciler.first, reconciler.last + timedelta(1)
    answer = _ours(context, config_path, overrides, days)
    result = reconciler.compare(answer.rows)
    if json:
        print_json(_json(result, own_prices=answer.own_prices))
    else:
        print_table(_HEADS, [_cells(one) for one in (*result.rows, result.total)])
    print_lines("note", _notes(result), "cyan")
    warn(_warnings(result, own_prices=answer.own_prices))


def _read(file: Path, reconciler: Reconciler) -> None:
    """Add the charges of a file; exits if it cannot be read."""
    try:
        for charge in _charges(file):
            reconciler.add(charge)
    except BadFile as error:
        exit_with_error([f"{printable(file)}: {error}"], "Export the table as it is, as CSV or Parquet.")
    except MissingLibrary as error:
        exit_with_error([str(error)], "Install it with: pip install 'modelmux-gateway[export]'")
    except OSError as error:
        exit_with_error([f"{printable(file)}: {error.strerror or error}"])


def _charges(file: Path) -> Iterator[Charge]:
    """:raises OSError: :raises MissingLibrary: :raises BadFile: also if columns or values cannot be used."""
    rows = read_rows(file)
    columns: Mapping[str, Any] = next(rows, {})
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise BadFile(f"it lacks the columns {', '.join(missing)} of FOCUS")
    for number, row in enumerate(rows, 1):
        try:
            yield read_charge(row)
        except BadCharge as error:
            raise BadFile(f"row {number}: {error}") from None


def _days(period: Period | None) -> tuple[date, date] | None:
    """The days of a period; one that has begun counts, as long as it is."""
    return None if period is None else (day_of(period.start), day_of(period.end - 1) + timedelta(1))


def _ours(
    context: click.Context, config_path: Path | None, overrides: dict[str, Any], days: tuple[date, date]
) -> Answer:
    start, end = map(_instant, days)
    query = UsageQuery(start=start, end=end, bucket="1d", zone="UTC", group_by=("model",))
    url = chosen_url()
    if url is not None:
        return with_api(url, config_path, overrides, lambda client: ask_usage(client, query))
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)
    rows = with_ledger(context, loaded.config, lambda ledger: ledger.usage(query))
    return Answer(rows, bool(loaded.config.accounts.prices), [], {})


def _instant(day: date) -> int:
    return calendar.timegm(day.timetuple()) * 1_000_000


def _cells(one: Compared) -> tuple[str | None, ...]:
    return (
        "TOTAL" if one.day is None else str(one.day), one.model, rounded(one.ours),
        None if one.list is None else rounded(one.list), rounded(one.billed), rounded(one.difference),
        None if one.percent is None else f"{one.percent:.2f}%",
    )  # fmt: skip


def _json(result: Reconciliation, *, own_prices: bool) -> dict[str, Any]:
    return {
        "prices": "list_and_own" if own_prices else "list",
        "rows": [_row(one) for one in result.rows],
        "total": _row(result.total),
        **{
            name: [{**asdict(one), "billed": usd(one.billed)} for one in getattr(result, name)]
            for name in ("skus", "unmatched", "other", "not_usage", "currencies")
        },
        "outside": result.outside,
    }


def _row(one: Compared) -> dict[str, Any]:
    return {
        "day": None if one.day is None else str(one.day), "model": one.model, "ours": usd(one.ours),
        "list": None if one.list is None else usd(one.list), "billed": usd(one.billed),
        "difference": usd(one.difference), "percent": one.percent, "unpriced": one.unpriced,
    }  # fmt: skip


def _notes(result: Reconciliation) -> list[str]:
    """What is not compared because it need not be."""
    notes = [
        f"not compared, as they are not {what}: {_named(named)}"
        for what, named in (("for Claude", result.other), ("usage", result.not_usage))
        if named
    ]
    return [*notes, *([f"{counted(result.outside, 'row')} of other days left out"] if result.outside else [])]


def _warnings(result: Reconciliation, *, own_prices: bool) -> list[str]:
    warnings = []
    if result.unmatched:
        warnings.append(f"not compared, as no model can be read from their names: {_named(result.unmatched)}")
    if result.currencies:
        named = _named(result.currencies, "")
        warnings.append(f"not compared, as they are not in USD and have no x_CurrencyConversionRate: {named}")
    if result.total.unpriced:
        warnings.append(f"ours lacks {counted(result.total.unpriced, 'request')} whose price is unknown")
    if own_prices:
        warnings.append("ours has prices of [accounts.prices], which are not Google's list")
    if result.total.list is None:
        warnings.append("not all rows of the export have a ListCost: the difference is to what they were billed at")
    return warnings


def _named(named: Sequence[Named], unit: str = "USD") -> str:
    """``3 rows, 1.2345 USD: Compute Engine, …``. :param unit: empty if there are several."""
    amount = f", {rounded(sum(one.billed for one in named))} {unit}" if unit else ""
    names = ", ".join(one_line(one.name) or "-" for one in named[:_SHOWN]) + (", …" if len(named) > _SHOWN else "")
    return f"{counted(sum(one.rows for one in named), 'row')}{amount}: {names}"
