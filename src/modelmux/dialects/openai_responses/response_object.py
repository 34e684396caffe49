"""Response objects of one reply, as JSON. What repeats the request is encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

from msgspec import Raw
from msgspec.structs import replace

from modelmux.dialects.openai_responses.plan import Echo, ResponsesPlan
from modelmux.dialects.openai_shared.token_counts import token_counts
from modelmux.errors import GatewayError
from modelmux.wire import anthropic
from modelmux.wire.openai import responses_reply as wire

#: Stop reasons of a reply that is not complete: the limit of tokens was reached, or it is not continued.
TRUNCATED: Final = frozenset({"max_tokens", "model_context_window_exceeded", "compaction", "pause_turn"})


class ResponseObject:
    """
    :param id: ``resp_…``.
    :param created: Unix seconds.
    """

    def __init__(self, plan: ResponsesPlan, id: str, created: int) -> None:
        self._plan = plan
        self.id = id
        self.created = created
        #: What the client is told; false once the response could not be stored.
        self.store = plan.store

    def in_progress(self, *, with_tools: bool = True) -> bytes:
        """The object before the end.

        :param with_tools: repeat the declared tools, which may be large.
        """
        return self._encode(self._head("in_progress"), self._constants if with_tools else self._without_tools)

    def ended(
        self,
        stop_reason: str | None,
        usage: anthropic.Usage | None,
        output: Sequence[bytes],
        completed_at: int | None,
    ) -> bytes:
        """The object of a complete reply."""
        head = self._head("completed", output)
        head.usage = translate_usage(usage)
        if stop_reason in TRUNCATED:
            head.status, head.incomplete_details = "incomplete", wire.IncompleteDetails()
        else:
            head.completed_at = completed_at
        return self._encode(head, self._constants)

    def failed(self, error: GatewayError, usage: anthropic.Usage | None, output: Sequence[bytes]) -> bytes:
        """The object of a reply that failed.

        :param output: the items that were complete.
        """
        head = self._head("failed", output)
        head.error = wire.ResponseError(error_code(error), error.public_message)
        head.usage = None if usage is None else translate_usage(usage)
        return self._encode(head, self._constants)

    def blocked(self, usage: anthropic.Usage | None, output: Sequence[bytes]) -> bytes:
        """The object of a reply that a content policy stopped."""
        head = self._head("incomplete", output)
        head.incomplete_details = wire.IncompleteDetails("content_filter")
        head.usage = translate_usage(usage)
        return self._encode(head, self._constants)

    def compacted(self, usage: anthropic.Usage | None, output: Sequence[bytes]) -> bytes:
        """The object of ``/responses/compact``."""
        return wire.encode(
            wire.CompactedResponse(
                id=self.id, created_at=self.created, output=list(map(Raw, output)), usage=translate_usage(usage)
            )
        )

    def _head(self, status: wire.ResponseStatus, output: Sequence[bytes] = ()) -> wire.ResponseHead:
        return wire.ResponseHead(
            id=self.id, created_at=self.created, status=status, output=list(map(Raw, output)), store=self.store
        )

    def _encode(self, head: wire.ResponseHead, constants: bytes) -> bytes:
        return wire.merge_objects(wire.encode(head), constants)

    @cached_property
    def _constants(self) -> bytes:
        return self._repeated(self._plan.echo)

    @cached_property
    def _without_tools(self) -> bytes:
        return self._repeated(replace(self._plan.echo, tools=[]))

    def _repeated(self, echo: Echo) -> bytes:
        """What repeats the request, and OpenAI's default of a parameter that the model was not sent."""
        plan = self._plan
        temperature = 1.0 if plan.temperature is None else plan.temperature
        top_p = 1.0 if plan.top_p is None else plan.top_p
        constants = wire.ResponseConstants(model=plan.model, temperature=temperature, top_p=top_p)
        return wire.merge_objects(wire.encode(constants), wire.encode(echo))


def translate_usage(usage: anthropic.Usage | None) -> wire.Usage:
    """Token counts as clients of this API expect them."""
    counts = token_counts(usage)
    return wire.Usage(
        input_tokens=counts.input,
        input_tokens_details=wire.InputTokensDetails(counts.cache_read, counts.cache_written),
        output_tokens=counts.output,
        output_tokens_details=wire.OutputTokensDetails(counts.reasoning),
        total_tokens=counts.input + counts.output,
    )


def error_code(error: GatewayError) -> wire.ErrorCode:
    """The code of an error inside a stream. Others than these fail the validation of strict clients."""
    if error.status == 429:
        return "rate_limit_exceeded"
    return "invalid_prompt" if 400 <= error.status < 500 else "server_error"
