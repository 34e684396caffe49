"""Thinking blocks of the history: what a client returns, what was remembered for it, and what may be sent.

Signed blocks are opaque and go back unchanged; unsigned ones and those of other providers are dropped, never turned
into text. All go back, or only the latest without a gap: a block whose predecessor is missing is bound to a
conversation that is no longer sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from modelmux.translate.context import Context, Thought
from modelmux.wire.anthropic import Block, InputMessage, MessagesRequest, RedactedThinkingBlock, ThinkingBlock
from modelmux.wire.openai_chat import AssistantMessage, ChatMessage, RedactedThinkingPart, ThinkingPart


class Thoughts(Struct, frozen=True):
    """Thinking of one assistant message: ``before[i]`` goes right before tool call i; ``leading`` to its start."""

    leading: tuple[Thought, ...] = ()
    before: tuple[tuple[Thought, ...], ...] = ()


def of_history(messages: list[ChatMessage], ctx: Context) -> dict[int, Thoughts]:
    """Thoughts by message index, for the messages that may carry them.

    What the client returns wins. For its plain tool calls the memory is asked, from the end backwards, until it does
    not know one: what is older would leave a gap.
    """
    found: dict[int, Thoughts] = {}
    if not ctx.card.thinking:
        return found
    remembering = True
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if not isinstance(message, AssistantMessage):
            continue
        returned = _returned(message)
        if returned:
            found[index] = _placed(returned, message, ctx)
        elif message.tool_calls and remembering:
            known = [ctx.recall(call.id) for call in message.tool_calls]
            if known[0] is None:
                remembering = False
            else:
                found[index] = _in_memory(known)
    return found


def _in_memory(known: list[tuple[Thought, ...] | None]) -> Thoughts:
    """Each call's remembered thoughts right before it."""
    return Thoughts(known[0] or (), ((), *(k or () for k in known[1:])))


def _placed(returned: list[Thought], message: AssistantMessage, ctx: Context) -> Thoughts:
    """Returned thoughts, which come without their places between the calls: where they are the remembered ones, the
    memory knows them; else all stand at the start."""
    known = [ctx.recall(call.id) for call in message.tool_calls or ()]
    if [thought for thoughts in known for thought in thoughts or ()] == returned:
        return _in_memory(known)
    return Thoughts(tuple(returned))


def _returned(message: AssistantMessage) -> list[Thought]:
    """Signed blocks in any of the forms clients use: ``thinking_blocks``, ``reasoning_details``, content parts."""
    blocks = [_block(raw) for raw in message.thinking_blocks or ()]
    if not any(blocks):
        blocks = [_detail(raw) for raw in message.reasoning_details or ()]
    if not any(blocks) and isinstance(message.content, list):
        blocks = [_part(part) for part in message.content]
    return [block for block in blocks if block is not None]


def _block(raw: dict[str, Any]) -> Thought | None:
    if raw.get("type") == "redacted_thinking":
        return _redacted(raw.get("data"))
    return _signed(raw.get("thinking"), raw.get("signature")) if raw.get("type") == "thinking" else None


def _detail(raw: dict[str, Any]) -> Thought | None:
    if raw.get("type") == "reasoning.encrypted":
        return _redacted(raw.get("data"))
    return _signed(raw.get("text"), raw.get("signature")) if raw.get("type") == "reasoning.text" else None


def _part(part: Any) -> Thought | None:
    if isinstance(part, ThinkingPart):
        return _signed(part.thinking, part.signature)
    return _redacted(part.data) if isinstance(part, RedactedThinkingPart) else None


def _signed(text: Any, signature: Any) -> ThinkingBlock | None:
    if not isinstance(signature, str) or not signature:
        return None
    return ThinkingBlock(text if isinstance(text, str) else "", signature)


def _redacted(data: Any) -> RedactedThinkingBlock | None:
    return RedactedThinkingBlock(data) if isinstance(data, str) and data else None


def by_call(blocks: Iterable[Block]) -> list[tuple[str, tuple[Thought, ...]]]:
    """The tool calls of a reply, each with the signed thinking that came right before it."""
    found: list[tuple[str, tuple[Thought, ...]]] = []
    thoughts: list[Thought] = []
    for block in blocks:
        thought = (
            _redacted(block.data)
            if block.type == "redacted_thinking"
            else _signed(block.thinking, block.signature)
            if block.type == "thinking"
            else None
        )
        if thought is not None:
            thoughts.append(thought)
        elif block.type == "tool_use" and block.id:
            found.append((block.id, tuple(thoughts)))
            thoughts = []
    return found


def has_thoughts(body: MessagesRequest) -> bool:
    """Whether a body carries thinking blocks."""
    return bool(thoughts_in(body))


def thoughts_in(body: MessagesRequest) -> list[Thought]:
    """The thinking blocks of a body, in order."""
    return [block for message in body.messages for block in message.content if isinstance(block, Thought)]


def without_thoughts(body: MessagesRequest, refused: Callable[[Thought], bool] = lambda _: True) -> MessagesRequest:
    """The same body with thinking blocks left out: legal, and what helps when a signature is refused.

    :param refused: which ones; all by default.
    """
    kept = [(m.role, [b for b in m.content if not (isinstance(b, Thought) and refused(b))]) for m in body.messages]
    changed = MessagesRequest(**{name: getattr(body, name) for name in body.__struct_fields__})
    changed.messages = [InputMessage(role, blocks) for role, blocks in kept if blocks]
    return changed
