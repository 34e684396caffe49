"""What the emulated model replies: a request -> content blocks, stop reason and output usage. Deterministic.

The order of a reply is the real one: thinking; then a sentence before tool calls (unless they are forced) and the
calls; or a web search and its cited answer; or JSON for an output schema; or plain text. Limits (``stop_sequences``,
``max_tokens``) are applied last, by ``reply_limits``.
"""

from __future__ import annotations

import json
from typing import Final

from modelmux.emulator import ids
from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.faults.rules import FaultSpec
from modelmux.emulator.model import search, tool_search
from modelmux.emulator.model.prompt import Block, Prompt, blocks_of, messages_of, pending_search, prefill_of
from modelmux.emulator.model.reply import EmulatedReply, EmulatedUsage, Json
from modelmux.emulator.model.reply_limits import ReplyDraft, apply_limits
from modelmux.emulator.model.schema_sample import SchemaSampler
from modelmux.emulator.model.signatures import BINDING_BETA, SignatureCheck, Signer
from modelmux.emulator.model.text import exact_text, phrases_of, plain_reply
from modelmux.emulator.model.tool_calls import PlannedCall, plan_calls

_NO_FAULT: Final = FaultSpec()
_INTERLEAVED: Final = "interleaved-thinking-2025-05-14"


def write_reply(
    call: EmulatedCall,
    prompt: Prompt,
    *,
    usage: EmulatedUsage,
    nonce: str,
    signer: Signer,
    signature_check: SignatureCheck,
    fault: FaultSpec | None,
) -> EmulatedReply:
    """The reply to a valid request. ``usage`` has its input side set; the output side is set here."""
    writer = ReplyWriter(call, prompt, nonce, signer, signature_check, fault or _NO_FAULT)
    writer.write()
    reply = apply_limits(writer.draft, call, usage)
    reply.id = ids.message_id(nonce)
    reply.model = call.first_party_id
    reply.usage.speed = call.speed
    if call.body.get("context_management") is not None:
        reply.applied_edits = []
    if signature_check.transformations and BINDING_BETA in call.betas:
        reply.input_transformations = list(signature_check.transformations)
    if not (writer.resumed and writer.fault.stop_reason == "pause_turn"):
        _apply_stop_reason(reply, writer.fault)
    return reply


class ReplyWriter:
    """Assembles the blocks of one reply in ``draft``."""

    def __init__(
        self,
        call: EmulatedCall,
        prompt: Prompt,
        nonce: str,
        signer: Signer,
        signature_check: SignatureCheck,
        fault: FaultSpec,
    ) -> None:
        self.call = call
        self.prompt = prompt
        self.nonce = nonce
        self.signer = signer
        self.prefix = signature_check.prefix
        self.fault = fault
        self.draft = ReplyDraft()
        self.resumed = False

    def write(self) -> None:
        if self.fault.answer is not None:
            self._add_text(self.fault.answer)
            return
        pending = pending_search(self.call.body)
        if pending is not None:
            self._resume_search(pending)
            return
        text_only = not self.call.forced and exact_text(self.prompt.question) is not None
        query = None if text_only else search.search_query(self.call, self.prompt)
        calls = [] if query or text_only else plan_calls(self.call, self.prompt.question)
        if self._thinks(bool(calls)):
            self._add_thinking(_thinking_text(self.call, self.prompt, calls))
        if self.fault.unknown_block:
            self._add({"type": "hologram", "projection": "an emulated block of an unknown type"})
        if query:
            self._search(query)
        elif calls:
            self._add_calls(calls)
        elif self.call.output_schema is not None:
            self._add_structured_output(self.call.output_schema)
        else:
            text = plain_reply(self.prompt, self.call.card.id)
            self._add_text(_without_prefill(prefill_of(self.call.body), text))

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

    def _add_thinking(self, thinking: str) -> None:
        prefix = self.prefix.digest() if self.prefix is not None else None
        signature = self.signer.sign(self.call.card.id, prefix, thinking)
        if self.fault.redacted:
            self._add({"type": "redacted_thinking", "data": signature})
            self.draft.count_thinking(thinking, hidden=True)
            return
        hidden = self.call.display == "omitted"
        self._add({"type": "thinking", "thinking": "" if hidden else thinking, "signature": signature})
        self.draft.count_thinking(thinking, hidden=hidden)

    def _add_calls(self, calls: list[PlannedCall]) -> None:
        if not self.call.forced and not self.prompt.results:
            sentence = f"I'll use {_enumerate([name for name, _ in calls])} for that."
            if self.call.commentary_in_thinking and self._thinks(True):
                self._add_thinking(sentence)
            else:
                self._add_text(sentence)
        if not self.call.forced:
            use_id = ids.server_tool_id(self.nonce, 0)
            for block in tool_search.search_blocks(self.call, [name for name, _ in calls], use_id):
                self._add(block)
        for index, (name, arguments) in enumerate(calls):
            block = {"type": "tool_use", "id": ids.tool_id(self.nonce, index), "name": name, "input": arguments}
            self._add(block)
        self.draft.stop_reason = "tool_use"
        if self.fault.bad_json and calls:
            encoded = json.dumps(calls[-1][1], ensure_ascii=False)
            self.draft.partial[len(self.draft.content) - 1] = encoded[: max(1, len(encoded) * 2 // 3)]

    def _search(self, query: str) -> None:
        use_id = ids.server_tool_id(self.nonce, 0)
        self._add_text(f"I'll search the web for “{query}”.")
        self._add({"type": "server_tool_use", "id": use_id, "name": "web_search", "input": {"query": query}})
        self.draft.web_searches = 1
        if self.fault.stop_reason != "pause_turn":
            self._add_search_results(use_id, query)

    def _resume_search(self, pending: Block) -> None:
        """A paused turn came back: continue where it stopped."""
        self._add_search_results(str(pending.get("id")), str((pending.get("input") or {}).get("query", "")))
        self.resumed = True

    def _add_search_results(self, use_id: str, query: str) -> None:
        results = search.search_results(query)
        self._add({"type": "web_search_tool_result", "tool_use_id": use_id, "content": results})
        for block in search.cited_answer(query, results):
            self._add(block)

    def _add_structured_output(self, schema: Json) -> None:
        """JSON that conforms to the schema, in one text block."""
        value = SchemaSampler(schema, phrases_of(self.prompt), include_optional=True).value()
        self._add_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def _add_text(self, text: str) -> None:
        if text:
            self._add({"type": "text", "text": text})

    def _add(self, block: Json) -> None:
        self.draft.content.append(block)
        if self.prefix is not None:
            self.prefix.add("assistant", block)


def _thinking_text(call: EmulatedCall, prompt: Prompt, calls: list[PlannedCall]) -> str:
    """The text of a thinking block; the higher the effort, the longer."""
    question = prompt.question[:300] or "nothing in words"
    lines = [f"The user says: {question}"]
    if prompt.results:
        lines.append(f"{len(prompt.results)} tool result(s) came back; I should use what they say.")
    if calls:
        lines.append(f"I should call {_enumerate([name for name, _ in calls])}.")
    else:
        lines.append("I can answer this directly.")
    extra_lines = {"low": 0, "medium": 1, "high": 2, "xhigh": 4, "max": 6}.get(call.effort or "medium", 1)
    lines += ["Let me check that again, step by step, before I answer."] * extra_lines
    return "\n".join(lines)


def _enumerate(names: list[str]) -> str:
    unique = list(dict.fromkeys(names))
    return unique[0] if len(unique) == 1 else ", ".join(unique[:-1]) + " and " + unique[-1]


def _without_prefill(prefill: str, text: str) -> str:
    """The rest of a text that begins with the prefill; any other text unchanged."""
    return text[len(prefill) :] if prefill and text.startswith(prefill) else text


def _last_turn_began_with_thinking(call: EmulatedCall) -> bool:
    """Manual thinking continues in a tool loop only if the turn began with thinking; otherwise it is silently off."""
    for message in reversed(messages_of(call.body)):
        if message.get("role") == "assistant":
            blocks = blocks_of(message)
            return bool(blocks) and blocks[0].get("type") in ("thinking", "redacted_thinking")
    return False


def _apply_stop_reason(reply: EmulatedReply, fault: FaultSpec) -> None:
    """Set the stop reason a directive requests, with the fields that belong to it."""
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
