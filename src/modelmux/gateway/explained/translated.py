"""A request of a dialect that is translated, as a Messages body for each model of its route."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from modelmux.catalog import ModelCard
from modelmux.claude.embed import embed
from modelmux.claude.limits import LONG_REPLY_TOKENS
from modelmux.claude.notices import reject_notices
from modelmux.claude.prepare import PreparedRequest, prepare
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest, RemoteFile
from modelmux.config import Config
from modelmux.dialects.base import Decoded, Dialect, DialectOptions, Inbound
from modelmux.dialects.stored_responses import History, HistoryQuery
from modelmux.gateway.explained.calls import Calls, calls_of
from modelmux.routing.model import Route
from modelmux.wire import anthropic

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

    def calls(self, first: PreparedRequest) -> Calls[PreparedRequest]:
        """Those of each model. :param first: the request for the route's own model."""
        return calls_of(self.route, first, self.prepare, key=_sent)


def dialect_options(config: Config) -> DialectOptions:
    """What the gateway does with these settings. What it has sealed cannot be opened here: that needs the caller."""
    settings = config.responses
    return DialectOptions(
        stores_responses=settings.store != "off",
        drops_hosted_tools=settings.hosted_tools == "drop",
        web_search=settings.web_search,
    )


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


def _sent(prepared: PreparedRequest) -> object:
    return prepared.body, prepared.betas, prepared.notices
