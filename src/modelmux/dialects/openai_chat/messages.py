"""The conversation: a client's messages in any order -> the turns Anthropic accepts.

Append-only: what a message becomes depends on what came before it, never on what follows, so the translation of a
longer conversation starts with that of the shorter one wherever the model was asked (tests/properties). The two
repairs that look ahead (a tool call without a result, a system message without an answer) only act where no client
would have asked.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from modelmux.claude import identifiers
from modelmux.claude.caching import breakpoint_of, mark_last
from modelmux.claude.context import Context
from modelmux.claude.conversation import Turns
from modelmux.claude.thinking_blocks import Thoughts, of_history
from modelmux.dialects.openai_chat import content
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.chat_request import (
    AssistantMessage,
    ChatMessage,
    Content,
    DeveloperMessage,
    FunctionMessage,
    FunctionToolCall,
    SystemMessage,
    ToolMessage,
    UserMessage,
)

#: Stands in where the client has nothing and Anthropic wants something.
NO_CONTENT: Final = "(no content)"
_SYSTEM: Final = (SystemMessage, DeveloperMessage)
_RESULTS: Final = (ToolMessage, FunctionMessage)


def split_system(messages: list[ChatMessage]) -> int:
    """How many messages at the head are system or developer messages."""
    for index, message in enumerate(messages):
        if not isinstance(message, _SYSTEM):
            return index
    return len(messages)


def translate_system(messages: list[ChatMessage]) -> tuple[list[anthropic.TextBlock], anthropic.CacheControl | None]:
    """The leading system messages as blocks, part boundaries kept; with them a breakpoint that has none to stand on.

    Later system messages stay in their place: moving them here would change the prefix of the whole conversation.
    """
    found: list[anthropic.TextBlock] = []
    for index, message in enumerate(messages):
        assert isinstance(message, _SYSTEM)
        where = f"messages.{index}"
        found += _marked(content.texts(message.content, where), message, where)
    return content.not_blank(found)


def _marked(found: list[Any], message: SystemMessage | DeveloperMessage | UserMessage, where: str) -> list[Any]:
    """Blocks with the message's own breakpoint on the last; blank text carries it where there is no block."""
    marker = breakpoint_of(message.cache_control, None, where)
    if marker is not None and not mark_last(found, marker):
        found.append(anthropic.TextBlock("", marker))
    return found


def translate_turns(messages: list[ChatMessage], first: int, ctx: Context) -> list[anthropic.InputMessage]:
    """Messages from index ``first`` on, as turns that begin with the user's."""
    turns = Turns(ctx)
    _note_names(messages, ctx)
    thoughts, answered = of_history(messages, ctx), _answered(messages)
    for index in range(first, len(messages)):
        message, where = messages[index], f"messages.{index}"
        if isinstance(message, UserMessage):
            _user(message, turns, where)
        elif isinstance(message, AssistantMessage):
            _assistant(message, thoughts.get(index, Thoughts()), turns, where)
        elif isinstance(message, ToolMessage):
            value, adrift = _result(message.content, ctx, where)
            result = turns.result(message.tool_call_id, value, f"{where}.tool_call_id")
            mark_last(result, breakpoint_of(message.cache_control, None, where) or adrift)
        elif isinstance(message, FunctionMessage):
            value, adrift = _result(message.content, ctx, where)
            mark_last(turns.result(f"function:{message.name}", value, f"{where}.name"), adrift)
        else:
            _late_system(message, answered[index], turns, where)
    return turns.finish()


def _note_names(messages: list[ChatMessage], ctx: Context) -> None:
    """A notice for each name of a participant. A tool's is the name of its call, and known from that."""
    for index, message in enumerate(messages):
        if not isinstance(message, _RESULTS) and message.name:
            ctx.notices.add("ignored", f"messages.{index}.name", "Claude has no names for participants.")


def _user(message: UserMessage, turns: Turns, where: str) -> None:
    found, adrift = content.not_blank(_marked(content.blocks(message.content, turns.ctx, where), message, where))
    if not found:
        turns.ctx.notices.add("changed", f"{where}.content", "Empty content is replaced by a placeholder.")
        found = [anthropic.TextBlock(NO_CONTENT, adrift)]
    turns.user(*found)


def _answered(messages: list[ChatMessage]) -> list[bool]:
    """For each message, whether a system message in its place is the last word before the assistant's, or of all."""
    found, follows = [], True
    for message in reversed(messages):
        found.append(follows)
        if not isinstance(message, _SYSTEM):
            follows = isinstance(message, AssistantMessage)
    return found[::-1]


def _late_system(message: SystemMessage | DeveloperMessage, answered: bool, turns: Turns, where: str) -> None:
    """A system message in the middle: natively where the model takes it and it may stand there, else by the user."""
    blocks, adrift = content.not_blank(_marked(content.texts(message.content, where), message, where))
    if not blocks:
        turns.mark(adrift)
        return
    if turns.ctx.card.supports_mid_system and answered and turns.system(*blocks):
        return
    turns.ctx.notices.add("changed", f"{where}.role", "A later system message is sent in place, as a user turn.")
    for block in blocks:
        block.text = f"<system_message>\n{block.text}\n</system_message>"
    turns.user(*blocks)


def _assistant(message: AssistantMessage, thoughts: Thoughts, turns: Turns, where: str) -> None:
    if message.audio is not None:
        raise InvalidRequest(
            "Claude has no audio to refer to.", param=f"{where}.audio", hint="Send its transcript as content."
        )
    turns.replied()
    texts, adrift = content.not_blank(
        [*content.texts(message.content, where), anthropic.TextBlock(message.refusal or "")]
    )
    turns.mark(adrift)
    if texts or message.tool_calls or message.function_call:  # no answer is thinking alone, nor ends in it
        turns.assistant(*thoughts.leading, *texts)
    for index, call in enumerate(message.tool_calls or ()):
        path = f"{where}.tool_calls.{index}"
        if index < len(thoughts.before) and thoughts.before[index]:
            turns.assistant(*thoughts.before[index])
        if isinstance(call, FunctionToolCall):
            name = identifiers.tool_name(call.function.name, turns.ctx, f"{path}.function.name")
            value = arguments(call.function.arguments, turns.ctx, f"{path}.function.arguments")
        else:
            name = identifiers.tool_name(call.custom.name, turns.ctx, f"{path}.custom.name")
            value = {"input": call.custom.input}
        turns.call(call.id, name, value, path)
    if message.function_call is not None:
        path = f"{where}.function_call"
        name = identifiers.tool_name(message.function_call.name, turns.ctx, f"{path}.name")
        value = arguments(message.function_call.arguments, turns.ctx, f"{path}.arguments")
        turns.call(f"function:{message.function_call.name}", name, value, path)
    if turns.role == "system":  # an answer without content; only an answer may follow a system turn
        turns.assistant(anthropic.TextBlock(NO_CONTENT))
    turns.mark(breakpoint_of(message.cache_control, None, where))


def _result(given: Content, ctx: Context, where: str) -> tuple[str | list[Any] | None, anthropic.CacheControl | None]:
    """A tool's result: a string where it is one text, blocks where it is more, None where it is empty; with it a
    breakpoint that has no block inside to stand on."""
    found, adrift = content.not_blank(content.blocks(given, ctx, where))
    if len(found) == 1 and isinstance(found[0], anthropic.TextBlock) and found[0].cache_control is None:
        return found[0].text, None
    return list(found) or None, adrift


def arguments(text: str | None, ctx: Context, where: str) -> dict[str, Any]:
    """A tool call's argument string as the object Anthropic wants; anything else is wrapped, never lost."""
    if text is None or not text.strip():
        return {}
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        ctx.notices.add("changed", where, "The arguments are not JSON; they are sent as one string.")
        return {"arguments": text}
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    ctx.notices.add("changed", where, "The arguments are not an object; they are sent inside one.")
    return {"arguments": value}


def user_id(value: str) -> str:
    """A stable opaque id for ``metadata.user_id``: Anthropic forbids names, addresses and numbers there."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
