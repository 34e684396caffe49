"""A trailing assistant message: the beginning of the answer, which some models continue and others reject."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from modelmux.claude.draft import Draft
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import InputMessage, TextBlock

#: The user turn for a model that does not support prefill, if the operator chose that.
CONTINUE: Final = "Continue exactly where your last message ends."


def apply(draft: Draft) -> None:
    """Keep the prefill where model and request allow one; else add a user turn, or reject the request.

    :raises InvalidRequest: a prefill that cannot be continued.
    """
    body, request = draft.body, draft.request
    last = body.messages[-1]
    if last.role != "assistant":
        return
    by_schema = request.answer_format is not None and request.answer_format.schema is not None
    if draft.card.prefill and not by_schema:
        block = last.content[-1]
        assert isinstance(block, TextBlock)  # no turn ends in thinking, and every call has a result
        if block.text[-1].isspace():
            block = replace(block, text=block.text.rstrip())
            body.messages = [*body.messages[:-1], InputMessage("assistant", [*last.content[:-1], block])]
        return
    if draft.options.prefill == "continue":
        reason = "This model does not support prefill: a user turn that asks it to continue was added."
        draft.notices.add("added", request.fields.messages, reason)
        body.messages = [*body.messages, InputMessage("user", [TextBlock(CONTINUE)])]
        return
    if draft.card.prefill:
        raise InvalidRequest(
            "An answer that follows a schema cannot continue an assistant message.",
            param=request.fields.answer_format,
            hint=f"End with a user message, or leave out '{request.fields.answer_format}'.",
        )
    raise InvalidRequest(
        "This model does not support prefill: the last message must not have role 'assistant'.",
        param=request.fields.messages,
        hint="End with a user message that tells the model how to continue.",
    )
