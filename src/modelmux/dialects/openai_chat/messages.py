"""The conversation: a client's messages in any order -> the turns Anthropic accepts.

Append-only: what a message becomes depends on what came before it (see ``claude/conversation.py``), so the translation
of a longer conversation starts with that of every shorter one (tests/properties).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from modelmux.claude.caching import set_on_last
from modelmux.claude.conversation import NO_CONTENT, ConversationBuilder
from modelmux.claude.identifiers import to_valid_identifier
from modelmux.claude.open_calls import LEGACY_PREFIX
from modelmux.dialects.openai_chat.content import result_blocks, text_blocks, user_blocks
from modelmux.dialects.openai_chat.thinking_blocks import returned_thinking
from modelmux.dialects.openai_shared.arguments import decode_arguments
from modelmux.dialects.openai_shared.caching import read_breakpoint
from modelmux.dialects.openai_shared.context import TranslationContext
from modelmux.dialects.openai_shared.media import drop_blank_text
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.chat_request import (
    AssistantMessage,
    ChatMessage,
    Content,
    DeveloperMessage,
    FunctionCall,
    FunctionMessage,
    FunctionToolCall,
    SystemMessage,
    ToolMessage,
    UserMessage,
)

_SYSTEM: Final = (SystemMessage, DeveloperMessage)


def count_leading_system(messages: Sequence[ChatMessage]) -> int:
    """How many messages at the start are system or developer messages."""
    for index, message in enumerate(messages):
        if not isinstance(message, _SYSTEM):
            return index
    return len(messages)


def translate_system(
    messages: Sequence[ChatMessage], ctx: TranslationContext
) -> tuple[list[anthropic.TextBlock], anthropic.CacheControl | None]:
    """The leading system messages as blocks, one for each part; with them a breakpoint without a block to set it on.

    Later system messages are not moved here: that would change the prefix of the conversation.
    """
    blocks: list[anthropic.TextBlock] = []
    for index, message in enumerate(messages):
        assert isinstance(message, _SYSTEM)
        path = f"messages.{index}"
        _note_name(message, path, ctx)
        made = _with_breakpoint(text_blocks(message.content, ctx, path), message, ctx, path)
        blocks += [ctx.parts.add(block, ctx.parts.of(block, path)) for block in made]
    return drop_blank_text(blocks)


def add_messages(
    messages: Sequence[ChatMessage], first: int, builder: ConversationBuilder, ctx: TranslationContext
) -> None:
    """Add messages to the conversation.

    :param first: index of the first of them in the request, for the paths in notices and errors.
    """
    for index, message in enumerate(messages, first):
        path = builder.path = f"messages.{index}"
        if isinstance(message, UserMessage):
            _add_user(message, builder, ctx, path)
        elif isinstance(message, AssistantMessage):
            _add_assistant(message, builder, ctx, path)
        elif isinstance(message, ToolMessage):
            value, orphan = _result(message.content, ctx, path)
            marker = read_breakpoint(message.cache_control, None, path) or orphan
            field, is_error = f"{path}.tool_call_id", message.is_error is True
            name = to_valid_identifier(message.name) if message.name else None
            builder.add_tool_result(message.tool_call_id, value, marker, field, name=name, is_error=is_error)
        elif isinstance(message, FunctionMessage):
            value, orphan = _result(message.content, ctx, path)
            id, name = f"{LEGACY_PREFIX}{message.name}", to_valid_identifier(message.name)
            builder.add_tool_result(id, value, orphan, f"{path}.name", name=name)
        else:
            _add_system(message, builder, ctx, path)


def _note_name(
    message: UserMessage | AssistantMessage | SystemMessage | DeveloperMessage, path: str, ctx: TranslationContext
) -> None:
    """A notice for the name of a participant. The name of a tool message is not reported: its call has it too."""
    if message.name:
        ctx.notices.add("ignored", f"{path}.name", "Claude does not support names for participants.")


def _with_breakpoint(
    blocks: list[Any],
    message: SystemMessage | DeveloperMessage | UserMessage,
    ctx: TranslationContext,
    path: str,
) -> list[Any]:
    """Blocks with the message's own breakpoint on the last one; without blocks, on a blank text."""
    marker = read_breakpoint(message.cache_control, None, path)
    if marker is None:
        return blocks
    before = list(blocks)
    if not set_on_last(blocks, marker):
        blocks.append(anthropic.TextBlock("", marker))
    ctx.parts.copied(before, blocks, path)
    return blocks


def _add_user(message: UserMessage, builder: ConversationBuilder, ctx: TranslationContext, path: str) -> None:
    _note_name(message, path, ctx)
    blocks, orphan = drop_blank_text(_with_breakpoint(user_blocks(message.content, ctx, path), message, ctx, path))
    if not blocks:
        ctx.notices.add("changed", f"{path}.content", "Empty content is replaced by a placeholder.")
        blocks = [anthropic.TextBlock(NO_CONTENT, orphan)]
    builder.add_user(*blocks)


def _add_system(
    message: SystemMessage | DeveloperMessage, builder: ConversationBuilder, ctx: TranslationContext, path: str
) -> None:
    _note_name(message, path, ctx)
    blocks, orphan = drop_blank_text(_with_breakpoint(text_blocks(message.content, ctx, path), message, ctx, path))
    if blocks:
        builder.add_system(blocks, f"{path}.role")
    else:
        builder.set_cache_breakpoint(orphan)


def _add_assistant(message: AssistantMessage, builder: ConversationBuilder, ctx: TranslationContext, path: str) -> None:
    _note_name(message, path, ctx)
    if message.audio is not None:
        raise InvalidRequest(
            "Claude does not support audio.", param=f"{path}.audio", hint="Send its transcript as content."
        )
    builder.close_user_turn()
    texts, orphan = drop_blank_text(
        [*text_blocks(message.content, ctx, path, is_reply=True), anthropic.TextBlock(message.refusal or "")]
    )
    builder.set_cache_breakpoint(orphan)
    thinking = returned_thinking(message, ctx.notices, path)
    if texts or message.tool_calls or message.function_call:
        builder.add_assistant(*thinking, *texts)
    elif thinking:
        ctx.notices.add("dropped", path, "Thinking that nothing follows is not sent.")
    for index, call in enumerate(message.tool_calls or ()):
        call_path = f"{path}.tool_calls.{index}"
        if isinstance(call, FunctionToolCall):
            name, value = _function_call(call.function, ctx, f"{call_path}.function")
        else:
            name = ctx.tool_names.upstream(call.custom.name, f"{call_path}.custom.name")
            value = {"input": call.custom.input}
        builder.add_tool_use(call.id, name, value, call_path)
        if isinstance(call, FunctionToolCall):
            builder.set_cache_breakpoint(read_breakpoint(call.cache_control, None, call_path))
    if message.function_call is not None:
        call_path = f"{path}.function_call"
        name, value = _function_call(message.function_call, ctx, call_path)
        builder.add_tool_use(f"{LEGACY_PREFIX}{message.function_call.name}", name, value, call_path)
    builder.end_reply()
    builder.set_cache_breakpoint(read_breakpoint(message.cache_control, None, path))


def _function_call(call: FunctionCall, ctx: TranslationContext, path: str) -> tuple[str, dict[str, Any]]:
    name = ctx.tool_names.upstream(call.name, f"{path}.name")
    return name, decode_arguments(call.arguments, ctx.notices, f"{path}.arguments")


def _result(
    content: Content, ctx: TranslationContext, path: str
) -> tuple[str | list[Any] | None, anthropic.CacheControl | None]:
    """A tool's result: a string for one text, blocks for more, None if it is empty; with it a breakpoint without a
    block to set it on."""
    blocks, orphan = drop_blank_text(result_blocks(content, ctx, path))
    if len(blocks) == 1 and isinstance(blocks[0], anthropic.TextBlock) and blocks[0].cache_control is None:
        return blocks[0].text, None
    return list(blocks) or None, orphan
