"""Thinking blocks of the history: those that a client sends back, those remembered for it, and those that may be sent.

Signed blocks are opaque and go back unchanged, or not at all. All go back, or only the latest without a gap: a block
whose predecessor is missing is bound to a conversation that is no longer sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from msgspec.structs import replace

from modelmux.claude.draft import Draft, SignedThinking
from modelmux.claude.open_calls import LEGACY_PREFIX
from modelmux.claude.request import ClaudeRequest, ThinkingRun
from modelmux.wire.anthropic import (
    Block,
    InputMessage,
    MessagesRequest,
    RedactedThinkingBlock,
    ThinkingBlock,
    ToolUseBlock,
)

_OTHER_MODEL: Final = "Thinking of another model is not sent."


def apply(draft: Draft) -> None:
    """Restore remembered thinking, and drop what this model cannot read.

    Blocks from the client take precedence. Other tool calls are looked up in memory from the end backwards, until one
    is unknown: older blocks would leave a gap.
    """
    if not draft.card.thinking:
        if has_thinking(draft.body):
            draft.body = without_thinking(draft.body)
        return
    if draft.request.thinking_runs:
        if _is_off(draft):
            draft.body = without_thinking(draft.body)
            _note_dropped(draft, "Thinking is turned off.")
            return
        _keep_own_runs(draft)
    if draft.request.returns_thinking:  # memory would close a gap that the client left
        return
    changed: dict[int, InputMessage] = {}
    remembering = True
    messages = draft.body.messages
    for index in range(len(messages) - 1, -1, -1):
        blocks = messages[index].content
        if messages[index].role != "assistant":
            continue
        content, remembering = _restored(draft, blocks, remembering=remembering)
        if content is not blocks:
            changed[index] = InputMessage("assistant", content)
    if changed:
        draft.body.messages = [changed.get(index, message) for index, message in enumerate(messages)]


def _restored(draft: Draft, blocks: list[Any], *, remembering: bool) -> tuple[list[Any], bool]:
    """An assistant turn with the thinking it may have, and whether older turns may be looked up."""
    returned = [block for block in blocks if isinstance(block, SignedThinking)]
    calls = [block for block in blocks if isinstance(block, ToolUseBlock)]
    if not returned and not remembering:
        return blocks, False
    if not returned and calls and _recalled(draft, calls[0]) is None:  # the others need no look-up
        return blocks, False
    known = [_recalled(draft, call) for call in calls]
    remembered = [block for thinking in known for block in thinking or ()]
    if returned and draft.other_model:
        own = [block for block in returned if block in remembered]
        if own != returned:
            _note_dropped(draft, _OTHER_MODEL)
            blocks, returned = [b for b in blocks if not isinstance(b, SignedThinking) or b in own], own
    if returned:  # without their positions between the calls: if they are the remembered ones, the memory knows them
        return _positioned(blocks, known) if returned == remembered else blocks, remembering
    if known and remembering:
        return (blocks, False) if known[0] is None else (_positioned(blocks, known), True)
    return blocks, remembering


def _is_off(draft: Draft) -> bool:
    reasoning = draft.request.reasoning
    return reasoning is not None and reasoning.level == "none" and "disabled" in draft.card.thinking


def _keep_own_runs(draft: Draft) -> None:
    """Drop runs of other models, and of this model those before a gap."""
    runs = draft.request.thinking_runs
    own = [index for index, run in enumerate(runs) if run.model == draft.card.id]
    if len(own) < len(runs):
        _note_dropped(draft, _OTHER_MODEL)
    first = _first_without_gap([runs[index] for index in own])
    if first:
        _note_dropped(draft, "Thinking before a gap is not sent.")
    sent = set(own[first:])
    if len(sent) == len(runs):
        return
    is_sent = iter([index in sent for index, run in enumerate(runs) for _ in run.blocks])
    draft.body.messages = [
        InputMessage(m.role, [b for b in m.content if not isinstance(b, SignedThinking) or next(is_sent)])
        for m in draft.body.messages
    ]


def _first_without_gap(runs: list[ThinkingRun]) -> int:
    """The index of the first run after which none is missing. Runs are numbered from 0 within a response."""
    first, seen = 0, set[str]()
    for index, run in enumerate(runs):
        before = runs[index - 1] if index else None
        if before is not None and before.response_id == run.response_id:
            follows = run.index == before.index + 1
        else:
            follows = run.index == 0 and run.response_id not in seen
        if not follows:
            first = index
        seen.add(run.response_id)
    return first


def _note_dropped(draft: Draft, reason: str) -> None:
    draft.notices.add("dropped", draft.request.fields.messages, reason)


def _recalled(draft: Draft, call: ToolUseBlock) -> tuple[SignedThinking, ...] | None:
    client_id = draft.request.client_ids.get(call.id, call.id)
    if client_id.startswith(LEGACY_PREFIX):
        return ()  # it has no id to look it up by, and leaves no gap
    return draft.recall(client_id)


def _positioned(blocks: list[Any], known: list[tuple[SignedThinking, ...] | None]) -> list[Any]:
    """A turn with remembered thinking: of its first call at the start, of the others right before their calls."""
    if not any(known):
        return blocks
    content: list[Any] = list(known[0] or ())
    later: Iterator[tuple[SignedThinking, ...] | None] = iter([None, *known[1:]])
    for block in blocks:
        if isinstance(block, ToolUseBlock):
            thinking = next(later)
            content += thinking or ()
        if not isinstance(block, SignedThinking):
            content.append(block)
    return content


def thinking_by_tool_call(blocks: Iterable[Block]) -> list[tuple[str, tuple[SignedThinking, ...]]]:
    """The tool calls of a reply, each with the signed thinking that came right before it."""
    calls: list[tuple[str, tuple[SignedThinking, ...]]] = []
    thinking: list[SignedThinking] = []
    for block in blocks:
        signed: SignedThinking | None = None
        if block.type == "redacted_thinking":
            signed = redacted_thinking(block.data)
        elif block.type == "thinking":
            signed = signed_thinking(block.thinking, block.signature)
        if signed is not None:
            thinking.append(signed)
        elif block.type == "tool_use" and block.id:
            calls.append((block.id, tuple(thinking)))
            thinking = []
    return calls


def call_ids(request: ClaudeRequest) -> list[str]:
    """The client's ids of the tool calls of a history by which thinking may be remembered, the newest first."""
    turns = (message.content for message in reversed(request.body.messages) if message.role == "assistant")
    calls = (block.id for content in turns for block in content if isinstance(block, ToolUseBlock))
    ids = (request.client_ids.get(id, id) for id in calls)
    return list(dict.fromkeys(id for id in ids if not id.startswith(LEGACY_PREFIX)))


def signed_thinking(text: Any, signature: Any) -> ThinkingBlock | None:
    """A thinking block as it may be sent back; None for one without a signature."""
    if not isinstance(signature, str) or not signature:
        return None
    return ThinkingBlock(text if isinstance(text, str) else "", signature)


def redacted_thinking(data: Any) -> RedactedThinkingBlock | None:
    """A redacted block as it may be sent back; None for one without data."""
    return RedactedThinkingBlock(data) if isinstance(data, str) and data else None


def has_thinking(body: MessagesRequest) -> bool:
    """Whether a body holds thinking blocks."""
    return any(isinstance(block, SignedThinking) for message in body.messages for block in message.content)


def all_thinking(body: MessagesRequest) -> list[SignedThinking]:
    """The thinking blocks of a body, in order."""
    return [
        block
        for message in body.messages
        if message.role == "assistant"
        for block in message.content
        if isinstance(block, SignedThinking)
    ]


def without_thinking(
    body: MessagesRequest, rejected: Callable[[SignedThinking], bool] = lambda _: True
) -> MessagesRequest:
    """A copy of a body without thinking blocks: legal, and the remedy for a rejected signature.

    :param rejected: which ones to leave out; all by default.
    """
    messages = [
        InputMessage(m.role, [b for b in m.content if not (isinstance(b, SignedThinking) and rejected(b))])
        for m in body.messages
    ]
    return replace(body, messages=[message for message in messages if message.content])
