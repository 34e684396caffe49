"""A forced tool choice, which not every model supports."""

from __future__ import annotations

from modelmux.claude.draft import Draft
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import ToolChoice


def apply(draft: Draft) -> None:
    """Keep a forced choice where the model supports it; else reject it, or use ``auto`` if the operator chose that.

    :raises InvalidRequest: the model does not support it.
    """
    choice = draft.body.tool_choice
    if choice is None or choice.type not in ("any", "tool") or draft.card.forced_tool_choice != "reject":
        return
    if draft.options.forced_tool_choice == "error":
        raise InvalidRequest(
            "This model does not support a forced tool choice.",
            param="tool_choice",
            hint="Use tool_choice 'auto' and say in the prompt that the tool must be used, or choose another model.",
        )
    draft.notices.add("changed", "tool_choice", "This model does not support a forced tool choice: 'auto' is used.")
    draft.body.tool_choice = ToolChoice("auto", disable_parallel_tool_use=choice.disable_parallel_tool_use)
