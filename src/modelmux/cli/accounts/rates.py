"""Options and texts for rate limits of keys, teams, people and selected requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from modelmux.accounts.rates import RATES, Rate, Rates
from modelmux.cli.accounts.directory import NONE, is_word

F = TypeVar("F", bound=Callable[..., Any])
_HELP: Final[dict[Rate, str]] = {
    "rpm": "Requests a minute; or none.",
    "tpm": "Tokens a minute, without those that are read from the cache; or none.",
    "itpm": "The same for tokens of input; or none.",
    "otpm": "The same for tokens of output; or none.",
    "concurrent": "Requests at once; or none.",
}


def rate_options(command: F) -> F:
    """Add ``--rpm`` and so on."""
    for rate in reversed(RATES):
        command = click.option(f"--{rate}", metavar="NUMBER", help=_HELP[rate])(command)
    return command


def take_rates(options: dict[str, Any]) -> dict[str, int | None]:
    """The limits that options name, which are taken out of them; None for one that is taken away.

    :raises click.BadParameter:
    """
    texts = {rate: text for rate in RATES if (text := options.pop(rate)) is not None}
    return {rate: None if is_word(text, NONE) else _number(rate, text) for rate, text in texts.items()}


def rates_text(rates: Rates | None) -> str | None:
    """``rpm=60,concurrent=5``; None without any."""
    return None if rates is None else ",".join(f"{rate}={limit}" for rate, limit in rates.items())


def _number(rate: str, text: str) -> int:
    try:
        return int(text.replace(",", "").replace("_", ""))
    except ValueError:
        raise click.BadParameter(f"--{rate}: {text!r} is not a number such as 60, or none") from None
