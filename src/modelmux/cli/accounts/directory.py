"""What the commands of keys, teams and people have in common: the directory, its author, times, lists, tables."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click
import msgspec

from modelmux.accounts.fields import FieldError
from modelmux.accounts.periods import parse_instant
from modelmux.cli.accounts.access import Access, StoreAccess
from modelmux.cli.accounts.api.client import ApiError
from modelmux.cli.accounts.api.open_api import chosen_url, exit_with_api_error, open_api
from modelmux.cli.options import read_config
from modelmux.cli.output import exit_with_config_error, exit_with_error, warn
from modelmux.cli.sanitize import one_line
from modelmux.config import Config, ConfigError, build_routes
from modelmux.config.values import Seconds
from modelmux.gateway.permitted_models import unmatched_patterns
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
#: What options say for a list that limits nothing, and for a field without a value.
ALL: Final = "all"
NONE: Final = "none"
_MICRO: Final = 1_000_000
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_OFF: Final = (
    "accounts.enabled is false: the gateway asks for none of these keys. Set accounts.enabled = true and restart it."
)
_UNMATCHED: Final = "models: nothing that this configuration serves is called {}"


def with_directory(config_path: Path | None, overrides: dict[str, Any], action: Callable[[Access], Awaitable[T]]) -> T:
    """Open the directory, do something with it, and close it; exits with what went wrong.

    It is that of the configuration, or with ``--url`` that of a gateway, over its admin API.
    """
    url = chosen_url()
    if url is not None:
        return _run(lambda: open_api(url, config_path, overrides), action)
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)
    warn_if_off(loaded.config)
    return _run(lambda: StoreAccess.of(loaded.config, Runtime()), action)


def warn_if_off(config: Config) -> None:
    """Warn if what commands write has no effect."""
    if not config.accounts.enabled:
        warn([_OFF])


def _run(open_access: Callable[[], Access], action: Callable[[Access], Awaitable[T]]) -> T:
    async def run() -> T:
        access = open_access()
        try:
            return await action(access)
        finally:
            await access.aclose()

    try:
        return asyncio.run(run())
    except ConfigError as error:
        exit_with_config_error(error)
    except FieldError as error:
        exit_with_field_error(error)
    except StoreFailed as error:
        exit_with_error([f"the accounts cannot be used: {error}"])
    except (ApiError, msgspec.ValidationError) as error:
        exit_with_api_error(error)


def exit_with_field_error(error: FieldError) -> NoReturn:
    """Print what cannot be used and what would do, and exit."""
    remedy = error.expected[:1].upper() + error.expected[1:]
    exit_with_error([f"{error.field}: {error.problem}"], remedy if remedy.endswith("?") else f"{remedy}.")


def warn_unmatched(config: Config | None, patterns: Iterable[str]) -> None:
    """Warn of models of a key by which it may use nothing, as far as this configuration serves anything."""
    if config is None:
        return
    try:
        routes = build_routes(config, config.build_catalog(), Runtime().today())
    except ConfigError:
        return
    unmatched = ", ".join(unmatched_patterns(routes, dict.fromkeys(patterns)))
    if unmatched:
        warn([f"{_UNMATCHED.format(unmatched)}; `modelmux models` lists what is served"])


def json_option(command: F) -> F:
    """Add ``--json`` to a command."""
    return click.option("--json", "json", is_flag=True, help="Print JSON for machines.")(command)


def listed(text: str, no_limit: str = ALL) -> tuple[str, ...]:
    """``fast,deep`` -> its parts.

    :param no_limit: the word for an empty list, which nothing else stands for.
    :raises click.BadParameter: nothing but separators, which would allow all.
    """
    if is_word(text, no_limit):
        return ()
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if not parts:
        raise click.BadParameter(f"{text!r} lists nothing; expected names with commas between them")
    return parts


def refuse_empty(options: Mapping[str, str | None]) -> None:
    """An empty value is a variable that is not set, and must not open what it should limit: words clear a field.

    :raises click.BadParameter:
    """
    for name, value in options.items():
        if value is not None and not value.strip():
            raise click.BadParameter(f"--{name} is empty; give it a value, or leave the option out")


def is_word(text: str, word: str) -> bool:
    """Whether the value of an option is ``ALL`` or ``NONE``, in any case."""
    return text.strip().lower() == word


def tag_pairs(text: str) -> tuple[tuple[str, str], ...]:
    """``app=chat,env=prod`` -> its pairs; ``none`` has none."""
    parts = (part.partition("=") for part in listed(text, NONE))
    return tuple((name.strip(), value.strip()) for name, _, value in parts)


def instant(text: str, now: int) -> int | None:
    """``90d`` from now, ``2026-12-31`` in UTC, or RFC 3339 -> microseconds; None for ``never``.

    :raises click.BadParameter:
    """
    if text.strip().lower() == "never":
        return None
    try:
        return now + round(Seconds.parse(text.strip()) * _MICRO)
    except ValueError as error:
        problem = _duration_problem(text, error, "90d, 2026-12-31 or never")
    try:
        return parse_instant(text.strip())
    except ValueError:
        raise click.BadParameter(problem) from None


def duration(text: str) -> float:
    """Seconds. :raises click.BadParameter:"""
    try:
        return Seconds.parse(text.strip())
    except ValueError as error:
        raise click.BadParameter(_duration_problem(text, error, "24h or 30d")) from None


def _duration_problem(text: str, error: ValueError, examples: str) -> str:
    if str(error) == Seconds.expected:
        return f"{text!r} is not a time such as {examples}"
    return f"{text!r} is not {error}"  # it is too long


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    """Columns that other programs can split: no cell is empty, and none has a space."""
    cells = [list(heads), *([one_line(cell).replace(" ", "_") if cell else "-" for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def print_fields(fields: Sequence[tuple[str, str | None]]) -> None:
    """One field a line; those without a value are left out."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        if value:
            click.echo(f"{name:<{width}}  {one_line(value)}")
