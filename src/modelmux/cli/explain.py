"""``modelmux explain``: what would be sent for a request, and why, without sending it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from modelmux.claude.context import Translated
from modelmux.claude.notices import Notice
from modelmux.claude.prefix import first_difference
from modelmux.cli.output import exit_with_config_error, exit_with_error
from modelmux.config import Config, ConfigError, build_routes, load
from modelmux.dialects.openai_chat.content import remote_urls
from modelmux.dialects.openai_chat.request import translate_request
from modelmux.errors import GatewayError
from modelmux.gateway.attempts import LONG_REPLY_TOKENS
from modelmux.routing.routes import Route
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


def _translate(path: Path, model: str | None, find: Callable[[str], Route]) -> tuple[Translated, Route]:
    try:
        body = path.read_bytes()
    except OSError as error:
        exit_with_error(
            [f"{path}: cannot be read: {error.strerror}"], "Pass a file with a Chat Completions request body."
        )
    request, unknown = chat_request.read_request(body)
    request.model = model or request.model
    route = find(request.model)
    assets = {url: _placeholder(url, where, request) for url, where in remote_urls(request).items()}
    translated = translate_request(request, route.deployments[0].card, route.options, unknown=unknown, assets=assets)
    translated.body.stream = True if request.stream or translated.body.max_tokens > LONG_REPLY_TOKENS else None
    return translated, route


def _placeholder(
    url: str, where: str, request: chat_request.ChatRequest
) -> anthropic.ImageBlock | anthropic.DocumentBlock:
    """What is sent in place of the content of a URL, which is not downloaded."""
    _, message, _, part = where.split(".")
    content = request.messages[int(message)].content
    kind = "application/pdf" if content and isinstance(content[int(part)], chat_request.FilePart) else "image/*"
    source = anthropic.Base64Source(kind, f"<fetched from {url}>")
    return anthropic.ImageBlock(source) if kind == "image/*" else anthropic.DocumentBlock(source)


def _show(translated: Translated, route: Route) -> None:
    for deployment in route.deployments:
        click.echo(f"POST {deployment.url}{verb(stream=bool(translated.body.stream))}")
    for beta in translated.betas:
        click.echo(f"anthropic-beta: {beta}")
    click.echo(f"\n{msgspec.json.format(anthropic.encode_request(translated.body), indent=2).decode()}\n")
    click.echo("notices:" if translated.notices else "notices: none")
    for notice in translated.notices:
        click.echo(f"  {_line(notice)}")


def _line(notice: Notice) -> str:
    return f"{notice.action} {notice.field}: {notice.reason}"


def _compare(first: Translated, second: Translated) -> None:
    difference = first_difference(first.body, second.body)
    if difference is None:
        click.echo("\nturn 1 is a prefix of turn 2: caches and thinking signatures remain valid")
    else:
        click.echo(f"\nturn 1 is not a prefix of turn 2: {difference}")
        raise SystemExit(1)
