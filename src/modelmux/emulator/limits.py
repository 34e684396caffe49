"""Where a reply ends: stop sequences, ``max_tokens``, the context window; and what its output cost."""

from __future__ import annotations

import json
from typing import Final

from modelmux.emulator import tokens
from modelmux.emulator.call import Call
from modelmux.emulator.reply import Json, Reply, Usage

_CALL_OVERHEAD: Final = 24  # tokens of a tool call besides its arguments
_MESSAGE_OVERHEAD: Final = 3


class Draft:
    """A reply being written: its blocks, and what is not shown in them."""

    def __init__(self) -> None:
        self.content: list[Json] = []
        self.partial: dict[int, str] = {}
        self.hidden: dict[int, str] = {}
        self.thinking_tokens = 0
        self.web_searches = 0
        self.stop_reason = "end_turn"
        self.stop_sequence: str | None = None

    def thought(self, thoughts: str, *, hidden: bool) -> None:
        """The last block is a thinking block with this (full) text."""
        self.thinking_tokens += tokens.of_text(thoughts)
        if hidden:
            self.hidden[len(self.content) - 1] = thoughts


def finish(draft: Draft, call: Call, usage: Usage) -> Reply:
    """Cut a draft to the request's limits and count it."""
    _stop_at_sequence(draft, call.body.get("stop_sequences") or [])
    prompt_tokens = usage.input + usage.cache_read + usage.cache_5m + usage.cache_1h
    room = max(call.card.context - prompt_tokens, 0)
    limit = int(call.body.get("max_tokens") or 0)
    spent = _cut(draft, min(limit, room), "max_tokens" if limit <= room else "model_context_window_exceeded")
    usage.output = spent
    usage.thinking = min(draft.thinking_tokens, spent)
    usage.web_searches = draft.web_searches
    return Reply(
        id="",
        model="",
        content=draft.content,
        stop_reason=draft.stop_reason,
        stop_sequence=draft.stop_sequence,
        usage=usage,
        partial=draft.partial,
        hidden_thinking=draft.hidden,
    )


def _stop_at_sequence(draft: Draft, sequences: list[str]) -> None:
    """End the reply at the first stop sequence in its text; the sequence itself is not part of the reply."""
    for place, block in enumerate(draft.content):
        if block["type"] != "text":
            continue
        text = block["text"]
        found = [(text.find(sequence), sequence) for sequence in sequences if sequence and sequence in text]
        if found:
            at, sequence = min(found)
            draft.content = draft.content[:place] + ([{**block, "text": text[:at]}] if at else [])
            draft.stop_reason, draft.stop_sequence = "stop_sequence", sequence
            return


def _cut(draft: Draft, limit: int, reason: str) -> int:
    """Keep what fits into ``limit`` tokens; returns the tokens spent."""
    left = limit - _MESSAGE_OVERHEAD
    for place, block in enumerate(draft.content):
        cost = _cost(draft, place, block)
        if cost <= left:
            left -= cost
            continue
        draft.content = draft.content[:place]
        draft.stop_reason, draft.stop_sequence = reason, None
        cut = _shortened(draft, place, block, max(left, 0))
        if cut is not None:
            draft.content.append(cut)
        return limit
    return limit - left


def _cost(draft: Draft, place: int, block: Json) -> int:
    kind = block["type"]
    if kind == "text":
        return tokens.of_text(block["text"])
    if kind in ("thinking", "redacted_thinking"):
        return tokens.of_text(draft.hidden.get(place, "") or block.get("thinking", ""))
    if kind in ("tool_use", "server_tool_use"):
        return _CALL_OVERHEAD + tokens.of_text(json.dumps(block["input"]))
    return 0


def _shortened(draft: Draft, place: int, block: Json, left: int) -> Json | None:
    """The start of a block that fits; None when nothing of it does. Thinking that was cut has no signature yet."""
    kind = block["type"]
    if kind == "text":
        text = tokens.cut(block["text"], left)
        return {**block, "text": text} if text else None
    if kind == "thinking":
        draft.hidden.pop(place, None)
        return {**block, "thinking": tokens.cut(block["thinking"], left), "signature": ""}
    if kind == "tool_use" and left > _CALL_OVERHEAD:
        whole = json.dumps(block["input"], ensure_ascii=False)
        draft.partial[place] = tokens.cut(whole, left - _CALL_OVERHEAD)
        return {**block, "input": {}}
    return None
