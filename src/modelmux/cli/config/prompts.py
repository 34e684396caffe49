"""The prompts of ``config init``, on stderr, each with a default. Not in this module: writing files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TypeVar

import click

from modelmux.catalog import ModelCard, builtin, lifecycle_warning
from modelmux.cli.config import gcloud
from modelmux.cli.config.parsers import (
    InvalidValue,
    Model,
    parse_credential_file,
    parse_location,
    parse_model,
    parse_project,
)
from modelmux.cli.output import print_lines
from modelmux.runtime import Runtime

T = TypeVar("T")


def interactive() -> bool:
    """Whether stdin and stderr are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_project() -> str:
    suggestion = gcloud.project(os.environ)
    source = f" (from {suggestion.source})" if suggestion else ""
    return _ask(f"Google Cloud project{source}", parse_project, suggestion.value if suggestion else None)


def ask_location() -> str:
    suggestion = gcloud.location(os.environ)
    return _ask("Location: global, us, eu or a region", parse_location, suggestion.value if suggestion else "global")


def ask_models(location: str) -> list[Model]:
    """The models to serve; an empty list for the whole catalog, of which retired models are not offered."""
    today = Runtime().today()
    cards = [card for card in builtin().cards if card.served_in(location)]
    cards.sort(key=lambda card: card.is_retired(today))
    click.echo(f"Models served in {location}:", err=True)
    for number, card in enumerate(cards, 1):
        click.echo(f"  {number:>2}  {_with_retirement(card, today)}", err=True)

    def parse(text: str) -> list[Model]:
        words = text.replace(",", " ").split()
        if words == ["all"]:
            return []
        return [parse_model(_by_number(word, [card.base for card in cards])) for word in words]

    return _ask("Models to serve: numbers or names, or all that are not retired", parse, "all")


def _with_retirement(card: ModelCard, today: date) -> str:
    """A model's name, and what is known of its retirement if that is near, past, or has happened."""
    warning = lifecycle_warning(card, today)
    return card.base if warning is None else f"{card.base:<20}  {warning.removeprefix(card.id).strip()}"


def _by_number(word: str, names: list[str]) -> str:
    if not word.isdigit():
        return word
    if not 0 < int(word) <= len(names):
        raise InvalidValue(f"{word} is out of range; choose a number from 1 to {len(names)}")
    return names[int(word) - 1]


def ask_credentials() -> str | None:
    """A credential file; None for Application Default Credentials."""
    file = gcloud.credentials(os.environ)
    state = str(file) if file else "none; `gcloud auth application-default login` creates them (docs/google-setup.md)"
    click.echo(f"Application Default Credentials: {state}", err=True)

    def parse(text: str) -> str | None:
        return None if text == "default" else parse_credential_file(text)

    return _ask("Credentials: default, or the path of a key file", parse, "default")


def ask_for_key() -> bool:
    return click.confirm("Generate an API key that clients have to send?", default=False, err=True)


def _ask(question: str, parse: Callable[[str], T], default: str | None) -> T:
    while True:
        text: str = click.prompt(question, default=default, err=True)
        try:
            return parse(text.strip())
        except InvalidValue as error:
            print_lines("error", [str(error)], "red")


def confirm_replace(path: Path) -> bool:
    return click.confirm(f"{path} exists. Replace it? The old file is kept as .bak.", default=False, err=True)
