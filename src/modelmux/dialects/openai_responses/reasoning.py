"""``reasoning`` -> how much the model thinks, and whether that is shown."""

from __future__ import annotations

from typing import Any

from modelmux.claude.notices import Notices
from modelmux.claude.request import ReasoningRequest
from modelmux.dialects.openai_shared.reasoning import read_level
from modelmux.wire.openai.responses_request import Reasoning

_SUMMARIES = ("auto", "concise", "detailed")


def read_reasoning(reasoning: Reasoning | None, update: Any, notices: Notices) -> ReasoningRequest:
    """The request for reasoning. Without an effort, the model's default applies.

    :param update: ``effort`` of the last configuration update.
    :raises InvalidRequest: an unknown effort.
    """
    reasoning = reasoning or Reasoning()
    shown = True if reasoning.summary or reasoning.generate_summary else None
    if reasoning.mode not in (None, "standard"):
        notices.add("ignored", "reasoning.mode", "Claude does not have modes of reasoning.")
    if reasoning.context not in (None, "auto", "all_turns"):
        notices.add("ignored", "reasoning.context", "All reasoning that is sent back stays in the context.")
    effort = reasoning.effort if update is None else update
    if effort is None or effort == "default":
        return ReasoningRequest(shown=shown, optional=True)
    return ReasoningRequest(read_level(effort, "reasoning.effort"), shown=shown)


def echo_reasoning(reasoning: Reasoning | None) -> dict[str, Any]:
    """``reasoning`` as the response repeats it."""
    reasoning = reasoning or Reasoning()
    summary = reasoning.summary or reasoning.generate_summary
    effort = reasoning.effort if isinstance(reasoning.effort, str) else None
    return {"effort": effort, "summary": summary if summary in _SUMMARIES else None}
