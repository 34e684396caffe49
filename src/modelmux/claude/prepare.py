"""Turns a model-independent request into the exact body for one model, by rules in a fixed order.

Runs for every model a request is sent to; the request itself is never changed. Deterministic: the same request, model,
options and remembered thinking always give the same bytes.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from modelmux.catalog import ModelCard
from modelmux.claude import (
    betas,
    caching,
    limits,
    prefill,
    property_keys,
    sampling,
    structured_output,
    system_turns,
    thinking,
    thinking_blocks,
    tool_choice,
    tools,
    web_search,
)
from modelmux.claude.draft import Draft, RecallThinking, Rule
from modelmux.claude.notices import Notice
from modelmux.claude.options import Options
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest
from modelmux.wire.anthropic import MessagesRequest

#: In this order: each rule sees the changes of the earlier ones. tests/unit/claude/test_prepare.py names the pairs
#: whose order matters.
RULES: Final[tuple[Rule, ...]] = (
    limits.apply,
    system_turns.apply,
    thinking_blocks.apply,
    structured_output.apply,
    tool_choice.apply,
    prefill.apply,
    tools.apply,
    web_search.apply,
    structured_output.add_answer_tool,
    property_keys.apply,
    sampling.apply,
    thinking.apply,
    thinking.resolve_conflicts,
    caching.apply,
    betas.apply,
)


class PreparedRequest(Struct, frozen=True):
    """A request ready for one model, with what is needed to translate the reply.

    :param body: what is sent. A copy for this model whose nested values are shared: change only its own fields.
    :param notices: all changes, those of the dialect first.
    :param betas: values of the ``anthropic-beta`` header that the body needs.
    :param keeps_thinking: the model may think, so the thinking that leads to its tool calls is worth remembering.
    """

    body: MessagesRequest
    plan: ReplyPlan
    notices: list[Notice]
    betas: tuple[str, ...] = ()
    keeps_thinking: bool = False


def no_memory(_: str) -> None:
    """A ``RecallThinking`` that remembers nothing."""


def prepare(
    request: ClaudeRequest,
    plan: ReplyPlan,
    card: ModelCard,
    options: Options,
    recall: RecallThinking = no_memory,
    *,
    other_model: bool = False,
) -> PreparedRequest:
    """Prepare a request for the model of ``card``.

    :param recall: thinking of this model that was remembered for the caller.
    :param other_model: thinking in the history may be that of another model: blocks that are not remembered as this
        model's own are dropped.
    :raises InvalidRequest: the model cannot do what the client asks for; names the client's field.
    """
    draft = Draft(request, card, options, recall, other_model=other_model)
    for rule in RULES:
        rule(draft)
    body, tool = draft.body, draft.answer_tool
    plan = replace(
        plan,
        model_id=card.id,
        answer_tool=tool.name if tool else None,
        answer_schema=structured_output.checked_schema(draft) if tool else None,
        property_names=draft.property_names,
        temperature=body.temperature,
        top_p=body.top_p,
    )
    mode = body.thinking
    may_think = card.thinking_default == "on" if mode is None else mode.type != "disabled"
    return PreparedRequest(draft.body, plan, draft.notices.items, draft.betas, may_think)
