"""How much reasoning a client asks for: OpenAI's, OpenRouter's and Anthropic's fields -> one request for reasoning."""

from __future__ import annotations

from typing import Any, Final

from modelmux.claude.notices import Notices
from modelmux.claude.request import Level, ReasoningRequest
from modelmux.dialects.openai_shared.foreign.rewrite import unknown_value, unread
from modelmux.dialects.openai_shared.reasoning import read_level
from modelmux.errors import InvalidRequest
from modelmux.wire.openai.chat_request import ChatRequest

#: Members that mean something, in each of the spellings that clients use.
_BUDGETS: Final = ("budget_tokens", "budgetTokens", "thinking_budget", "thinkingBudget")
_THINKING: Final = ("type", "display", "effort", *_BUDGETS)
_LIMITS: Final = ("max_tokens", "maxTokens")
_REASONING: Final = ("effort", "exclude", "enabled", "summary", "generate_summary", *_LIMITS)


def read_request(request: ChatRequest, notices: Notices) -> ReasoningRequest | None:
    """The request for reasoning, or None. Anthropic's ``thinking`` takes precedence over ``reasoning``, and that over
    ``reasoning_effort``.

    :raises InvalidRequest: an unknown value.
    """
    if request.thinking is not None:
        _report_others(request.thinking, _THINKING, "thinking", notices)
        return _from_thinking(request.thinking, notices)
    if request.reasoning is not None:
        _report_others(request.reasoning, _REASONING, "reasoning", notices)
        return _from_reasoning(request.reasoning, notices)
    effort = request.reasoning_effort
    if isinstance(effort, dict):  # {"effort": …, "summary": …}, as in the Responses API
        _report_others(effort, ("effort", "summary", "generate_summary"), "reasoning_effort", notices)
        effort = effort.get("effort")
    if effort is None or effort == "default":
        return None
    return ReasoningRequest(read_level(effort, "reasoning_effort"))


def read_effort(request: ChatRequest, reasoning: ReasoningRequest | None, notices: Notices) -> Level | None:
    """The effort that stands beside ``thinking``, in Anthropic's form, or inside it. It takes precedence over the one
    of ``reasoning``.

    :raises InvalidRequest: an unknown value.
    """
    inside = (request.thinking or {}).get("effort")
    beside = request.output_config.effort if request.output_config is not None else None
    if beside is None:
        return _native_effort(inside, "thinking.effort") if inside is not None else None
    effort = _native_effort(beside, "output_config.effort")
    if inside is not None and inside != beside:
        notices.add("ignored", "thinking.effort", "`output_config.effort` is also set and takes precedence.")
    if reasoning is not None and reasoning.level not in (None, "none", beside, effort):
        field = "reasoning.effort" if request.reasoning is not None else "reasoning_effort"
        notices.add("ignored", field, "`output_config.effort` is also set and takes precedence.")
    return effort


def reasoning_field(request: ChatRequest) -> str | None:
    """The field by which the client asks for reasoning, for errors about it; None if it does not."""
    if request.output_config is not None and request.output_config.effort is not None:
        return "output_config.effort"
    if request.thinking is not None:
        return "thinking.budget_tokens" if "budget_tokens" in request.thinking else "thinking"
    if request.reasoning is not None:
        return next((f"reasoning.{name}" for name in ("effort", *_LIMITS) if name in request.reasoning), "reasoning")
    return None if request.reasoning_effort is None else "reasoning_effort"


def _native_effort(value: Any, field: str) -> Level:
    level = read_level(value, field)
    return "low" if level in ("none", "minimal") else level


def _report_others(value: dict[str, Any], used: tuple[str, ...], field: str, notices: Notices) -> None:
    for name in unread(value, *used):
        notices.ignore_unknown(f"{field}.{name[:80]}", f"Not a setting of '{field}'.")


def is_shown(request: ChatRequest, reasoning: ReasoningRequest | None) -> bool:
    """Whether the client wants to see reasoning; it can decline that without requesting any."""
    if reasoning is not None:
        return reasoning.shown is not False
    return request.reasoning is None or request.reasoning.get("exclude") is not True


def _from_thinking(thinking: dict[str, Any], notices: Notices) -> ReasoningRequest:
    mode, shown = thinking.get("type"), thinking.get("display") != "omitted"
    budget = _spelled(thinking, _BUDGETS, "thinking", notices)
    spelling = next((name for name in _BUDGETS if thinking.get(name) is not None), None)
    field = f"thinking.{spelling}" if spelling is not None else "reasoning"
    if mode is None and budget is not None:
        notices.add("changed", "thinking.type", "Thinking with a budget is taken for enabled.")
        mode = "enabled"
    if mode == "enabled":
        return ReasoningRequest(None, budget, shown, exact=budget is not None, budget_field=field)
    if budget is not None:
        notices.add("ignored", field, "Only enabled thinking has a budget.")
    if mode == "disabled":
        return ReasoningRequest("none")
    if mode in ("adaptive", "between_tools"):
        return ReasoningRequest("none" if mode == "between_tools" else None, None, shown)
    raise unknown_value(mode, "thinking.type", ("enabled", "adaptive", "between_tools", "disabled"))


def _from_reasoning(reasoning: dict[str, Any], notices: Notices) -> ReasoningRequest | None:
    if reasoning.get("enabled") is False:
        return ReasoningRequest("none")
    effort, shown = reasoning.get("effort"), reasoning.get("exclude") is not True
    budget = _spelled(reasoning, _LIMITS, "reasoning", notices)
    if effort is None and budget is None and reasoning.get("enabled") is not True:
        return None
    return ReasoningRequest(read_level(effort, "reasoning.effort") if effort is not None else None, budget, shown)


def _spelled(value: dict[str, Any], names: tuple[str, ...], field: str, notices: Notices) -> int | None:
    """A number of tokens in the first of its spellings that is set; a notice reports another that differs."""
    tokens: int | None = None
    for name in names:
        other = _tokens(value.get(name), f"{field}.{name}")
        if tokens is not None and other not in (None, tokens):
            notices.add("ignored", f"{field}.{name}", f"`{names[0]}` is also set and takes precedence.")
        tokens = other if tokens is None else tokens
    return tokens


def _tokens(value: Any, field: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise InvalidRequest(f"Invalid value for '{field}': it must be a positive number of tokens.", param=field)
