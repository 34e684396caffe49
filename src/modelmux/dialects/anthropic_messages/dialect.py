"""Anthropic Messages as a ``Dialect``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.anthropic_messages.errors import error_response, response_headers
from modelmux.dialects.anthropic_messages.models import encode_model, encode_models
from modelmux.dialects.anthropic_messages.request import decode_native
from modelmux.dialects.anthropic_messages.stream import MessagesEncoder
from modelmux.dialects.base import Decoded, ErrorResponse, Inbound, ListedModel, RateLimit
from modelmux.dialects.rate_limit_headers import anthropic_headers
from modelmux.errors import GatewayError
from modelmux.wire.http import Headers


class AnthropicMessages:
    """The dialect of ``POST /v1/messages``: requests and replies pass in their own bytes."""

    name: Final = "anthropic_messages"

    def decode(self, inbound: Inbound, body: bytes) -> Decoded:
        return decode_native(inbound.headers, body, stream=False if inbound.operation == "count_tokens" else None)

    def encoder(self, plan: ReplyPlan, *, id: str, created: int, request_id: str) -> MessagesEncoder:
        del id, created
        return MessagesEncoder(plan, request_id)

    def token_count(self, count: bytes) -> bytes:
        return count

    def reply_headers(self, request_id: str, upstream: Headers) -> Headers:
        return response_headers(request_id, upstream)

    def rate_limit_headers(self, limits: Sequence[RateLimit]) -> Headers:
        return anthropic_headers(limits)

    def error(self, error: GatewayError, request_id: str) -> ErrorResponse:
        return error_response(error, request_id)

    def models(self, models: Sequence[ListedModel], query: Mapping[str, str]) -> bytes:
        return encode_models(models, query)

    def model(self, model: ListedModel) -> bytes:
        return encode_model(model)
