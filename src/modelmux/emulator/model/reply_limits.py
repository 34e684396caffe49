"""Where a reply ends (stop sequences, ``max_tokens``, the context window), and its output usage."""

from __future__ import annotations

import json
from typing import Final

from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.model import tokens
from modelmux.emulator.model.reply import EmulatedReply, EmulatedUsage, Json

_CALL_OVERHEAD: Final = 24  # tokens of a tool call in addition to its arguments
_MESSAGE_OVERHEAD: Final = 3


class ReplyDraft:
    """A reply being written: its blocks, and the data that they do not show."""

    def __init__(self) -> None:
        self.content: list[Json] = []
        self.partial: dict[int, str] = {}
        self.hidden: dict[int, str] = {}
        self.thinking_tokens = 0
        self.web_searches = 0
        self.stop_reason = "end_turn"
        self.stop_sequence: str | None = None

    def count_thinking(self, thinking: str, *, hidden: bool) -> None:
        """Count the last block, a thinking block whose full text is ``thinking``."""
        self.thinking_tokens += tokens.of_text(thinking)
        if hidden:
            self.hidden[len(self.content) - 1] = thinking


def apply_limits(draft: ReplyDraft, call: EmulatedCall, usage: EmulatedUsage) -> EmulatedReply:
    """Cut a draft to the request's limits and count its tokens."""
    _stop_at_sequence(draft, call.body.get("stop_sequences") or [])
    prompt_tokens = usage.input + usage.cache_read + usage.cache_5m + usage.cache_1h
    available = max(call.context_window - prompt_tokens, 0)
    limit = int(call.body.get("max_tokens") or 0)
    output = _cut(draft, min(limit, available), "max_tokens" if limit <= available else "model_context_window_exceeded")
    usage.output = output
    usage.thinking = min(draft.thinking_tokens, output)
    usage.web_searches = draft.web_searches
    return EmulatedReply(
        id="",
        model="",
        content=draft.content,
        stop_reason=draft.stop_reason,
        stop_sequence=draft.stop_sequence,
        usage=usage,
        partial=draft.partial,
        hidden_thinking=draft.hidden,
    )


def _stop_at_sequence(draft: ReplyDraft, sequences: list[str]) -> None:
    """End the reply at the first stop sequence in its text; the sequence itself is not part of the reply."""
    for index, block in enumerate(draft.content):
        if block["type"] != "text":
            continue
        text = block["text"]
        matches = [(text.find(sequence), sequence) for sequence in sequences if sequence and sequence in text]
        if matches:
            start, sequence = min(matches)
            draft.content = draft.content[:index] + ([{**block, "text": text[:start]}] if start else [])
            draft.stop_reason, draft.stop_sequence = "stop_sequence", sequence
            return


def _cut(draft: ReplyDraft, limit: int, reason: str) -> int:
    """Cut the draft to ``limit`` tokens; returns the tokens used."""
    left = limit - _MESSAGE_OVERHEAD
    for index, block in enumerate(draft.content):
        cost = _cost(draft, index, block)
        if cost <= left:
            left -= cost
            continue
        draft.content = draft.content[:index]
        draft.stop_reason, draft.stop_sequence = reason, None
        shortened = _shortened(draft, index, block, max(left, 0))
        if shortened is not None:
            draft.content.append(shortened)
        return limit
    return limit - left


def _cost(draft: ReplyDraft, index: int, block: Json) -> int:
    kind = block["type"]
    if kind == "text":
        return tokens.of_text(block["text"])
    if kind in ("thinking", "redacted_thinking"):
        return tokens.of_text(draft.hidden.get(index, "") or block.get("thinking", ""))
    if kind in ("tool_use", "server_tool_use"):
        return _CALL_OVERHEAD + tokens.of_text(json.dumps(block["input"]))
    return 0


def _shortened(draft: ReplyDraft, index: int, block: Json, left: int) -> Json | None:
    """The start of a block, cut to ``left`` tokens; None if nothing fits. Thinking that is cut has no signature."""
    kind = block["type"]
    if kind == "text":
        text = tokens.truncate(block["text"], left)
        return {**block, "text": text} if text else None
    if kind == "thinking":
        draft.hidden.pop(index, None)
        return {**block, "thinking": tokens.truncate(block["thinking"], left), "signature": ""}
    if kind == "tool_use" and left > _CALL_OVERHEAD:
        encoded = json.dumps(block["input"], ensure_ascii=False)
        draft.partial[index] = tokens.truncate(encoded, left - _CALL_OVERHEAD)
        return {**block, "input": {}}
    return None
