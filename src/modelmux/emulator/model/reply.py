"""A reply as data, before it is encoded: content blocks, stop reason, usage."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

Json = dict[str, Any]


class EmulatedUsage(Struct, kw_only=True):
    """Token counts of a reply. ``input`` counts what follows the last cache breakpoint."""

    input: int
    cache_read: int = 0
    cache_5m: int = 0
    cache_1h: int = 0
    output: int = 0
    thinking: int = 0
    web_searches: int = 0
    speed: str | None = None

    def at_start(self) -> Json:
        """The usage in ``message_start``: the input side, and the few output tokens up to then."""
        usage: Json = {
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.cache_5m + self.cache_1h,
            "cache_read_input_tokens": self.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.cache_5m,
                "ephemeral_1h_input_tokens": self.cache_1h,
            },
            "output_tokens": min(self.output, 4),
            "service_tier": "standard",
        }
        if self.speed is not None:
            usage["speed"] = self.speed
        return usage

    def at_end(self) -> Json:
        """The cumulative usage in ``message_delta``."""
        usage: Json = {
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.cache_5m + self.cache_1h,
            "cache_read_input_tokens": self.cache_read,
            "output_tokens": self.output,
        }
        if self.thinking:
            usage["output_tokens_details"] = {"thinking_tokens": self.thinking}
        if self.web_searches:
            usage["server_tool_use"] = {"web_search_requests": self.web_searches, "web_fetch_requests": 0}
        return usage


class EmulatedReply(Struct, kw_only=True):
    """One reply. ``content`` has the blocks of a unary reply.

    ``partial`` maps the index of a ``tool_use`` that ``max_tokens`` cut off to its partial JSON. ``hidden_thinking``
    maps the index of a thinking block whose text is hidden to that text: it takes time and tokens nevertheless.
    """

    id: str
    model: str
    content: list[Json]
    stop_reason: str
    usage: EmulatedUsage
    stop_sequence: str | None = None
    stop_details: Json | None = None
    partial: dict[int, str] = {}
    hidden_thinking: dict[int, str] = {}
    input_transformations: list[Json] | None = None
    #: Of ``context_management``; None unless the request has it.
    applied_edits: list[Json] | None = None

    def head(self) -> Json:
        """The message in ``message_start``."""
        message: Json = {
            "model": self.model,
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": self.usage.at_start(),
        }
        if self.input_transformations is not None:
            message["input_transformations"] = self.input_transformations
        return message

    def context_management(self) -> Json:
        """The field of the same name, at the end of a unary reply or in ``message_delta``; empty if there is none."""
        return {} if self.applied_edits is None else {"context_management": {"applied_edits": self.applied_edits}}

    def to_message(self) -> Json:
        """The complete message of a unary reply."""
        message = self.head()
        message["content"] = self.content
        message["stop_reason"] = self.stop_reason
        message["stop_sequence"] = self.stop_sequence
        message["stop_details"] = self.stop_details
        message["usage"] = {**self.usage.at_start(), **self.usage.at_end()}
        message.update(self.context_management())
        return message
