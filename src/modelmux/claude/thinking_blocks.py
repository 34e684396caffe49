"""Thinking blocks of the history: what a client returns, what was remembered for it, and what may be sent.

Signed blocks are opaque and go back unchanged; unsigned ones and those of other providers are dropped, never turned
into text. All go back, or only the latest without a gap: a block whose predecessor is missing is bound to a
conversation that is no longer sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from modelmux.claude.context import Context, Thought
from modelmux.wire.anthropic import Block, InputMessage, MessagesRequest, RedactedThinkingBlock, ThinkingBlock
from modelmux.wire.openai.chat_request import AssistantMessage, ChatMessage, RedactedThinkingPart, ThinkingPart


class Thoughts(Struct, frozen=True):
    """Thinking of one assistant message: ``before[i]`` goes right before tool call i; ``leading`` to its start."""

    leading: tuple[Thought, ...] = ()
    before: tuple[tuple[Thought, ...], ...] = ()


def of_history(messages: list[ChatMessage], ctx: Context) -> dict[int, Thoughts]:
    """Thoughts by message index, for the messages that may carry them.

    What the client returns wins. For its plain tool calls the memory is asked, from the end backwards, until it does
    not know one: what is older would leave a gap. Answers that follow one another are one answer, cut by the client.
    """
    found: dict[int, Thoughts] = {}
    if not ctx.card.thinking:
        return found
    remembering = True
    for answer in reversed(_answers(messages)):
        returned = {index: thoughts for index, message in answer.items() if (thoughts := _returned(message))}
        calls = [call.id for message in answer.values() for call in message.tool_calls or ()]
        if returned:
            found |= {index: _placed(thoughts, answer[index], ctx) for index, thoughts in returned.items()}
        elif calls and remembering:
            known = [ctx.recall(id) for id in calls]
            if known[0] is None:
                remembering = False
            else:
                found |= _in_memory(known, answer)
    return found


def _answers(messages: list[ChatMessage]) -> list[dict[int, AssistantMessage]]:
    """The assistant messages by index, those with nothing between them together."""
    found: list[dict[int, AssistantMessage]] = []
    for index, message in enumerate(messages):
        if not isinstance(message, AssistantMessage):
            continue
        if index and isinstance(messages[index - 1], AssistantMessage):
            found[-1][index] = message
        else:
            found.append({index: message})
    return found


def _in_memory(known: list[tuple[Thought, ...] | None], answer: dict[int, AssistantMessage]) -> dict[int, Thoughts]:
    """Each call's remembered thoughts right before it; those of the first before all that was said."""
    rest = iter([(), *(k or () for k in known[1:])])
    found = {index: Thoughts((), tuple(next(rest) for _ in m.tool_calls or ())) for index, m in answer.items()}
    start = next(index for index, m in answer.items() if m.content or m.tool_calls)
    found[start] = Thoughts(known[0] or (), found[start].before)
    return found


def _placed(returned: list[Thought], message: AssistantMessage, ctx: Context) -> Thoughts:
    """Returned thoughts, which come without their places between the calls: where they are the remembered ones, the
    memory knows them; else all stand at the start."""
    known = [ctx.recall(call.id) for call in message.tool_calls or ()]
    if [thought for thoughts in known for thought in thoughts or ()] == returned:
        return Thoughts(known[0] or (), ((), *(k or () for k in known[1:])))
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
    """OpenRouter's form. Its ``format`` says whose it is: what another provider signed or encrypted is not Claude's."""
    kind = raw.get("format") or "unknown"
    if kind != "unknown" and not str(kind).startswith("anthropic"):
        return None
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
