"""Errors and the model list for clients of Anthropic's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from modelmux.dialects.anthropic_messages.models import encode_model, encode_models
from modelmux.dialects.base import ListedModel
from modelmux.errors import GatewayError
from modelmux.wire.anthropic.models import ErrorBody, ErrorReply
from modelmux.wire.openai.common import encode


class AnthropicMessages:
    """Anthropic's shape of errors and of ``GET /v1/models``."""

    name: Final = "anthropic_messages"

    def error(self, error: GatewayError, request_id: str) -> bytes:
        del request_id
        return encode(ErrorReply(error=ErrorBody(type=error.kind.anthropic_type, message=error.public_message)))

    def models(self, models: Sequence[ListedModel], query: Mapping[str, str]) -> bytes:
        return encode_models(models, query)

    def model(self, model: ListedModel) -> bytes:
        return encode_model(model)
