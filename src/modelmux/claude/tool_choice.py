"""A forced tool choice, which not every model supports."""

from __future__ import annotations

from typing import Final

from modelmux.claude.draft import Draft
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import ToolChoice

_WAY_OUT: Final = "say in the prompt that the tool must be used, or choose another model"
_DOWNGRADED: Final = (
    f"This model does not support a forced tool choice: 'auto' is used, so it may answer without a call; {_WAY_OUT}. "
    'For an error instead, the operator of this gateway sets forced_tool_choice = "error".'
)


def apply(draft: Draft) -> None:
    """Keep a forced choice where the model supports it; else use ``auto``, or reject it if the operator chose that.

    :raises InvalidRequest: the model does not support it.
    """
    choice = draft.body.tool_choice
    if choice is None or choice.type not in ("any", "tool") or draft.card.forced_tool_choice != "reject":
        return
    if draft.options.forced_tool_choice == "error":
        raise InvalidRequest(
            "This model does not support a forced tool choice.",
            param="tool_choice",
            hint=f"Use tool_choice 'auto' and {_WAY_OUT}. For 'auto' in its place, the operator of this gateway sets "
            'forced_tool_choice = "downgrade".',
        )
    draft.notices.add("changed", "tool_choice", _DOWNGRADED)
    draft.body.tool_choice = ToolChoice("auto", disable_parallel_tool_use=choice.disable_parallel_tool_use)
