"""``modelmux config init``: a first configuration, by questions or by options, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from modelmux.catalog import builtin
from modelmux.cli.api_key import new_key
from modelmux.cli.config import gcloud, prompts
from modelmux.cli.config.atomic_write import write_private_file
from modelmux.cli.config.parsers import (
    InitOptions,
    InvalidValue,
    Model,
    parse_credential_file,
    parse_location,
    parse_model,
    parse_project,
)
from modelmux.cli.output import exit_with_error, warn
from modelmux.config import ConfigError, build_routes, parse
from modelmux.config.load import user_file
from modelmux.config.sources import CONFIG_VARIABLE
from modelmux.config.template import render

T = TypeVar("T")


@click.command()
@click.option("--yes", is_flag=True, help="Ask nothing: take the options, and what the environment and gcloud know.")
@click.option("--project", help="Google Cloud project.")
@click.option("--location", help="global, us, eu or a region.  [default: global]")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="[NAME=]MODEL",
    help="Serve this model, perhaps under a name of your own. Repeatable; all of the catalog if not given.",
)
@click.option("--credentials", metavar="FILE", help="A credential file, instead of Application Default Credentials.")
@click.option("--api-key", metavar="KEY", help="A key that clients have to send.")
@click.option("--generate-api-key", is_flag=True, help="Make such a key and print it.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option(
    "--path", "path", type=click.Path(path_type=Path), metavar="FILE", help="Write here, instead of the usual place."
)
@click.option("--force", is_flag=True, help="Replace a file that is there; a copy stays beside it.")
def init(
    yes: bool, project: str | None, location: str | None, models: tuple[str, ...], credentials: str | None,
    api_key: str | None, generate_api_key: bool, port: int | None, path: Path | None, force: bool,
) -> None:  # fmt: skip
    """Write a commented configuration with every setting in it."""
    if api_key is not None and generate_api_key:
        raise click.UsageError("--api-key and --generate-api-key exclude each other")
    ask = not yes
    if ask and not prompts.interactive():
        exit_with_error(["there is no terminal to ask questions on"],
             "Add --yes, and what it cannot find out: modelmux config init --yes --project PROJECT")  # fmt: skip
    target = (path or _usual_file()).expanduser()
    replace = _may_replace(target, force=force, ask=ask)
    of = _taken(parse_project, project) if project else prompts.ask_project() if ask else _known_project()
    where = _taken(parse_location, location) if location else prompts.ask_location() if ask else _known_location()
    answers = InitOptions(
        project=of,
        location=where,
        models=[_taken(parse_model, m) for m in models] if models else prompts.ask_models(where) if ask else [],
        credentials=_taken(parse_credential_file, credentials) if credentials else
        prompts.ask_credentials() if ask else None,
        api_key=api_key, port=port,
    )  # fmt: skip
    if generate_api_key or (ask and api_key is None and prompts.ask_for_key()):
        answers.api_key = new_key()
    _write(target, answers, replace=replace)
    if answers.api_key and answers.api_key != api_key:
        click.echo(f"the key of your clients: {answers.api_key}")
    click.echo("next: `modelmux doctor` checks that it works, `modelmux` serves")


def _usual_file() -> Path:
    return Path(os.environ.get(CONFIG_VARIABLE) or user_file(os.environ))


def _taken(take: Callable[[str], T], text: str) -> T:
    try:
        return take(text)
    except InvalidValue as error:
        exit_with_error([str(error)])


def _known_project() -> str:
    found = gcloud.project(os.environ)
    if found is None:
        exit_with_error(["no Google Cloud project is known"],
             "Name it with --project, or set GOOGLE_CLOUD_PROJECT, or run `gcloud config set project`.")  # fmt: skip
    return _taken(parse_project, found.value)


def _known_location() -> str:
    found = gcloud.location(os.environ)
    return _taken(parse_location, found.value) if found else "global"


def _may_replace(target: Path, *, force: bool, ask: bool) -> bool:
    if not target.exists() or force:
        return force
    if ask and prompts.may_replace(target):
        return True
    _exists(target)


def _exists(target: Path) -> NoReturn:
    exit_with_error([f"{target} exists already; nothing was changed"],
         "--force replaces it and keeps a copy; `modelmux config edit` opens it.")  # fmt: skip


def _write(target: Path, answers: InitOptions, *, replace: bool) -> None:
    text = render(answers.settings())
    try:
        config = parse(text)
        build_routes(config, config.build_catalog())
    except ConfigError as error:
        exit_with_error(error.problems, error.hint)
    warn(_unknown(answers.models))
    try:
        backup = write_private_file(target, text, replace=replace)
    except FileExistsError:
        _exists(target)
    except OSError as error:
        exit_with_error([f"{target}: cannot be written: {error.strerror}"], "Name another place with --path.")
    if backup is not None:
        click.echo(f"kept {backup}")
    click.echo(f"wrote {target}")


def _unknown(models: Sequence[Model]) -> list[str]:
    return [
        f"the catalog does not know {m.id}: it gets cautious limits" for m in models if builtin().find(m.id) is None
    ]
