"""What the usage commands have in common: the options for a period and for what counts, and the ledger they read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Final, TypeVar, get_args

import click

from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError
from modelmux.accounts.periods import Period, parse_period
from modelmux.cli.output import exit_with_config_error, exit_with_error
from modelmux.config import Config, ConfigError
from modelmux.config.accounts_check import ZONE_HINT, zone_of
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.directory.open_directory import load_directory
from modelmux.store.ledger.base import Ledger
from modelmux.store.ledger.open_ledger import NoLedger, open_existing_ledger
from modelmux.telemetry.records import Outcome

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

#: Dimension -> the values that count, as queries have them.
Where = tuple[tuple[str, tuple[str, ...]], ...]

_DURATION: Final = re.compile(r"[0-9]+[hdwHDW]")
_OUTCOMES: Final = get_args(Outcome)
_TAG: Final = re.compile(r"tag:[a-z0-9_.-]{1,64}")


@dataclass(frozen=True)
class Sources:
    """What the commands take from their surroundings; a test passes its own as click's object of the context.

    :param now: Unix seconds.
    """

    open_ledger: Callable[[Config], Ledger] = open_existing_ledger
    now: Callable[[], float] = field(default_factory=lambda: Runtime().now)
    load_directory: Callable[[Config], Directory] = load_directory

    @classmethod
    def of(cls, context: click.Context) -> Sources:
        return context.find_object(cls) or cls()


def period_options(command: F) -> F:
    """Add ``--last``, ``--period`` and ``--zone`` to a command."""
    return days_options(zone_option(command))


def days_options(command: F) -> F:
    """Add ``--last`` and ``--period`` to a command."""
    for option in (
        click.option("--period", metavar="PERIOD", help="today, this-month, 2026-11, 2026-11-01..2026-11-15 …"),
        click.option("--last", metavar="TIME", help="Up to now: 24h, 30d (today included), 4w."),
    ):
        command = option(command)
    return command


def zone_option(command: F) -> F:
    """Add ``--zone`` to a command."""
    text = "Time zone in which days and months begin, such as Europe/Berlin; accounts.zone by default."
    return click.option("--zone", metavar="NAME", help=text)(command)


def where_option(*dimensions: str) -> Callable[[F], F]:
    """Add ``--where`` to a command, as ``Where``.

    :param dimensions: those that the query knows, besides tags.
    """

    def convert(context: click.Context, _param: click.Parameter, values: Sequence[str]) -> Where:
        chosen: dict[str, tuple[str, ...]] = {}
        for text in values:
            name, equals, listed = text.partition("=")
            each = tuple(value.strip() for value in listed.split(",") if value.strip())
            if not equals or not each:
                raise click.BadParameter(f"{text!r} is not NAME=VALUE", context)
            check_dimension(name.strip(), dimensions)
            if name.strip() == "outcome":
                check_outcomes(each)
            chosen[name.strip()] = (*chosen.get(name.strip(), ()), *each)
        return tuple(chosen.items())

    return click.option(
        "--where", multiple=True, metavar="NAME=VALUE", callback=convert,
        help=f"Count only these: {', '.join(dimensions)} or tag:NAME. Several values with commas. Repeatable.",
    )  # fmt: skip


def check_dimension(name: str, dimensions: Sequence[str]) -> None:
    """:raises click.BadParameter: it is none of these, and no tag."""
    if name not in dimensions and not _TAG.fullmatch(name):
        raise click.BadParameter(f"{name!r} is not one of {', '.join(dimensions)} and tag:NAME")


def check_outcomes(values: Sequence[str]) -> None:
    """:raises click.BadParameter: no row can have one of these."""
    for value in values:
        if value not in _OUTCOMES:
            raise click.BadParameter(f"{value!r} is not one of {', '.join(_OUTCOMES)}")


def read_zone(name: str | None, config: Config) -> tuple[str, tzinfo]:
    """The zone of ``--zone``, or of the configuration, with its name."""
    return read_zone_of(name or config.accounts.zone)


def read_zone_of(name: str) -> tuple[str, tzinfo]:
    """A zone with its name; exits if this machine has none of it."""
    try:
        zone = zone_of(name)
    except ValueError as error:
        exit_with_error([str(error)], ZONE_HINT)
    return ("UTC" if zone is UTC else name), zone


def read_period(
    last: str | None, period: str | None, zone: tzinfo, now: float, *, option: str = "--period"
) -> Period | None:
    """The period of ``--last`` or ``--period``; None without either.

    :param option: what ``period`` is called.
    :raises click.UsageError: both, or one that is not a period.
    """
    if last is not None and period is not None:
        raise click.UsageError(f"--last and {option} exclude each other")
    text = last if last is not None else period
    if text is None:
        return None
    if last is not None and not _DURATION.fullmatch(last.strip()):
        message = f"{last!r} is not a time such as 24h, 30d or 4w; --period takes names and dates"
        raise click.BadParameter(message, param_hint="--last")
    try:
        return parse_period(text, int(now * 1_000_000), zone)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--last" if last is not None else option) from None


def with_ledger(context: click.Context, config: Config, action: Callable[[Ledger], Awaitable[T]]) -> T:
    """Open the ledger, do something with it, and close it; exits with what went wrong."""
    sources = Sources.of(context)

    async def run() -> T:
        ledger = sources.open_ledger(config)
        try:
            return await action(ledger)
        finally:
            await ledger.aclose()

    try:
        return asyncio.run(run())
    except ConfigError as error:
        exit_with_config_error(error)
    except NoLedger as error:
        exit_with_error([str(error)], error.hint)
    except StoreFailed as error:
        exit_with_error([f"the ledger cannot be used: {error}"])
    except FieldError as error:
        exit_with_error([f"{error.field}: {error.problem}"], error.remedy)
    except ValueError as error:
        exit_with_error([f"the ledger cannot answer this: {error}"], "Ask for another period, zone or filter.")


def refuse_options_of_group(context: click.Context) -> None:
    """Options before a command would have no effect. :raises click.UsageError: there are some."""
    options = [
        name
        for name in context.params
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]  # fmt: skip
    if options:
        named = {param.name: param.opts[0] for param in context.command.params}
        path = f"{context.command_path} {context.invoked_subcommand}"
        raise click.UsageError(f"options go after the command: `{path} {named[options[0]]} …`", context)


def unpriced_warning(number: int) -> str:
    """What to do about requests whose cost is not known."""
    requests = counted(number, "request")
    return (
        f"the cost lacks {requests} whose price is unknown: add the model to [accounts.prices], then run "
        "`modelmux usage rerate`"
    )


def counted(number: int, noun: str) -> str:
    """``1 request``, ``2,000 requests``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
