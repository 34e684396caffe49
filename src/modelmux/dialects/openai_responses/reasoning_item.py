"""The reasoning item of a response: one run of adjacent thinking blocks, with their text as its summary."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from modelmux.claude.request import ThinkingRun
from modelmux.dialects.openai_responses.output import Output
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.sealed import seal_thinking
from modelmux.wire import anthropic
from modelmux.wire.anthropic import RedactedThinkingBlock, ThinkingBlock
from modelmux.wire.openai import responses_reply as wire


class OpenReasoning:
    """A reasoning item under way. It begins at the first text of its blocks, or at the end of a block without text.

    :param run: its place among the runs of thinking of the response.
    """

    __slots__ = (
        "_blocks", "_frames", "_id", "_index", "_output", "_plan", "_run", "_signatures", "_summary", "_texts"
    )  # fmt: skip

    def __init__(self, output: Output, plan: ResponsesPlan, run: int) -> None:
        self._output = output
        self._plan = plan
        self._run = run
        self._id = ""  # once the item has begun
        self._index = output.index
        self._blocks: list[ThinkingBlock | RedactedThinkingBlock] = []
        self._summary: list[wire.SummaryText] = []
        self._texts: list[str] = []  # of the open block
        self._signatures: list[str] = []
        self._frames: wire.DeltaFrames | None = None  # while a part is open

    @property
    def has_begun(self) -> bool:
        return bool(self._id)

    def start_block(self, block: anthropic.Block) -> None:
        """Another block of the run begins."""
        self.sign(block.signature)
        self.add_text(block.thinking)

    def add_redacted(self, block: anthropic.Block) -> None:
        """A block of the run that is sealed by the upstream."""
        if block.data:
            self._begin()
            self._blocks.append(RedactedThinkingBlock(block.data))

    def add_text(self, text: str | None) -> None:
        if not text:
            return
        self._begin()
        if self._frames is None:
            place = self._place()
            self._output.emit("response.reasoning_summary_part.added", **place, part=wire.SummaryText(""))
            self._frames = wire.DeltaFrames("response.reasoning_summary_text.delta", place)
        self._texts.append(text)
        self._output.emit_delta(self._frames, wire.encode(text)[1:-1])

    def sign(self, signature: str | None) -> None:
        if signature:
            self._signatures.append(signature)

    def end_block(self) -> None:
        """The end of a block: of its summary part, and what has to be sealed is known."""
        text, signature = "".join(self._texts), "".join(self._signatures)
        if text:
            part = wire.SummaryText(text)
            self._output.emit("response.reasoning_summary_text.done", **self._place(), text=text)
            self._output.emit("response.reasoning_summary_part.done", **self._place(), part=part)
            self._summary.append(part)
        if signature:
            self._begin()
            self._blocks.append(ThinkingBlock(text, signature))
        self._texts, self._signatures, self._frames = [], [], None

    def close(self, status: wire.ItemStatus) -> None:
        """The end of the item, if it has begun."""
        if not self._id:
            return
        item = wire.ReasoningItem(id=self._id, summary=self._summary, status=status)
        sealed = self._sealed()
        if sealed is UNSET:
            self._output.done(item)
        else:
            stored = replace(item, encrypted_content=sealed)
            self._output.done(stored if self._plan.shows_encrypted else item, stored)

    def _begin(self) -> None:
        if not self._id:
            self._id = self._output.new_id("rs")
            self._output.added(wire.ReasoningItem(id=self._id, status="in_progress"))

    def _sealed(self) -> str | UnsetType:
        """What the client keeps for the gateway. Blocks without a signature cannot be used again."""
        plan = self._plan
        if plan.sealer is None or not self._blocks:
            return UNSET
        run = ThinkingRun(plan.model_id, self._output.response.id, self._run, tuple(self._blocks))
        return seal_thinking(plan.sealer, plan.owner, run)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self._index, "summary_index": len(self._summary)}
