"""What the model says: a request -> content blocks, stop reason and output usage. Deterministic.

The order of a reply is the real one: thinking, then a sentence before tool calls (not when a call is forced), then the
calls; or a web search and its cited answer; or JSON for an output schema; or plain words. Limits (``stop_sequences``,
``max_tokens``) are applied last, by ``limits.py``.
"""

from __future__ import annotations

import json
from typing import Final

from modelmux.emulator import calls, ids, search, smalltalk
from modelmux.emulator.binding import Checked, Signer
from modelmux.emulator.call import Call
from modelmux.emulator.faults import Fault
from modelmux.emulator.fill import Filler
from modelmux.emulator.limits import Draft, finish
from modelmux.emulator.prompt import Block, Prompt, blocks_of, messages_of, pending_search, prefill_of
from modelmux.emulator.reply import Json, Reply, Usage

_NOTHING: Final = Fault()
_INTERLEAVED: Final = "interleaved-thinking-2025-05-14"


def reply_to(
    call: Call, prompt: Prompt, *, usage: Usage, nonce: str, signer: Signer, checked: Checked, fault: Fault | None
) -> Reply:
    """The reply to a valid request. ``usage`` comes with its input side filled; the output side is filled here."""
    writer = _Writer(call, prompt, nonce, signer, checked, fault or _NOTHING)
    writer.write()
    reply = finish(writer.draft, call, usage)
    reply.id = ids.message_id(nonce)
    reply.model = call.first_party_id
    if checked.transformations and "thinking-binding-controls-2026-08-01" in call.betas:
        reply.input_transformations = list(checked.transformations)
    if not (writer.resumed and writer.fault.stop_reason == "pause_turn"):
        _apply_ending(reply, writer.fault)
    return reply


class _Writer:
    """Puts the blocks of one reply together."""

    def __init__(self, call: Call, prompt: Prompt, nonce: str, signer: Signer, checked: Checked, fault: Fault) -> None:
        self.call = call
        self.prompt = prompt
        self.nonce = nonce
        self.signer = signer
        self.prefix = checked.prefix
        self.fault = fault
        self.draft = Draft()
        self.resumed = False

    def write(self) -> None:
        if self.fault.answer is not None:
            self._text(self.fault.answer)
            return
        pending = pending_search(self.call.body)
        if pending is not None:
            self._finish_search(pending)
            return
        query = search.wanted(self.call, self.prompt)
        planned = [] if query else calls.plan(self.call, self.prompt.question)
        if self._thinks(bool(planned)):
            self._think(_thoughts(self.call, self.prompt, planned))
        if self.fault.unknown_block:
            self._add({"type": "hologram", "projection": "an emulated block of a type nobody knows"})
        if query:
            self._search(query)
        elif planned:
            self._call_tools(planned)
        elif self.call.output_schema is not None:
            self._document(self.call.output_schema)
        else:
            self._text(_continue(prefill_of(self.call.body), smalltalk.answer(self.prompt, self.call.card.id)))

    def _thinks(self, calling: bool) -> bool:
        """Whether this reply begins with a thinking block."""
        call, after_tool = self.call, bool(self.prompt.results)
        if self.fault.redacted:
            return True
        if not call.thinking_on or (call.forced and calling):
            return False
        if call.thinking_type == "between_tools":
            return after_tool
        if call.thinking_type == "enabled" and after_tool:
            return _INTERLEAVED in call.betas and _last_turn_began_with_thinking(call)
        return True

    def _think(self, thoughts: str) -> None:
        bound = self.prefix.digest() if self.prefix is not None else None
        signature = self.signer.sign(self.call.card.id, bound, thoughts)
        if self.fault.redacted:
            self._add({"type": "redacted_thinking", "data": signature})
            self.draft.thought(thoughts, hidden=True)
            return
        hidden = self.call.display == "omitted"
        self._add({"type": "thinking", "thinking": "" if hidden else thoughts, "signature": signature})
        self.draft.thought(thoughts, hidden=hidden)

    def _call_tools(self, planned: list[calls.Planned]) -> None:
        if not self.call.forced and not self.prompt.results:
            before = f"I'll use {_listed([name for name, _ in planned])} for that."
            if self.call.commentary_in_thinking and self._thinks(True):
                self._think(before)
            else:
                self._text(before)
        for place, (name, arguments) in enumerate(planned):
            block = {"type": "tool_use", "id": ids.tool_id(self.nonce, place), "name": name, "input": arguments}
            self._add(block)
        self.draft.stop_reason = "tool_use"
        if self.fault.bad_json and planned:
            whole = json.dumps(planned[-1][1], ensure_ascii=False)
            self.draft.partial[len(self.draft.content) - 1] = whole[: max(1, len(whole) * 2 // 3)]

    def _search(self, query: str) -> None:
        use = ids.server_tool_id(self.nonce, 0)
        self._text(f"I'll search the web for “{query}”.")
        self._add({"type": "server_tool_use", "id": use, "name": "web_search", "input": {"query": query}})
        self.draft.web_searches = 1
        if self.fault.stop_reason != "pause_turn":
            self._found(use, query)

    def _finish_search(self, pending: Block) -> None:
        """A paused turn was handed back: go on where it stopped."""
        self._found(str(pending.get("id")), str((pending.get("input") or {}).get("query", "")))
        self.resumed = True

    def _found(self, use: str, query: str) -> None:
        found = search.results(query)
        self._add({"type": "web_search_tool_result", "tool_use_id": use, "content": found})
        for block in search.answer(query, found):
            self._add(block)

    def _document(self, schema: Json) -> None:
        """Structured output: JSON that conforms to the schema, in one text block."""
        value = Filler(schema, smalltalk.hints_of(self.prompt), everything=True).value()
        self._text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def _text(self, text: str) -> None:
        if text:
            self._add({"type": "text", "text": text})

    def _add(self, block: Json) -> None:
        self.draft.content.append(block)
        if self.prefix is not None:
            self.prefix.add("assistant", block)


def _thoughts(call: Call, prompt: Prompt, planned: list[calls.Planned]) -> str:
    """What the model thinks: short at low effort, longer the more effort is asked for."""
    said = prompt.question[:300] or "nothing in words"
    lines = [f"The user says: {said}"]
    if prompt.results:
        lines.append(f"{len(prompt.results)} tool result(s) came back; I should use what they say.")
    if planned:
        lines.append(f"I should call {_listed([name for name, _ in planned])}.")
    else:
        lines.append("I can answer this directly.")
    more = {"low": 0, "medium": 1, "high": 2, "xhigh": 4, "max": 6}.get(call.effort or "medium", 1)
    lines += ["Let me check that again, step by step, before I answer."] * more
    return "\n".join(lines)


def _listed(names: list[str]) -> str:
    unique = list(dict.fromkeys(names))
    return unique[0] if len(unique) == 1 else ", ".join(unique[:-1]) + " and " + unique[-1]


def _continue(prefill: str, answer: str) -> str:
    """A reply goes on where a prefill stops."""
    return answer[len(prefill) :] if prefill and answer.startswith(prefill) else answer


def _last_turn_began_with_thinking(call: Call) -> bool:
    """Manual thinking goes on in a tool loop only when the turn began with thinking; otherwise it is silently off."""
    for message in reversed(messages_of(call.body)):
        if message.get("role") == "assistant":
            blocks = blocks_of(message)
            return bool(blocks) and blocks[0].get("type") in ("thinking", "redacted_thinking")
    return False


def _apply_ending(reply: Reply, fault: Fault) -> None:
    """A stop reason asked for by a directive, with what goes with it."""
    if fault.empty:
        reply.content, reply.partial, reply.stop_reason = [], {}, "end_turn"
        reply.usage.output = 2
    if fault.stop_reason is None:
        return
    reply.stop_reason = fault.stop_reason
    if fault.stop_reason == "refusal":
        reply.stop_details = {"type": "refusal", "category": fault.category, "explanation": fault.explanation}
        reply.content, reply.partial = [], {}
        reply.usage.output = 0
