"""Thinking that a client sends back with an assistant message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from modelmux.claude.draft import SignedThinking
from modelmux.claude.notices import Notices
from modelmux.claude.thinking_blocks import redacted_thinking, signed_thinking
from modelmux.wire.openai.chat_request import AssistantMessage, RedactedThinkingPart, ThinkingPart

#: What Claude would refuse, and what is said of it.
_UNSIGNED: Final = "Thinking without Claude's signature cannot be sent back."
_BLOCKS: Final = ("thinking", "redacted_thinking")


def returned_thinking(message: AssistantMessage, notices: Notices, path: str) -> list[SignedThinking]:
    """Signed blocks in any of the forms clients use: ``thinking_blocks``, ``reasoning_details``, content parts.

    Unsigned blocks and those of other providers are dropped, never converted to text. A notice reports a block in
    Claude's form whose signature is missing. Nothing is said of text alone, ``reasoning_details`` without a signature
    included: SDKs send it back by themselves, and it was shown to people only.

    :param path: of the message.
    """
    blocks = [_from_block(raw) for raw in message.thinking_blocks or ()]
    if message.thinking_blocks:
        kinds = [raw.get("type") in _BLOCKS for raw in message.thinking_blocks]
        _report_unsigned(blocks, kinds, notices, f"{path}.thinking_blocks")
    if not any(blocks):
        blocks = [_from_detail(raw) for raw in message.reasoning_details or ()]
    if not any(blocks) and isinstance(message.content, list):
        blocks = [_from_part(part) for part in message.content]
        kinds = [isinstance(part, ThinkingPart | RedactedThinkingPart) for part in message.content]
        _report_unsigned(blocks, kinds, notices, f"{path}.content")
    return [block for block in blocks if block is not None]


def _report_unsigned(
    blocks: Sequence[SignedThinking | None], kinds: Sequence[bool], notices: Notices, path: str
) -> None:
    """A notice for each block that is lost.

    :param kinds: whether each is a block of Claude's form at all.
    """
    for index, (block, is_thinking) in enumerate(zip(blocks, kinds, strict=True)):
        if block is None and is_thinking:
            notices.add("dropped", f"{path}.{index}", _UNSIGNED)


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
