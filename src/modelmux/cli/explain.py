"""``modelmux explain``: what would be sent for a request, and why, without sending it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from modelmux.claude.embed import embed
from modelmux.claude.limits import LONG_REPLY_TOKENS
from modelmux.claude.notices import Notice
from modelmux.claude.prefix import first_difference
from modelmux.claude.prepare import PreparedRequest, prepare
from modelmux.claude.request import RemoteFile
from modelmux.cli.output import exit_with_config_error, exit_with_error
from modelmux.config import Config, ConfigError, build_routes, load
from modelmux.dialects.openai_chat.request import to_claude_request
from modelmux.errors import GatewayError
from modelmux.routing.model import Route
from modelmux.wire import anthropic
from modelmux.wire.google.vertex import verb
from modelmux.wire.openai import chat_request

_DEFAULT_CONFIG = {"vertex": {"project": "PROJECT", "location": "global"}}


@click.command()
@click.argument("request", type=click.Path(path_type=Path))
@click.option("--model", help="Use this model instead of the one in the request.")
@click.option("--turn2", type=click.Path(path_type=Path), help="The next request of the same conversation.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Configuration file.")
def explain(request: Path, model: str | None, turn2: Path | None, config_path: Path | None) -> None:
    """Print the URL, the exact body and all notices for the Chat Completions request in the file REQUEST."""
    try:
        config = load(config_path) if config_path else Config.from_dict(_DEFAULT_CONFIG)
        routes = build_routes(config, config.build_catalog())
    except ConfigError as error:
        exit_with_config_error(error)
    try:
        first, route = _translate(request, model, routes.find)
        _show(first, route)
        if turn2 is not None:
            second, _ = _translate(turn2, model, routes.find)
            _compare(first, second)
    except GatewayError as error:
        where = f" ({error.param})" if error.param else ""
        exit_with_error([f"{error.status}{where}: {error.message}"], error.hint)


def _translate(path: Path, model: str | None, find: Callable[[str], Route]) -> tuple[PreparedRequest, Route]:
    try:
        body = path.read_bytes()
    except OSError as error:
        exit_with_error(
            [f"{path}: cannot be read: {error.strerror}"], "Pass a file with a Chat Completions request body."
        )
    request, unknown = chat_request.decode_request_with_unknown(body)
    request.model = model or request.model
    route = find(request.model)
    decoded, plan = to_claude_request(request, unknown)
    decoded = embed(decoded, {file.url: _placeholder(file) for file in reversed(decoded.remote_files)})
    translated = prepare(decoded, plan, route.deployments[0].card, route.options)
    translated.body.stream = True if request.stream or translated.body.max_tokens > LONG_REPLY_TOKENS else None
    return translated, route


def _placeholder(file: RemoteFile) -> anthropic.ImageBlock | anthropic.DocumentBlock:
    """Nothing is downloaded: a placeholder says what would be there."""
    data = f"<fetched from {file.url}>"
    if file.kind == "image":
        return anthropic.ImageBlock(anthropic.Base64Source("image/*", data))
    return anthropic.DocumentBlock(anthropic.Base64Source("application/pdf", data))


def _show(translated: PreparedRequest, route: Route) -> None:
    for deployment in route.deployments:
        click.echo(f"POST {deployment.url}{verb(stream=bool(translated.body.stream))}")
    for beta in translated.betas:
        click.echo(f"anthropic-beta: {beta}")
    click.echo(f"\n{msgspec.json.format(anthropic.encode_request(translated.body), indent=2).decode()}\n")
    click.echo("notices:" if translated.notices else "notices: none")
    for notice in translated.notices:
        click.echo(f"  {_notice_line(notice)}")


def _notice_line(notice: Notice) -> str:
    return f"{notice.action} {notice.field}: {notice.reason}"


def _compare(first: PreparedRequest, second: PreparedRequest) -> None:
    difference = first_difference(first.body, second.body)
    if difference is None:
        click.echo("\nturn 1 is a prefix of turn 2: caches and thinking signatures remain valid")
    else:
        click.echo(f"\nturn 1 is not a prefix of turn 2: {difference}")
        raise SystemExit(1)
