"""How much a model thinks: the client's request for reasoning in the form that the model accepts."""

from __future__ import annotations

from typing import Final, Literal

from msgspec.structs import replace

from modelmux.claude.draft import Draft, SignedThinking
from modelmux.claude.request import LEVELS, Level, ReasoningRequest
from modelmux.wire.anthropic import OutputConfig, Thinking

#: Budget in tokens, for models that think by budget.
BUDGETS: Final[dict[Level, int]] = {
    "minimal": 1024,
    "low": 1024,
    "medium": 4096,
    "high": 12288,
    "xhigh": 24576,
    "max": 32000,
}
#: The smallest budget Anthropic accepts.
MIN_BUDGET: Final = 1024
#: The smallest top_p that is accepted together with thinking.
MIN_TOP_P: Final = 0.95


def apply(draft: Draft) -> None:
    """Set ``thinking`` and ``output_config.effort``, or report why not."""
    _apply_reasoning(draft)
    effort = draft.request.effort
    if effort is None:
        return
    if not draft.card.effort:
        draft.notices.add("dropped", "output_config.effort", "This model does not support effort.")
        return
    reasoning, thinking = draft.request.reasoning, draft.body.thinking
    if reasoning is not None and reasoning.budget is not None and thinking is not None and thinking.type == "adaptive":
        draft.notices.add(
            "ignored", "reasoning", "The effort is also set; this model has no thinking budget beside it."
        )
    _set_effort(effort, draft)


def _apply_reasoning(draft: Draft) -> None:
    reasoning, card = draft.request.reasoning, draft.card
    if reasoning is None:
        return
    if not card.thinking:
        if reasoning.level != "none" and not reasoning.optional:
            draft.notices.add("dropped", "reasoning", "This model does not support extended thinking.")
        return
    if reasoning.level == "none":
        _disable(draft)
        return
    if reasoning.optional and (card.thinking_default == "off" or _display(draft) is None):
        return
    if reasoning.exact and reasoning.budget is not None and "enabled" in card.thinking:
        _set_budget(reasoning, draft)
        return
    if "adaptive" in card.thinking:
        draft.body.thinking = Thinking("adaptive", display=_display(draft))
    else:
        _set_budget(reasoning, draft)
    if draft.body.thinking is not None:
        _set_effort(_effort(reasoning), draft)


def resolve_conflicts(draft: Draft) -> None:
    """Drop thinking or the fields that it excludes. Runs after all of them are set."""
    body, thinking = draft.body, draft.body.thinking
    if thinking is None or thinking.type not in ("adaptive", "enabled"):
        return
    last = body.messages[-1]
    if last.role == "assistant" and not isinstance(last.content[0], SignedThinking):
        # While the model thinks, Vertex AI accepts a last assistant message only if it begins with a thinking block
        # (the error as quoted in Aider-AI/aider#3820).
        draft.notices.add("dropped", "reasoning", "A prefilled answer is continued without thinking.")
        body.thinking = None
        return
    forced = body.tool_choice is not None and body.tool_choice.type in ("any", "tool")
    if forced and (thinking.type == "enabled" or draft.card.forced_tool_choice == "not_with_thinking"):
        draft.notices.add("dropped", "reasoning", "Thinking is not supported together with a forced tool choice.")
        body.thinking = None
        return
    for name, neutral in (("temperature", 1), ("top_k", None)):
        if getattr(body, name) not in (None, neutral):
            draft.notices.add("dropped", name, "Not supported together with thinking.")
            setattr(body, name, None)
    if body.top_p is not None and body.top_p < MIN_TOP_P:
        reason = f"With thinking enabled, top_p must be between {MIN_TOP_P} and 1."
        draft.notices.add("clamped", "top_p", reason)
        body.top_p = MIN_TOP_P


def _display(draft: Draft) -> Literal["summarized", "omitted"] | None:
    """Whether the reply holds the thinking; None leaves that to the model.

    The models that bind thinking to its conversation write their text between tool calls into thinking blocks, which
    are empty if their display is omitted.
    """
    shown = draft.request.reasoning and draft.request.reasoning.shown
    if shown is None:
        return "summarized" if draft.card.preserved_thinking else None
    return "summarized" if shown else "omitted"


def _disable(draft: Draft) -> None:
    """Disable reasoning, or use the lowest effort if it cannot be turned off."""
    body, card = draft.body, draft.card
    if "disabled" in card.thinking:
        if card.thinking_default == "on" or "adaptive" not in card.thinking:
            body.thinking = Thinking("disabled")
    elif "between_tools" in card.thinking:
        body.thinking = Thinking("between_tools")
    else:
        reason = "Thinking cannot be turned off on this model; the lowest effort is used."
        draft.notices.add("changed", "reasoning", reason)
        body.thinking = Thinking("adaptive", display="omitted")
        _set_effort("low", draft)


def _set_budget(reasoning: ReasoningRequest, draft: Draft) -> None:
    budget, limit = reasoning.budget or BUDGETS[reasoning.level or "medium"], draft.body.max_tokens
    field = reasoning.budget_field
    if budget < MIN_BUDGET:
        draft.notices.add("clamped", field, f"The smallest thinking budget is {MIN_BUDGET} tokens.")
        budget = MIN_BUDGET
    if budget >= limit:
        if limit <= MIN_BUDGET:
            draft.notices.add("dropped", field, "The token limit leaves no room for thinking.")
            return
        draft.notices.add("clamped", field, "The thinking budget has to be below the token limit.")
        budget = max(MIN_BUDGET, limit // 2)
    draft.body.thinking = Thinking("enabled", budget_tokens=budget)


def _effort(reasoning: ReasoningRequest) -> Level | None:
    budget = reasoning.budget
    if budget is not None:
        return next((name for name, tokens in BUDGETS.items() if budget <= tokens and name != "minimal"), "max")
    return "low" if reasoning.level == "minimal" else reasoning.level


def _set_effort(effort: Level | None, draft: Draft) -> None:
    """The requested effort, or the nearest lower one the model has, or its lowest."""
    card, body = draft.card, draft.body
    disabled = body.thinking is not None and body.thinking.type == "disabled"
    available = card.disabled_effort if disabled and card.disabled_effort is not None else card.effort
    if effort is None or not available:
        return
    lower = reversed(LEVELS[: LEVELS.index(effort) + 1])
    chosen = next((level for level in lower if level in available), available[0])
    if chosen != effort:
        reason = f"The model does not support effort '{effort}'; '{chosen}' is used."
        draft.notices.add("clamped", "reasoning", reason)
    body.output_config = replace(body.output_config or OutputConfig(), effort=chosen)
