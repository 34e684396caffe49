"""How much reasoning a client asks for: OpenAI's, OpenRouter's and Anthropic's fields -> one request for reasoning."""

from __future__ import annotations

from typing import Any

from modelmux.claude.request import ReasoningRequest
from modelmux.dialects.openai_shared.reasoning import read_level
from modelmux.errors import InvalidRequest
from modelmux.wire.openai.chat_request import ChatRequest


def read_request(request: ChatRequest) -> ReasoningRequest | None:
    """The request for reasoning, or None. Anthropic's ``thinking`` takes precedence over ``reasoning``, and that over
    ``reasoning_effort``.

    :raises InvalidRequest: an unknown value.
    """
    if request.thinking is not None:
        return _from_thinking(request.thinking)
    if request.reasoning is not None:
        return _from_reasoning(request.reasoning)
    effort = request.reasoning_effort
    if isinstance(effort, dict):  # {"effort": …, "summary": …}, as in the Responses API
        effort = effort.get("effort")
    if effort is None or effort == "default":
        return None
    return ReasoningRequest(read_level(effort, "reasoning_effort"))


def is_shown(request: ChatRequest, reasoning: ReasoningRequest | None) -> bool:
    """Whether the client wants to see reasoning; it can decline that without requesting any."""
    if reasoning is not None:
        return reasoning.shown is not False
    return request.reasoning is None or request.reasoning.get("exclude") is not True


def _from_thinking(thinking: dict[str, Any]) -> ReasoningRequest:
    mode, shown = thinking.get("type"), thinking.get("display") != "omitted"
    if mode == "disabled":
        return ReasoningRequest("none")
    if mode == "enabled":
        budget = _tokens(thinking.get("budget_tokens"), "thinking.budget_tokens")
        return ReasoningRequest(None, budget, shown, is_native=budget is not None)
    if mode in ("adaptive", "between_tools"):
        return ReasoningRequest("none" if mode == "between_tools" else None, None, shown)
    raise InvalidRequest(
        "Unknown 'thinking.type'.", param="thinking.type", hint="Use enabled, adaptive, between_tools or disabled."
    )


def _from_reasoning(reasoning: dict[str, Any]) -> ReasoningRequest | None:
    if reasoning.get("enabled") is False:
        return ReasoningRequest("none")
    effort, shown = reasoning.get("effort"), reasoning.get("exclude") is not True
    budget = _tokens(reasoning.get("max_tokens"), "reasoning.max_tokens")
    if effort is None and budget is None and reasoning.get("enabled") is not True:
        return None
    return ReasoningRequest(read_level(effort, "reasoning.effort") if effort is not None else None, budget, shown)


def _tokens(value: Any, field: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise InvalidRequest(f"Invalid value for '{field}': it must be a positive number of tokens.", param=field)
