"""Thinking that a client sends back with an assistant message."""

from __future__ import annotations

from typing import Any

from modelmux.claude.draft import SignedThinking
from modelmux.claude.thinking_blocks import redacted_thinking, signed_thinking
from modelmux.wire.openai.chat_request import AssistantMessage, RedactedThinkingPart, ThinkingPart


def returned_thinking(message: AssistantMessage) -> list[SignedThinking]:
    """Signed blocks in any of the forms clients use: ``thinking_blocks``, ``reasoning_details``, content parts.

    Unsigned blocks and those of other providers are dropped, never converted to text.
    """
    blocks = [_from_block(raw) for raw in message.thinking_blocks or ()]
    if not any(blocks):
        blocks = [_from_detail(raw) for raw in message.reasoning_details or ()]
    if not any(blocks) and isinstance(message.content, list):
        blocks = [_from_part(part) for part in message.content]
    return [block for block in blocks if block is not None]


def _from_block(raw: dict[str, Any]) -> SignedThinking | None:
    if raw.get("type") == "redacted_thinking":
        return redacted_thinking(raw.get("data"))
    return signed_thinking(raw.get("thinking"), raw.get("signature")) if raw.get("type") == "thinking" else None


def _from_detail(raw: dict[str, Any]) -> SignedThinking | None:
    """OpenRouter's form. ``format`` names the provider; blocks that another one signed or encrypted are not
    Claude's."""
    provider = raw.get("format") or "unknown"
    if provider != "unknown" and not str(provider).startswith("anthropic"):
        return None
    if raw.get("type") == "reasoning.encrypted":
        return redacted_thinking(raw.get("data"))
    return signed_thinking(raw.get("text"), raw.get("signature")) if raw.get("type") == "reasoning.text" else None


def _from_part(part: Any) -> SignedThinking | None:
    if isinstance(part, ThinkingPart):
        return signed_thinking(part.thinking, part.signature)
    return redacted_thinking(part.data) if isinstance(part, RedactedThinkingPart) else None
