"""Chat requests that mix other dialects in, as the upstream gets them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modelmux.catalog import ModelCard
from modelmux.claude.embed import embed
from modelmux.claude.options import Options
from modelmux.claude.prepare import PreparedRequest, prepare
from modelmux.dialects.base import Inbound
from modelmux.dialects.openai_chat.dialect import OpenAIChat
from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.validation.validate import validate_request
from modelmux.wire import anthropic
from support.translation import SONNET, body_of

Json = dict[str, Any]


def prepared(
    fields: Json,
    card: ModelCard = SONNET,
    files: Mapping[str, anthropic.ImageBlock | anthropic.DocumentBlock] | None = None,
) -> PreparedRequest:
    """A client's body, decoded by the dialect and prepared for a model; a model and a message are added where they are
    missing. The emulator's rules have to accept the result."""
    body = {"model": "m", **({} if "messages" in fields or "input" in fields else {"messages": [user("hi")]}), **fields}
    decoded = OpenAIChat().decode(Inbound("id", 0.0), json.dumps(body).encode())
    assert decoded.request is not None
    result = prepare(embed(decoded.request, files or {}), decoded.plan, card, Options(caching=False))
    upstream, betas = body_of(result), frozenset(result.betas)
    validate_request(EmulatedCall(project="p", location="global", model=card.id, card=card, body=upstream, betas=betas))
    return result


def upstream(fields: Json, card: ModelCard = SONNET) -> Json:
    return body_of(prepared(fields, card))


def told(fields: Json, card: ModelCard = SONNET) -> list[str]:
    """The notices, as in ``x-modelmux-notices``."""
    return [f"{notice.action}={notice.field}" for notice in prepared(fields, card).notices]


def user(*content: Any) -> Json:
    return {"role": "user", "content": content[0] if len(content) == 1 and isinstance(content[0], str) else [*content]}
