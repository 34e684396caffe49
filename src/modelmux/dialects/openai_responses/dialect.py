"""OpenAI Responses as a ``Dialect``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.base import Decoded, ErrorResponse, Inbound, ListedModel, RateLimit
from modelmux.dialects.openai_chat.models import encode_model, encode_models
from modelmux.dialects.openai_responses.clients import is_codex
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.request import decode
from modelmux.dialects.openai_responses.stream import ResponsesEncoder
from modelmux.dialects.rate_limit_headers import limits_of_error, openai_headers
from modelmux.error_kinds import KINDS
from modelmux.errors import GatewayError
from modelmux.wire.http import Headers
from modelmux.wire.openai import common
from modelmux.wire.openai.responses_reply import InputTokenCount

#: Seconds that Codex waits after a 429 whose upstream does not say how long.
_CODEX_DELAY: Final = b"2"


class _Count(Struct):
    input_tokens: int


_count_decoder: Final = msgspec.json.Decoder(_Count)


class OpenAIResponses:
    """The dialect of ``POST /v1/responses``.

    :param compact: that of ``POST /v1/responses/compact``.
    """

    name: Final = "openai_responses"

    def __init__(self, *, compact: bool = False) -> None:
        self._compact = compact

    def decode(self, inbound: Inbound, body: bytes) -> Decoded:
        return decode(inbound, body, compact=self._compact)

    def encoder(self, plan: ReplyPlan, *, id: str, created: int, request_id: str) -> ResponsesEncoder:
        del request_id
        assert isinstance(plan, ResponsesPlan)
        return ResponsesEncoder(plan, id=id, created=created)

    def reply_headers(self, request_id: str, upstream: Headers) -> Headers:
        del request_id, upstream
        return []

    def rate_limit_headers(self, limits: Sequence[RateLimit]) -> Headers:
        return openai_headers(limits)

    def token_count(self, count: bytes) -> bytes:
        return common.encode(InputTokenCount(input_tokens=_count_decoder.decode(count).input_tokens))

    def error(self, error: GatewayError, request_id: str) -> ErrorResponse:
        """Codex retries a 413, which never helps; told that its context is full, it compacts the conversation. A 429
        it retries only with ``retry-after``, and does not show its message."""
        del request_id
        envelope, status = common.envelope(error), error.status
        if error.kind.name == "payload_too_large" and is_codex(error.request_headers):
            envelope.error.code, status = KINDS["context_length"].openai_code, KINDS["context_length"].status
        waits = error.kind.name == "rate_limit" and error.retry_after is None and is_codex(error.request_headers)
        headers = openai_headers(limits_of_error(error))
        if waits:
            headers.append((b"retry-after", _CODEX_DELAY))
        return ErrorResponse(status, common.encode(envelope), headers)

    def models(self, models: Sequence[ListedModel], query: Mapping[str, str]) -> bytes:
        del query
        return encode_models(models)

    def model(self, model: ListedModel) -> bytes:
        return encode_model(model)
