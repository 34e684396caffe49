"""How much a model thinks: OpenAI's, OpenRouter's and Anthropic's ways of asking -> the form the model accepts.

One request for reasoning (``Ask``) is read from whatever field carries it; the model's card decides what is sent.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from modelmux.claude.context import Context
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import MessagesRequest, OutputConfig, Thinking
from modelmux.wire.openai.chat_request import ChatRequest

Level = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
LEVELS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: Budget in tokens where a model thinks by budget.
BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 4096, "high": 12288, "xhigh": 24576, "max": 32000}
#: The least Anthropic takes.
MIN_BUDGET: Final = 1024


class Ask(NamedTuple):
    """What the client wants. ``level`` None: think, as much as the model likes.

    :param budget: tokens, where the client named them.
    :param shown: whether the client wants to see the reasoning.
    """

    level: Level | None
    budget: int | None = None
    shown: bool = True


def read(request: ChatRequest) -> Ask | None:
    """The request for reasoning, or None. Anthropic's ``thinking`` wins over ``reasoning`` over ``reasoning_effort``.

    :raises InvalidRequest: a value nobody defines.
    """
    if request.thinking is not None:
        return _from_thinking(request.thinking)
    if request.reasoning is not None:
        return _from_reasoning(request.reasoning)
    effort, shown = request.reasoning_effort, True
    if isinstance(effort, dict):  # {"effort": …, "summary": …}, as the Responses API has it
        effort = effort.get("effort")
    if effort is None or effort == "default":
        return None
    return Ask(_level(effort, "reasoning_effort"), shown=shown)


def shown(request: ChatRequest, ask: Ask | None) -> bool:
    """Whether the client wants to see reasoning; it can refuse that without asking for any."""
    if ask is not None:
        return ask.shown
    return request.reasoning is None or request.reasoning.get("exclude") is not True


def apply(ask: Ask | None, body: MessagesRequest, ctx: Context) -> None:
    """Set ``thinking`` and ``output_config.effort`` on ``body``, or say why not."""
    if ask is None:
        return
    card = ctx.card
    if not card.thinking:
        if ask.level != "none":
            ctx.notices.add("dropped", "reasoning", "This model does not think.")
        return
    if ask.level == "none":
        _off(body, ctx)
        return
    if "adaptive" in card.thinking:
        body.thinking = Thinking("adaptive", display="summarized" if ask.shown else "omitted")
        _set_effort(body, _effort(ask), ctx)
        return
    _by_budget(ask, body, ctx)
    if body.thinking is not None and card.effort:
        _set_effort(body, _effort(ask), ctx)


def settle_conflicts(body: MessagesRequest, ctx: Context) -> None:
    """What cannot stand beside thinking gives way, or thinking does. Call once everything else is set."""
    thinking = body.thinking
    if thinking is None or thinking.type not in ("adaptive", "enabled"):
        return
    forced = body.tool_choice is not None and body.tool_choice.type in ("any", "tool")
    if forced and (thinking.type == "enabled" or ctx.card.forced_tool_choice == "not_with_thinking"):
        ctx.notices.add("dropped", "reasoning", "A forced tool call leaves no room for thinking.")
        body.thinking = None
        return
    for name in ("temperature", "top_k"):
        value = getattr(body, name)
        if value is not None and not (name == "temperature" and value == 1):
            ctx.notices.add("dropped", name, "Not allowed while the model thinks.")
            setattr(body, name, None)
    if body.top_p is not None and body.top_p < 0.95:
        ctx.notices.add("clamped", "top_p", "While the model thinks it goes from 0.95 to 1.")
        body.top_p = 0.95


def _off(body: MessagesRequest, ctx: Context) -> None:
    """No reasoning, or as little as the model can."""
    card = ctx.card
    if "disabled" in card.thinking:
        if card.thinking_default == "on" or "adaptive" not in card.thinking:
            body.thinking = Thinking("disabled")
    elif "between_tools" in card.thinking:
        body.thinking = Thinking("between_tools")
    else:
        ctx.notices.add("changed", "reasoning", "This model always thinks; it is asked for as little as it can.")
        body.thinking = Thinking("adaptive", display="omitted")
        _set_effort(body, "low", ctx)


def _by_budget(ask: Ask, body: MessagesRequest, ctx: Context) -> None:
    budget = ask.budget or BUDGETS[ask.level or "medium"]
    if budget < MIN_BUDGET:
        ctx.notices.add("clamped", "reasoning", f"The least thinking budget is {MIN_BUDGET} tokens.")
        budget = MIN_BUDGET
    if budget >= body.max_tokens:
        if body.max_tokens <= MIN_BUDGET:
            ctx.notices.add("dropped", "reasoning", "The token limit leaves no room for thinking.")
            return
        ctx.notices.add("clamped", "reasoning", "The thinking budget has to stay below the token limit.")
        budget = max(MIN_BUDGET, body.max_tokens // 2)
    body.thinking = Thinking("enabled", budget_tokens=budget)


def _effort(ask: Ask) -> str | None:
    if ask.budget is not None:
        return next((name for name, budget in BUDGETS.items() if ask.budget <= budget and name != "minimal"), "max")
    return "low" if ask.level == "minimal" else ask.level


def _set_effort(body: MessagesRequest, effort: str | None, ctx: Context) -> None:
    """The effort asked for, or the nearest lower one the model has, or its lowest."""
    if effort is None or not ctx.card.effort:
        return
    lower = reversed(LEVELS[: LEVELS.index(effort) + 1])
    chosen = next((level for level in lower if level in ctx.card.effort), ctx.card.effort[0])
    if chosen != effort:
        ctx.notices.add("clamped", "reasoning", f"The model has no effort '{effort}'; '{chosen}' is used.")
    body.output_config = body.output_config or OutputConfig()
    body.output_config.effort = chosen


def _from_thinking(thinking: dict[str, Any]) -> Ask:
    kind = thinking.get("type")
    if kind == "disabled":
        return Ask("none")
    shown = thinking.get("display") != "omitted"
    if kind == "enabled":
        return Ask(None, _tokens(thinking.get("budget_tokens"), "thinking.budget_tokens"), shown)
    if kind in ("adaptive", "between_tools"):
        return Ask("none" if kind == "between_tools" else None, None, shown)
    raise InvalidRequest(
        "Unknown 'thinking.type'.", param="thinking.type", hint="Use enabled, adaptive, between_tools or disabled."
    )


def _from_reasoning(reasoning: dict[str, Any]) -> Ask | None:
    if reasoning.get("enabled") is False:
        return Ask("none")
    effort, shown = reasoning.get("effort"), reasoning.get("exclude") is not True
    budget = _tokens(reasoning.get("max_tokens"), "reasoning.max_tokens")
    if effort is None and budget is None and reasoning.get("enabled") is not True:
        return None
    return Ask(_level(effort, "reasoning.effort") if effort is not None else None, budget, shown)


def _level(value: Any, where: str) -> Level:
    for level in LEVELS:
        if level == value:
            return level
    raise InvalidRequest(f"Invalid value for '{where}'.", param=where, hint=f"Use one of {', '.join(LEVELS)}.")


def _tokens(value: Any, where: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise InvalidRequest(f"Invalid value for '{where}': it must be a positive number of tokens.", param=where)
