"""``modelmux explain``: what would be sent for a request, and why, without sending it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from modelmux.catalog import ModelCard
from modelmux.claude.embed import embed
from modelmux.claude.limits import LONG_REPLY_TOKENS
from modelmux.claude.notices import Notice
from modelmux.claude.prefix import first_difference
from modelmux.claude.prepare import PreparedRequest, prepare
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest, RemoteFile
from modelmux.cli.exit import USAGE
from modelmux.cli.explain_messages import explain_messages, is_messages_request
from modelmux.cli.output import exit_with_config_error, exit_with_error
from modelmux.config import Config, ConfigError, build_routes, load
from modelmux.dialects.openai_chat.request import to_claude_request
from modelmux.errors import GatewayError
from modelmux.routing.model import Deployment, Route
from modelmux.runtime import Runtime
from modelmux.wire import anthropic
from modelmux.wire.google.vertex import verb
from modelmux.wire.openai import chat_request

_DEFAULT_CONFIG = {"vertex": {"project": "PROJECT", "location": "global"}}
_CONFIG_HELP = "TOML file to read. Without it, no file is read: the project is PROJECT, the location global."
_DIALECT_HELP = "API of the request; by default messages if only Messages has its fields, else chat."
_TURN2_HELP = "The next request of the same conversation; checks that the first prompt is a prefix of it."


@click.command()
@click.argument("request", type=click.Path(path_type=Path))
@click.option("--model", help="Use this model instead of the one in the request.")
@click.option("--turn2", type=click.Path(path_type=Path), help=_TURN2_HELP)
@click.option("--config", "config_path", type=click.Path(path_type=Path), help=_CONFIG_HELP)
@click.option("--dialect", type=click.Choice(["chat", "messages"]), help=_DIALECT_HELP)
@click.option("--beta", "betas", multiple=True, metavar="VALUE", help="Value of the header anthropic-beta; repeatable.")
def explain(
    request: Path, model: str | None, turn2: Path | None, config_path: Path | None, dialect: str | None,
    betas: tuple[str, ...],
) -> None:  # fmt: skip
    """Print the URLs, the exact body and all notices for the request in the file REQUEST.

    A name that is served by several models has a body for each, where they differ.
    """
    try:
        config = load(config_path) if config_path else Config.from_dict(_DEFAULT_CONFIG)
        routes = build_routes(config, config.build_catalog(), Runtime().today())
    except ConfigError as error:
        exit_with_config_error(error)
    body = _read(request)
    is_messages = dialect == "messages" or (dialect is None and is_messages_request(body))
    if turn2 is not None and is_messages:
        exit_with_error(["--turn2 is for Chat Completions"], "Messages are sent as they are.", code=USAGE)
    if betas and not is_messages:
        exit_with_error(["--beta is for Messages"], "Add --dialect messages, or leave it out.", code=USAGE)
    try:
        if is_messages:
            explain_messages(body, model, betas, routes.find)
            return
        first = _translate(body, model, routes.find)
        prepared = first.prepare(first.route.card)
        _show(first, prepared)
        if turn2 is not None:
            second = _translate(_read(turn2), model, routes.find)
            _compare(prepared, second.prepare(second.route.card))
    except GatewayError as error:
        where = f" ({error.param})" if error.param else ""
        exit_with_error([f"{error.status}{where}: {error.message}"], error.hint)


class _Translated(NamedTuple):
    """A request, ready to be prepared for each model of its route."""

    request: ClaudeRequest
    plan: ReplyPlan
    route: Route
    wants_stream: bool

    def prepare(self, card: ModelCard) -> PreparedRequest:
        """:raises InvalidRequest: the model cannot answer it."""
        is_other = card.id != self.route.card.id
        prepared = prepare(self.request, self.plan, card, self.route.options, other_model=is_other)
        streams = self.wants_stream or prepared.body.max_tokens > LONG_REPLY_TOKENS
        prepared.body.stream = True if streams else None
        return prepared


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        exit_with_error([f"{path}: cannot be read: {error.strerror}"], "Pass a file with the body of a request.")


def _translate(body: bytes, model: str | None, find: Callable[[str], Route]) -> _Translated:
    request, unknown = chat_request.decode_request_with_unknown(body)
    request.model = model or request.model
    route = find(request.model)
    decoded, plan = to_claude_request(request, unknown)
    decoded = embed(decoded, {file.url: _placeholder(file) for file in reversed(decoded.remote_files)})
    return _Translated(decoded, plan, route, bool(request.stream))


def _placeholder(file: RemoteFile) -> anthropic.ImageBlock | anthropic.DocumentBlock:
    """Nothing is downloaded: a placeholder says what would be there."""
    data = f"<fetched from {file.url}>"
    if file.kind == "image":
        return anthropic.ImageBlock(anthropic.Base64Source("image/*", data))
    return anthropic.DocumentBlock(anthropic.Base64Source("application/pdf", data))


def _show(translated: _Translated, first: PreparedRequest) -> None:
    """The calls for each model, in the order of the route; those of models that get the same body together."""
    calls: list[tuple[PreparedRequest, list[Deployment]]] = [(first, [])]
    refusals: list[tuple[ModelCard, GatewayError]] = []
    for card in translated.route.models:
        try:
            prepared = translated.prepare(card)
        except GatewayError as error:
            refusals.append((card, error))
            continue
        deployments = [deployment for deployment in translated.route.deployments if deployment.card.id == card.id]
        same = next((group for other, group in calls if _same(other, prepared)), None)
        if same is None:
            calls.append((prepared, deployments))
        else:
            same += deployments
    for index, (prepared, deployments) in enumerate(calls):
        if index:
            click.echo()
        _show_call(prepared, deployments)
    for card, refusal in refusals:
        click.echo(f"\n{card.id} is skipped, because it cannot answer this request: {refusal.message}")


def _same(one: PreparedRequest, other: PreparedRequest) -> bool:
    return (one.body, one.betas, one.notices) == (other.body, other.betas, other.notices)


def _show_call(prepared: PreparedRequest, deployments: Iterable[Deployment]) -> None:
    for deployment in deployments:
        click.echo(f"POST {deployment.url}{verb(stream=bool(prepared.body.stream))}")
    for beta in prepared.betas:
        click.echo(f"anthropic-beta: {beta}")
    click.echo(f"\n{msgspec.json.format(anthropic.encode_request(prepared.body), indent=2).decode()}\n")
    click.echo("notices:" if prepared.notices else "notices: none")
    for notice in prepared.notices:
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
