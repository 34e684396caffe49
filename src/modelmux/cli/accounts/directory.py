"""What the commands of keys, teams and people have in common: the directory, its author, times, lists, tables."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from modelmux.accounts.budget_windows import WindowState
from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.fields import FieldError
from modelmux.accounts.periods import parse_instant
from modelmux.cli.options import read_config
from modelmux.cli.output import exit_with_config_error, exit_with_error, printable, warn
from modelmux.cli.sanitize import one_line
from modelmux.cli.usage.options import read_zone
from modelmux.config import Config, ConfigError, build_routes
from modelmux.config.home import visible
from modelmux.config.values import Seconds
from modelmux.gateway.permitted_models import unmatched_patterns
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author, DirectoryStore
from modelmux.store.directory.issuer import Issuer, NewIds
from modelmux.store.directory.open_directory import open_directory, read_peppers
from modelmux.store.ledger.budget_states import states_of
from modelmux.store.ledger.open_ledger import ledger_path

if sys.platform != "win32":
    import pwd

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
_OTHER_USER: Final = (
    "if the gateway runs as another user or a service, pass the path of its file: --set accounts.store=sqlite:…"
)
_UNMATCHED: Final = "models: nothing that this configuration serves is called {}"


@dataclass(frozen=True)
class Access:
    """The directory of a configuration.

    :param issuer: reads the pepper, and makes it if there is none: for new secrets alone.
    """

    store: DirectoryStore
    config: Config
    ids: NewIds
    issuer: Callable[[], Issuer]
    author: Author
    now: int

    async def read(self) -> Directory:
        """The directory of now. Nothing is created."""
        directory, path = await self.store.read(Directory()), ledger_path(self.config)
        if not visible(path):
            warn([f"there is no file {printable(path)} yet; {_OTHER_USER}"])
        return directory

    async def states_of(
        self, directory: Directory, chosen: Iterable[tuple[Budget, str | None]], most: int = 100
    ) -> list[list[WindowState]]:
        """See ``budget_states``."""
        read_zone(None, self.config)  # exits with a remedy if this machine lacks it
        return await states_of(self.config, directory, self.now, chosen, most)

    async def change(self, decide: Callable[[Directory], Edit]) -> tuple[Directory, Edit]:
        """Change it, in this user's name."""
        return await self.store.change(decide, self.author, self.now)


def with_directory(config_path: Path | None, overrides: dict[str, Any], action: Callable[[Access], Awaitable[T]]) -> T:
    """Open the directory, do something with it, and close it; exits with what went wrong."""
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)
    config, runtime = loaded.config, Runtime()
    if not config.accounts.enabled:
        warn([_OFF])

    async def run() -> T:
        store = open_directory(config)
        access = Access(
            store=store,
            config=config,
            ids=NewIds(runtime.now),
            issuer=lambda: Issuer(read_peppers(config, directory=store.load), runtime.now),
            author=Author(_user(), "cli"),
            now=int(runtime.now() * _MICRO),
        )
        try:
            return await action(access)
        finally:
            await store.aclose()

    try:
        return asyncio.run(run())
    except ConfigError as error:
        exit_with_config_error(error)
    except FieldError as error:
        remedy = error.expected[:1].upper() + error.expected[1:]
        exit_with_error([f"{error.field}: {error.problem}"], remedy if remedy.endswith("?") else f"{remedy}.")
    except StoreFailed as error:
        exit_with_error([f"the accounts cannot be used: {error}"])


def warn_unmatched(config: Config, patterns: Iterable[str]) -> None:
    """Warn of models of a key by which it may use nothing, as far as this configuration serves anything."""
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
        return now + round(duration(text) * _MICRO)
    except click.BadParameter:
        pass
    try:
        return parse_instant(text.strip())
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time such as 90d, 2026-12-31 or never") from None


def duration(text: str) -> float:
    """Seconds. :raises click.BadParameter:"""
    try:
        return Seconds.parse(text.strip())
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time such as 24h or 30d") from None


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


def _user() -> str:
    """Of this process, as the system knows it: variables such as ``LOGNAME`` may name anybody."""
    if sys.platform == "win32":
        return getpass.getuser()
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # such as in a container
        return f"uid {uid}"
