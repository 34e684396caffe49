"""``modelmux logs``: the log files, their last lines in readable form, and new lines as they are written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import click

from modelmux.cli.exit import INTERRUPTED
from modelmux.cli.logs.reader import Follower, last_lines
from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import exit_with_error
from modelmux.cli.sanitize import one_line
from modelmux.telemetry.log_files import log_directory, log_files

_LEVELS: Final = ("trace", "debug", "info", "warn", "error")
_ORDER: Final = {**{name: rank for rank, name in enumerate(_LEVELS)}, "warning": 3, "critical": 5}
_COLOURS: Final = {"debug": "bright_black", "info": "green", "warning": "yellow", "error": "red", "critical": "red"}


@click.command()
@config_options
@click.option("-f", "--follow", is_flag=True, help="Print new lines as they are written, until Ctrl-C.")
@click.option("--level", type=click.Choice(_LEVELS), default="trace", help="Omit lines that are less severe.")
@click.option("--json", "as_json", is_flag=True, help="Print lines as they are in the files: one JSON object each.")
@click.option("-n", "--lines", "count", type=click.IntRange(0), default=50, show_default=True, help="Number of lines.")
def logs(config_path: Path | None, overrides: dict[str, Any], follow: bool, level: str, as_json: bool, count: int) -> None:  # fmt: skip  # noqa: E501
    """Show the log files and print their last lines."""
    settings = read_config(config_path, overrides).config.logs
    try:
        directory = log_directory(settings.directory, os.environ)
    except RuntimeError:
        exit_with_error(["no home directory to keep log files in"], "Set logs.directory.")
    files = log_files(directory)
    if not files and not follow:
        exit_with_error([f"there are no log files in {directory}"], _why_none(settings.file))
    if not (follow or as_json):
        _list(directory, files)
    min_rank = _ORDER[level]
    follower = Follower(directory, from_start=not files)
    try:
        for line in last_lines(files, count, lambda line: _is_severe(line, min_rank)):
            click.echo(_render(line, as_json))
        if follow:
            if not files:
                click.echo(f"{directory} has no log files yet; waiting for `modelmux serve` to write one", err=True)
            for line in follower.follow():
                if _is_severe(line, min_rank):
                    click.echo(_render(line, as_json))
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


def _render(line: bytes, as_json: bool) -> str:
    event = _parsed(line)
    text = line.decode("utf-8", "replace")
    if as_json:
        return text if event is not None else json.dumps({"unparsed": text})
    return one_line(text) if event is None else _readable(event)


def _readable(event: dict[str, Any]) -> str:
    """``2026-11-23 06:52:08Z info  request  model=… status=200``."""
    stamp, level, name = (str(event.pop(key, "")) for key in ("timestamp", "level", "event"))
    when = stamp[:19].replace("T", " ") + ("Z" if stamp.endswith("Z") else "")
    fields = " ".join(f"{one_line(str(key))}={_value(value)}" for key, value in event.items())
    # Padded before it is coloured: colour codes have no width.
    mark = click.style(f"{one_line(level):<7}", fg=_COLOURS.get(level))
    return f"{one_line(when)} {mark} {click.style(one_line(name), bold=True)}  {fields}".rstrip()


def _value(value: Any) -> str:
    if isinstance(value, str):
        return one_line(value) if value and " " not in value else json.dumps(one_line(value), ensure_ascii=False)
    return one_line(json.dumps(value, ensure_ascii=False))
