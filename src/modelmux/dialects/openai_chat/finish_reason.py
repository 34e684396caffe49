"""Why a reply ended, in OpenAI's words. One function for unary and stream, so that they cannot disagree."""

from __future__ import annotations

from typing import Final

from modelmux.wire import anthropic
from modelmux.wire.openai.chat_response import FinishReason

#: An unknown value means a normal end, never an error.
FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "compaction": "length",
    "tool_use": "tool_calls",
    "pause_turn": "length",
    "refusal": "content_filter",
}

REFUSED: Final = "The model refused to answer."


def finish_reason(stop_reason: str | None, *, called_tools: bool, legacy: bool = False) -> FinishReason:
    """``tool_calls`` only if the client has calls to run; a truncated or refused reply takes precedence. The calls of a
    reply with an unknown stop reason are included, but the client is not asked to run them.

    :param legacy: the client asked with ``functions`` and gets ``function_call``.
    """
    reason = FINISH_REASONS.get(stop_reason or "", "stop")
    if reason not in ("stop", "tool_calls"):
        return reason
    if not called_tools or (stop_reason and stop_reason not in FINISH_REASONS):
        return "stop"
    return "function_call" if legacy else "tool_calls"


def refusal_text(stop_reason: str | None, details: anthropic.StopDetails | None) -> str | None:
    """The text of ``message.refusal``; None when the model did not refuse."""
    if stop_reason != "refusal":
        return None
    return (details.explanation if details else None) or REFUSED
