"""``modelmux logs``: the log files, their last lines in readable form, and new lines as they are written."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click

from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError
from modelmux.catalog import PriceList, builtin_prices
from modelmux.cli.exit import INTERRUPTED
from modelmux.cli.logs.costs import cache_share, cost_of
from modelmux.cli.logs.reader import Follower, last_lines
from modelmux.cli.logs.selection import Selection
from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import exit_with_error
from modelmux.cli.sanitize import one_line
from modelmux.config import Config, ConfigError
from modelmux.store.base import StoreFailed
from modelmux.store.directory.open_directory import load_directory, stored_prices
from modelmux.telemetry import names
from modelmux.telemetry.log_files import log_directory, log_files

#: nano-USD of a USD.
_NANO: Final = 10**9
_LEVELS: Final = ("trace", "debug", "info", "warn", "error")
_ORDER: Final = {**{name: rank for rank, name in enumerate(_LEVELS)}, "warning": 3, "critical": 5}
_COLOURS: Final = {"debug": "bright_black", "info": "green", "warning": "yellow", "error": "red", "critical": "red"}


@click.command()
@config_options
@click.option("-f", "--follow", is_flag=True, help="Print new lines as they are written, until Ctrl-C.")
@click.option("--level", type=click.Choice(_LEVELS), default="trace", help="Omit lines that are less severe.")
@click.option("--json", "as_json", is_flag=True, help="Print lines as they are in the files: one JSON object each.")
@click.option("-n", "--lines", "count", type=click.IntRange(0), default=50, show_default=True, help="Number of lines.")
@click.option("--key", help="Only requests of a key, by its id or name.")
@click.option("--team", help="Only requests of a team and those below it, by its id or name.")
@click.option("--model", help="Only requests for a model, as it was asked for, served or called.")
@click.option("--failed", is_flag=True, help="Only requests with an error.")
@click.option("--min-cost", metavar="USD", help="Only requests that cost so much, or more.")
def logs(
    config_path: Path | None,
    overrides: dict[str, Any],
    follow: bool,
    level: str,
    as_json: bool,
    count: int,
    **filters: Any,
) -> None:
    """Show the log files and print their last lines."""
    config = read_config(config_path, overrides).config
    selection = _selection(config, **filters)
    prices = builtin_prices() if as_json and selection.min_cost is None else _prices(config)
    settings = config.logs
    try:
        directory = log_directory(settings.directory, os.environ)
    except RuntimeError:
        exit_with_error(["no home directory to keep log files in"], "Set logs.directory.")
    files = log_files(directory)
    if not files and not follow:
        exit_with_error([f"there are no log files in {directory}"], _why_none(settings.file))
    if not (follow or as_json or not selection.is_empty):
        _list(directory, files)
    shows = functools.partial(_shows, _ORDER[level], selection, prices)
    follower = Follower(directory, from_start=not files)
    try:
        for line in last_lines(files, count, shows):
            click.echo(_render(line, as_json, prices))
        if follow:
            if not files:
                click.echo(f"{directory} has no log files yet; waiting for `modelmux serve` to write one", err=True)
            for line in follower.follow():
                if shows(line):
                    click.echo(_render(line, as_json, prices))
    except KeyboardInterrupt:  # the usual end of --follow: print nothing
        raise SystemExit(INTERRUPTED) from None
    finally:
        follower.close()


def _why_none(enabled: bool) -> str:
    if not enabled:
        return "logs.file = false turns them off; `modelmux serve` prints every line on its console."
    return "`modelmux serve` writes them. If it runs as another user or a service, pass its directory: --set logs.directory=…"  # noqa: E501


def _list(directory: Path, files: list[Path]) -> None:
    click.echo(directory)
    for path in files:
        click.echo(f"  {path.name}  {_size(path):>10}")
    click.echo()


def _size(path: Path) -> str:
    try:
        size: float = path.stat().st_size
    except OSError:
        return "deleted"
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _selection(
    config: Config, key: str | None, team: str | None, model: str | None, failed: bool, min_cost: str | None
) -> Selection:
    """What the options ask for; names are those of the accounts, where this user can read them."""
    try:
        least = None if min_cost is None else parse_amount("--min-cost", min_cost, "usd")
    except FieldError as error:
        exit_with_error([f"--min-cost: {error.problem}"], f"{error.expected[:1].upper()}{error.expected[1:]}.")
    if least is not None and least < 0:
        exit_with_error([f"--min-cost: {min_cost} is below 0"], "Name an amount in USD, such as 0.05.")
    directory = _directory(config) if key is not None or team is not None else Directory()
    return Selection(
        keys=_ids(key, ((one.id, one.name) for one in directory.keys.values())),
        teams=_ids(team, ((one.id, one.name) for one in directory.teams.values())),
        model=model,
        failed=failed,
        min_cost=least,
    )


def _ids(text: str | None, records: Iterable[tuple[str, str]]) -> frozenset[str]:
    """What is asked for as an id, and the ids of what has that name."""
    return frozenset() if text is None else frozenset([text, *(id for id, name in records if name == text)])


def _directory(config: Config) -> Directory:
    if not config.accounts.enabled:
        return Directory()
    try:
        return load_directory(config)
    except (ConfigError, StoreFailed) as error:
        click.echo(f"names of keys and teams are not known here, ids are: {one_line(str(error))}", err=True)
        return Directory()


def _prices(config: Config) -> PriceList:
    """Those of the gateway, as far as this user can read them."""
    try:
        return stored_prices(config)
    except (ConfigError, StoreFailed):
        return builtin_prices()


def _shows(min_rank: int, selection: Selection, prices: PriceList, line: bytes) -> bool:
    if not _is_severe(line, min_rank):
        return False
    event = None if selection.is_empty else _parsed(line)
    return selection.wants(event, lambda: cost_of(event or {}, prices))


def _is_severe(line: bytes, min_rank: int) -> bool:
    """Whether a line is severe enough. A line that is not an event always is."""
    if min_rank == 0:
        return True
    event = _parsed(line)
    return event is None or _ORDER.get(str(event.get("level")), len(_LEVELS)) >= min_rank


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _render(line: bytes, as_json: bool, prices: PriceList) -> str:
    event = _parsed(line)
    text = line.decode("utf-8", "replace")
    if as_json:
        return text if event is not None else json.dumps({"unparsed": text})
    return one_line(text) if event is None else _readable(event, prices)


def _readable(event: dict[str, Any], prices: PriceList) -> str:
    """``2026-11-23 06:52:08Z info  request  $0.002083   99 %  model=… status=200``."""
    columns = _columns(event, prices)
    stamp, level, name = (str(event.pop(key, "")) for key in ("timestamp", "level", "event"))
    when = stamp[:19].replace("T", " ") + ("Z" if stamp.endswith("Z") else "")
    fields = " ".join(f"{one_line(str(key))}={_value(value)}" for key, value in event.items())
    # Padded before it is coloured: colour codes have no width.
    mark = click.style(f"{one_line(level):<7}", fg=_COLOURS.get(level))
    return f"{one_line(when)} {mark} {click.style(one_line(name), bold=True)}  {columns}{fields}".rstrip()


def _columns(event: dict[str, Any], prices: PriceList) -> str:
    """Cost and share of the cache of a request that used tokens; empty for every other line."""
    share = cache_share(event)
    if event.get("event") != names.EVENT_REQUEST or share is None:
        return ""
    cost = cost_of(event, prices)
    return f"{'–' if cost is None else f'${cost / _NANO:.6f}':>11} {f'{share:.0%}':>4}  "


def _value(value: Any) -> str:
    if isinstance(value, str):
        return one_line(value) if value and " " not in value else json.dumps(one_line(value), ensure_ascii=False)
    return one_line(json.dumps(value, ensure_ascii=False))
