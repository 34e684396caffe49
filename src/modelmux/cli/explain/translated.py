"""``modelmux explain`` for the dialects that are translated: a Messages body for each model of the route."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import click
import msgspec

from modelmux.catalog import ModelCard
from modelmux.claude.embed import embed
from modelmux.claude.limits import LONG_REPLY_TOKENS
from modelmux.claude.notices import Notice, reject_notices
from modelmux.claude.prefix import first_difference
from modelmux.claude.prepare import PreparedRequest, prepare
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest, RemoteFile
from modelmux.cli.explain.calls import show_calls
from modelmux.dialects.base import Decoded, Dialect, DialectOptions, Inbound
from modelmux.dialects.stored_responses import History, HistoryQuery
from modelmux.routing.model import Deployment, Route
from modelmux.wire import anthropic
from modelmux.wire.google.vertex import verb

#: The beginning of the ids of reasoning items; what is in them cannot be shown by a text.
_REASONING: Final = "rs_"


class Translated(NamedTuple):
    """A request, ready to be prepared for each model of its route.

    :param stored: what it refers to in the store; None if it is complete.
    :param strict: reject the request where it would be changed.
    """

    request: ClaudeRequest
    plan: ReplyPlan
    route: Route
    wants_stream: bool
    stored: HistoryQuery | None
    strict: bool = False

    def prepare(self, card: ModelCard) -> PreparedRequest:
        """:raises InvalidRequest: the model cannot answer it, or strict mode forbids the changes it needs."""
        is_other = card.id != self.route.card.id
        prepared = prepare(self.request, self.plan, card, self.route.options, other_model=is_other)
        if self.strict:
            reject_notices(prepared.notices)
        streams = self.wants_stream or prepared.body.max_tokens > LONG_REPLY_TOKENS
        prepared.body.stream = True if streams else None
        return prepared


def translate(
    dialect: Dialect, body: bytes, model: str | None, find: Callable[[str], Route], options: DialectOptions
) -> Translated:
    """
    :param model: instead of the one in the request.
    :raises GatewayError: the gateway rejects the request.
    """
    if model is not None:
        body = _with_model(body, model)
    decoded = dialect.decode(Inbound("explain", 0.0, options=options), body)
    stored = decoded.unresolved.query if decoded.unresolved is not None else None
    decoded = _complete(decoded)
    route = find(model or decoded.model)
    request = decoded.request
    assert request is not None, "it refers to nothing any more"
    request = embed(request, {file.url: _placeholder(file) for file in reversed(request.remote_files)})
    return Translated(request, decoded.plan, route, decoded.stream, stored)


def _with_model(body: bytes, model: str) -> bytes:
    """A request that names no model, with one; any other body as it is."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(fields, dict) or "model" in fields:
        return body
    before, brace, after = body.partition(b"{")
    return b"".join((before, brace, b'"model":', msgspec.json.encode(model), b"," if fields else b"", after))


def _complete(decoded: Decoded) -> Decoded:
    """With a placeholder for each stored item, because nothing is looked up."""
    if decoded.unresolved is None:
        return decoded
    ids = decoded.unresolved.query.item_ids
    items = {id: _stored_item(id) for id in ids if not id.startswith(_REASONING)}
    return decoded.unresolved.complete(History(by_id=items))


def _stored_item(id: str) -> bytes:
    item = {"type": "message", "role": "assistant", "content": f"<stored item {id}>"}
    return msgspec.json.encode(item)


def _placeholder(file: RemoteFile) -> anthropic.ImageBlock | anthropic.DocumentBlock:
    """Nothing is downloaded: a placeholder says what would be there."""
    data = f"<fetched from {file.url}>"
    if file.kind == "image":
        return anthropic.ImageBlock(anthropic.Base64Source("image/*", data))
    return anthropic.DocumentBlock(anthropic.Base64Source("application/pdf", data))


def show(translated: Translated, first: PreparedRequest) -> None:
    """Print the calls for each model, in the order of the route; those of models that get the same body together."""
    show_calls(translated.route, first, translated.prepare, _show_call, key=_sent)


def _sent(prepared: PreparedRequest) -> object:
    return prepared.body, prepared.betas, prepared.notices


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


def compare(first: PreparedRequest, second: PreparedRequest) -> None:
    """Print whether one prompt is a prefix of the other; exits with 1 if not."""
    difference = first_difference(first.body, second.body)
    if difference is None:
        click.echo("\nturn 1 is a prefix of turn 2: caches and thinking signatures remain valid")
    else:
        click.echo(f"\nturn 1 is not a prefix of turn 2: {difference}")
        raise SystemExit(1)
