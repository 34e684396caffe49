"""System messages inside the conversation: separate turns if the model supports them, else part of the user's turn.

They are never moved to the front: that would change the prefix of the whole conversation.
"""

from __future__ import annotations

from modelmux.claude.caching import set_on_last
from modelmux.claude.conversation import as_user_text, note_system_in_user_turn
from modelmux.claude.draft import Draft
from modelmux.wire.anthropic import InputMessage


def apply(draft: Draft) -> None:
    """For a model without system turns, merge them into the user's turns."""
    late = draft.request.late_system
    if not late or draft.card.supports_mid_system:
        return
    turns = {system.turn for system in late}
    placeholders = {system.turn + 1 for system in late if system.placeholder}
    for system in late:
        for field in system.fields:
            note_system_in_user_turn(draft.notices, field)
    messages: list[InputMessage] = []
    for index, message in enumerate(draft.body.messages):
        role, content = message.role, message.content
        if index in turns:
            role, content = "user", [as_user_text(block) for block in content]
        elif index in placeholders:  # only a system turn needs it
            marker = content[0].cache_control
            if marker is not None:
                set_on_last(messages[-1].content, marker)
            content = content[1:]
        if messages and role == messages[-1].role:
            messages[-1].content += content
        elif content:
            messages.append(InputMessage(role, list(content)))
    draft.body.messages = messages
