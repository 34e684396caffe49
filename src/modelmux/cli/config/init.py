"""``modelmux config init``: a first configuration, from answers or options, written completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import click

from modelmux.catalog import builtin, lifecycle_warning
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
from modelmux.cli.config.system_file import check_system_credentials, check_system_options, share_with_service
from modelmux.cli.output import exit_with_error, warn
from modelmux.config import ConfigError, build_routes, parse
from modelmux.config.home import expand_user
from modelmux.config.load import SYSTEM_FILE, user_file
from modelmux.config.sources import CONFIG_VARIABLE
from modelmux.config.template import render
from modelmux.runtime import Runtime

T = TypeVar("T")
_NEXT: Final = (
    "`modelmux doctor --live` checks the setup, with one token from each model; `modelmux serve` starts the gateway"
)


@click.command()
@click.option("--yes", is_flag=True, help="Do not prompt: use the options, the environment and gcloud.")
@click.option("--project", help="Google Cloud project.")
@click.option("--location", help="global, us, eu or a region.  [default: global]")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="[NAME=]MODEL",
    help="Serve this model, optionally under another name. Repeatable; by default all that are not retired.",
)
@click.option("--credentials", metavar="FILE", help="Credential file instead of Application Default Credentials.")
@click.option("--api-key", metavar="KEY", help="API key that clients have to send.")
@click.option("--generate-api-key", is_flag=True, help="Generate such a key and print it.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option(
    "--path",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write instead of the default.",
)
@click.option("--system", is_flag=True, help=f"Write {SYSTEM_FILE}, which a system service reads.")
@click.option("--force", is_flag=True, help="Replace an existing file; the old one is kept with the suffix .bak.")
def init(
    yes: bool, project: str | None, location: str | None, models: tuple[str, ...], credentials: str | None,
    api_key: str | None, generate_api_key: bool, port: int | None, path: Path | None, system: bool, force: bool,
) -> None:  # fmt: skip
    """Write a commented configuration that lists every setting."""
    if api_key is not None and generate_api_key:
        raise click.UsageError("--api-key and --generate-api-key exclude each other")
    if system:
        check_system_options(path)
    ask = not yes
    if ask and not prompts.interactive():
        exit_with_error(
            ["cannot prompt: stdin and stderr are not a terminal"],
            "Use --yes, with what it cannot detect: modelmux config init --yes --project PROJECT",
        )
    target = SYSTEM_FILE if system else expand_user(path or _default_file())
    replace = _check_replace(target, force=force, ask=ask)
    project = _project(project, ask=ask)
    location = _location(location, ask=ask)
    answers = InitOptions(
        project=project,
        location=location,
        models=[_parse_or_exit(parse_model, m) for m in models] or (prompts.ask_models(location) if ask else []),
        credentials=_parse_or_exit(parse_credential_file, credentials) if credentials else
        prompts.ask_credentials() if ask else None,
        api_key=api_key, port=port,
    )  # fmt: skip
    if system:
        check_system_credentials(answers.credentials)
    if generate_api_key or (ask and api_key is None and prompts.ask_for_key()):
        answers.api_key = new_key()
    _write(target, answers, replace=replace)
    _print_key(answers.api_key, api_key)
    click.echo(f"next: {share_with_service(target) if system else _NEXT}")


def _print_key(key: str | None, own: str | None) -> None:
    """:param own: the key that the user has passed, who knows it."""
    if not key:
        click.echo("clients need no key, so only this machine can connect; --generate-api-key makes one")
    elif key != own:
        click.echo(f"API key for your clients: {key}")


def _default_file() -> Path:
    return Path(os.environ.get(CONFIG_VARIABLE) or user_file(os.environ))


def _parse_or_exit(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except InvalidValue as error:
        exit_with_error([str(error)])


def _project(given: str | None, *, ask: bool) -> str:
    if given:
        return _parse_or_exit(parse_project, given)
    return prompts.ask_project() if ask else _detected_project()


def _location(given: str | None, *, ask: bool) -> str:
    if given:
        return _parse_or_exit(parse_location, given)
    return prompts.ask_location() if ask else _detected_location()


def _detected_project() -> str:
    suggestion = gcloud.project(os.environ)
    if suggestion is None:
        exit_with_error(
            ["cannot determine the Google Cloud project"],
            "Pass --project, or set GOOGLE_CLOUD_PROJECT, or run `gcloud config set project`.",
        )
    return _parse_or_exit(parse_project, suggestion.value)


def _detected_location() -> str:
    suggestion = gcloud.location(os.environ)
    return _parse_or_exit(parse_location, suggestion.value) if suggestion else "global"


def _check_replace(target: Path, *, force: bool, ask: bool) -> bool:
    if not target.exists() or force:
        return force
    if ask and prompts.confirm_replace(target):
        return True
    _exit_because_it_exists(target)


def _exit_because_it_exists(target: Path) -> NoReturn:
    exit_with_error(
        [f"{target} already exists; nothing was changed"],
        "--force replaces it and keeps a copy; `modelmux config edit` opens it in your editor.",
    )


def _write(target: Path, answers: InitOptions, *, replace: bool) -> None:
    text = render(answers.settings())
    try:
        config = parse(text)
        build_routes(config, config.build_catalog(), Runtime().today())
    except ConfigError as error:
        exit_with_error(error.problems, error.hint)
    warn(_doubts(answers.models))
    try:
        backup = write_private_file(target, text, replace=replace)
    except FileExistsError:
        _exit_because_it_exists(target)
    except OSError as error:
        exit_with_error([f"{target}: cannot be written: {error.strerror}"], "Choose another file with --path.")
    if backup is not None:
        click.echo(f"kept the old file as {backup}")
    click.echo(f"wrote {target}")


def _doubts(models: Sequence[Model]) -> list[str]:
    """Chosen models that are not in the catalog, retired, or about to be."""
    today = Runtime().today()
    unknown = [
        f"{m.id} is not in the catalog: it gets conservative limits" for m in models if builtin().find(m.id) is None
    ]
    cards = [builtin().card(model.id) for model in models]
    return unknown + [warning for card in cards if (warning := lifecycle_warning(card, today)) is not None]
