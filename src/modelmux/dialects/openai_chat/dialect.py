"""OpenAI Chat Completions as a ``Dialect``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.base import Decoded, ErrorResponse, Inbound, ListedModel, RateLimit
from modelmux.dialects.openai_chat.decode import decode
from modelmux.dialects.openai_chat.models import encode_model, encode_models
from modelmux.dialects.openai_chat.stream import ChatEncoder
from modelmux.dialects.rate_limit_headers import limits_of_error, openai_headers
from modelmux.dialects.request_body import decode_legal
from modelmux.errors import GatewayError
from modelmux.wire.http import Headers
from modelmux.wire.openai import common


class OpenAIChat:
    """The dialect of ``POST /v1/chat/completions``."""

    name: Final = "openai_chat"

    def decode(self, inbound: Inbound, body: bytes) -> Decoded:
        del inbound
        (request, claude_request, plan), legal = decode_legal(body, decode)
        if legal.notices:
            claude_request = replace(claude_request, notices=(*legal.notices, *claude_request.notices))
        return Decoded(
            request.model,
            bool(request.stream),
            claude_request,
            plan,
            request.prompt_cache_key or None,
            end_user=request.safety_identifier or request.user,
            metadata=request.metadata,
        )

    def encoder(self, plan: ReplyPlan, *, id: str, created: int, request_id: str) -> ChatEncoder:
        del request_id
        return ChatEncoder(plan, id=f"chatcmpl-{id}", created=created)

    def reply_headers(self, request_id: str, upstream: Headers) -> Headers:
        del request_id, upstream
        return []

    def rate_limit_headers(self, limits: Sequence[RateLimit]) -> Headers:
        return openai_headers(limits)

    def error(self, error: GatewayError, request_id: str) -> ErrorResponse:
        del request_id
        headers = openai_headers(limits_of_error(error))
        return ErrorResponse(error.status, common.encode(common.envelope(error)), headers)

    def models(self, models: Sequence[ListedModel], query: Mapping[str, str]) -> bytes:
        del query
        return encode_models(models)

    def model(self, model: ListedModel) -> bytes:
        return encode_model(model)
