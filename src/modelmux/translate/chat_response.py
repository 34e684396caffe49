"""Messages reply -> chat completion, for replies that arrive whole."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Raw

from modelmux.translate.context import ReplyShape
from modelmux.translate.finish import finish_reason, refusal_text
from modelmux.translate.usage import translate_usage
from modelmux.wire import anthropic, openai_chat


def translate_response(
    message: anthropic.Message, shape: ReplyShape, *, id: str, created: int
) -> openai_chat.ChatCompletion:
    """Translate a whole reply.

    Blocks that are neither text, thinking nor a client's tool call (server tools and their results) stay out.

    :param id: the completion's id; ``created``: Unix seconds.
    """
    blocks = message.content or []
    calls = [tool_call(block, shape) for block in blocks if block.type == "tool_use"]
    refusal = refusal_text(message.stop_reason, message.stop_details)
    reply = openai_chat.ResponseMessage(
        content=visible_text("".join(b.text or "" for b in blocks if b.type == "text"), calls, refusal),
        refusal=refusal,
        tool_calls=calls or UNSET,
        reasoning_content="".join(b.thinking or "" for b in blocks if b.type == "thinking") or UNSET,
        thinking_blocks=[t for t in map(thinking_block, blocks) if t] or UNSET,
    )
    choice = openai_chat.Choice(
        message=reply, finish_reason=finish_reason(message.stop_reason, called_tools=bool(calls))
    )
    return openai_chat.ChatCompletion(
        id=id, created=created, model=shape.model, choices=[choice], usage=translate_usage(message.usage)
    )


def visible_text(text: str, calls: list[Any], refusal: str | None) -> str | None:
    """``content`` is null, not empty, where something else stands in its place."""
    return text if text or not (calls or refusal) else None


def tool_call(block: anthropic.Block, shape: ReplyShape) -> openai_chat.ResponseToolCall:
    """A client's tool call; its arguments are the upstream's own text."""
    name = block.name or ""
    function = openai_chat.ResponseFunction(shape.tool_names.get(name, name), arguments_of(block))
    return openai_chat.ResponseToolCall(id=block.id or "", function=function)


def arguments_of(block: anthropic.Block) -> str:
    """The argument text of a tool_use block; ``{}`` for none.

    What is raw was never checked for UTF-8; a bad byte in it costs its own character, not the reply.
    """
    return bytes(block.input).decode("utf-8", "replace") if isinstance(block.input, Raw) else "{}"


def thinking_block(block: anthropic.Block) -> dict[str, Any] | None:
    """A thinking block in the form that clients may send back: only signed ones can be."""
    if block.type == "thinking" and block.signature:
        return {"type": "thinking", "thinking": block.thinking or "", "signature": block.signature}
    if block.type == "redacted_thinking" and block.data:
        return {"type": "redacted_thinking", "data": block.data}
    return None
