"""Messages reply -> chat completion, for replies in one piece."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct

from modelmux.claude.answer_repair import answer_text
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.openai_chat.annotations import annotations_of
from modelmux.dialects.openai_chat.finish_reason import finish_reason, refusal_text
from modelmux.dialects.openai_chat.usage import translate_usage
from modelmux.dialects.openai_shared.code_block import strip_code_block
from modelmux.dialects.openai_shared.tool_input import arguments_of, free_text
from modelmux.wire import anthropic
from modelmux.wire.openai import chat_response

Call = chat_response.ResponseToolCall | chat_response.ResponseCustomCall


class Parts(Struct):
    """The content of a reply in OpenAI's categories. Shared by complete replies and folded streams."""

    text: str
    refusal: str | None
    calls: list[Call]
    annotations: list[dict[str, Any]]
    reasoning: str
    thinking_blocks: list[dict[str, Any]]


def translate_response(
    message: anthropic.Message, shape: ReplyPlan, *, id: str, created: int
) -> chat_response.ChatCompletion:
    """Translate a complete reply.

    Other blocks than text, thinking and the client's tool calls (server tools and their results) are left out.

    :param id: the completion's id; ``created``: Unix seconds.
    """
    parts = _parts(message, shape)
    reason = finish_reason(message.stop_reason, called_tools=bool(parts.calls), legacy=shape.legacy_function)
    usage = translate_usage(message.usage)
    return completion(parts, shape, reason, usage, id=id, created=created)


def completion(
    parts: Parts,
    shape: ReplyPlan,
    reason: chat_response.FinishReason,
    usage: chat_response.Usage,
    *,
    id: str,
    created: int,
) -> chat_response.ChatCompletion:
    """The completion with these ``parts``; empty ones are null."""
    empty = not parts.text and bool(parts.calls or parts.refusal)
    reply = chat_response.ResponseMessage(
        content=None if empty else parts.text,
        refusal=parts.refusal,
        annotations=parts.annotations or UNSET,
        reasoning_content=parts.reasoning or UNSET,
        thinking_blocks=parts.thinking_blocks or UNSET,
    )
    if parts.calls and shape.legacy_function:
        first = parts.calls[0]
        assert isinstance(first, chat_response.ResponseToolCall)
        reply.function_call = first.function
    elif parts.calls:
        reply.tool_calls = parts.calls
    choice = chat_response.Choice(message=reply, finish_reason=reason)
    return chat_response.ChatCompletion(
        id=id, created=created, model=shape.model, choices=[choice], usage=usage, service_tier=shape.service_tier
    )


def _answer(arguments: str, plan: ReplyPlan) -> str:
    text = answer_text(plan)
    return text.feed(arguments) + text.finish()


def _parts(message: anthropic.Message, shape: ReplyPlan) -> Parts:
    parts = Parts("", refusal_text(message.stop_reason, message.stop_details), [], [], "", [])
    for block in message.content or ():
        if block.type == "text" and block.text:
            start = len(parts.text)
            parts.text += block.text
            if not shape.strip_code_block:  # the indices would be wrong after removing the fence
                parts.annotations += annotations_of(block.citations, start, len(parts.text))
        elif block.type == "tool_use" and (block.name or "") == shape.answer_tool:
            parts.text += _answer(arguments_of(block), shape)
        elif block.type == "tool_use":
            parts.calls.append(tool_call(block, shape))
        elif shape.show_reasoning:
            parts.reasoning += (block.thinking or "") if block.type == "thinking" else ""
            thought = thinking_block(block)
            parts.thinking_blocks += [thought] if thought else []
    if shape.strip_code_block:
        parts.text = strip_code_block(parts.text)
    return parts


def tool_call(block: anthropic.Block, shape: ReplyPlan) -> Call:
    """A client's tool call; its arguments are the upstream's own text."""
    name = block.name or ""
    own = shape.tool_names.get(name, name)
    if name in shape.custom_tools:
        custom = chat_response.ResponseCustom(own, free_text(arguments_of(block)))
        return chat_response.ResponseCustomCall(id=block.id or "", custom=custom)
    function = chat_response.ResponseFunction(own, arguments_of(block))
    return chat_response.ResponseToolCall(id=block.id or "", function=function)


def thinking_block(block: anthropic.Block) -> dict[str, Any] | None:
    """A thinking block in the form that clients may send back: only signed ones can be."""
    if block.type == "thinking" and block.signature:
        return {"type": "thinking", "thinking": block.thinking or "", "signature": block.signature}
    if block.type == "redacted_thinking" and block.data:
        return {"type": "redacted_thinking", "data": block.data}
    return None
