"""The conversation: a client's messages in any order -> the turns Anthropic accepts.

Append-only: what a message becomes depends on what came before it, never on what follows, so the translation of a
longer conversation starts with that of the shorter one wherever the model was asked (tests/properties). The two
repairs that look ahead (a tool call without a result) only act where no client would have asked.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from modelmux.errors import InvalidRequest
from modelmux.translate import content, names
from modelmux.translate.context import Context
from modelmux.wire import anthropic
from modelmux.wire.openai_chat import (
    AssistantMessage,
    ChatMessage,
    DeveloperMessage,
    FunctionToolCall,
    SystemMessage,
    ToolMessage,
    UserMessage,
)

#: Stand-ins where the client has nothing and Anthropic wants something.
BEGIN: Final = "Begin."
NO_CONTENT: Final = "(no content)"
NO_RESULT: Final = "No result: the tool call was not answered."


def split_system(messages: list[ChatMessage]) -> int:
    """How many messages at the head are system or developer messages."""
    for index, message in enumerate(messages):
        if not isinstance(message, SystemMessage | DeveloperMessage):
            return index
    return len(messages)


def translate_system(messages: list[ChatMessage]) -> list[anthropic.TextBlock] | None:
    """The leading system messages as blocks, part boundaries kept; None when they hold no text.

    Later system messages stay in their place: moving them here would change the prefix of the whole conversation.
    """
    blocks = [
        anthropic.TextBlock(text)
        for index, message in enumerate(messages)
        if isinstance(message, SystemMessage | DeveloperMessage)
        for text in content.texts(message.content, f"messages.{index}")
    ]
    return blocks or None


def translate_turns(messages: list[ChatMessage], first: int, ctx: Context) -> list[anthropic.InputMessage]:
    """Messages from index ``first`` on, as alternating turns that begin with the user's."""
    turns = _Turns(ctx)
    for index in range(first, len(messages)):
        message, where = messages[index], f"messages.{index}"
        if isinstance(message, UserMessage):
            _user(message, turns, where)
        elif isinstance(message, AssistantMessage):
            _assistant(message, turns, where)
        elif isinstance(message, ToolMessage):
            _tool(message, turns, where)
        elif isinstance(message, SystemMessage | DeveloperMessage):
            _late_system(message, turns, where)
        else:
            raise InvalidRequest(
                "Messages with role 'function' are not supported.", param=f"{where}.role", hint="Use role 'tool'."
            )
    return turns.finish()


def _user(message: UserMessage, turns: _Turns, where: str) -> None:
    if message.name:
        turns.ctx.notices.add("ignored", f"{where}.name", "Claude has no names for participants.")
    found = content.blocks(message.content, where)
    if not found:
        turns.ctx.notices.add("changed", f"{where}.content", "Empty content is replaced by a placeholder.")
    turns.user(*(found or [anthropic.TextBlock(NO_CONTENT)]))


def _late_system(message: SystemMessage | DeveloperMessage, turns: _Turns, where: str) -> None:
    for text in content.texts(message.content, where):
        turns.ctx.notices.add("changed", f"{where}.role", "A later system message is sent in place, as a user turn.")
        turns.user(anthropic.TextBlock(f"<system_message>\n{text}\n</system_message>"))


def _assistant(message: AssistantMessage, turns: _Turns, where: str) -> None:
    if message.function_call is not None:
        raise InvalidRequest(
            "The legacy function interface is not supported.", param=f"{where}.function_call", hint="Use 'tool_calls'."
        )
    if message.audio is not None:
        raise InvalidRequest(
            "Claude has no audio to refer to.", param=f"{where}.audio", hint="Send its transcript as content."
        )
    turns.replied()
    for text in content.texts(message.content, where):
        turns.assistant(anthropic.TextBlock(text))
    if message.refusal and message.refusal.strip():
        turns.assistant(anthropic.TextBlock(message.refusal))
    for index, call in enumerate(message.tool_calls or ()):
        path = f"{where}.tool_calls.{index}"
        if not isinstance(call, FunctionToolCall):
            raise InvalidRequest("Custom tool calls are not supported.", param=f"{path}.type")
        turns.call(call.id, names.tool_name(call.function.name, turns.ctx, f"{path}.function.name"),
                   arguments(call.function.arguments, turns.ctx, f"{path}.function.arguments"), path)  # fmt: skip


def _tool(message: ToolMessage, turns: _Turns, where: str) -> None:
    found = content.blocks(message.content, where)
    result: str | list[Any] | None = found or None
    if len(found) == 1 and isinstance(found[0], anthropic.TextBlock):
        result = found[0].text
    turns.result(message.tool_call_id, result, where)


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


class _Turns:
    """Builds alternating turns; knows which tool calls still wait for their result."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self._messages: list[anthropic.InputMessage] = []
        self._blocks: list[Any] = []  # of the last message
        self._results = 0  # how many tool results stand at the head of the last message
        self._waiting: dict[str, list[str]] = {}  # client's id -> upstream ids still without a result
        self._ids: set[str] = set()

    def user(self, *blocks: Any) -> None:
        self._turn("user").extend(blocks)

    def assistant(self, block: Any) -> None:
        self._turn("assistant").append(block)

    def replied(self) -> None:
        """The model was asked with what stands here and answered, if only with nothing: what it saw is settled."""
        if not self._messages:
            self.ctx.notices.add("added", "messages", "A conversation begins with the user; a turn was added.")
            self.user(anthropic.TextBlock(BEGIN))
        elif self._messages[-1].role == "user":
            self._answer_waiting()

    def call(self, original: str, name: str, value: dict[str, Any], where: str) -> None:
        """A tool call of the assistant. Ids are made valid and unique, as a function of what came before."""
        blocks = self._turn("assistant")
        wanted = names.clean(original) if original else f"call_{len(self._ids)}"
        assigned, again = wanted, 1
        while assigned in self._ids:
            again += 1
            assigned = f"{wanted[:120]}_{again}"
        if assigned != original:
            self.ctx.notices.add("changed", f"{where}.id", "The id is empty, repeated or not valid upstream.")
        self._ids.add(assigned)
        self._waiting.setdefault(original, []).append(assigned)
        blocks.append(anthropic.ToolUseBlock(assigned, name, value))

    def result(self, original: str, value: str | list[Any] | None, where: str) -> None:
        """A tool's result: to the front of the user turn that follows its call; as text where it has no call."""
        waiting = self._waiting.get(original)
        if not waiting:
            self.ctx.notices.add("changed", f"{where}.tool_call_id", "No open tool call has this id: sent as text.")
            given = [anthropic.TextBlock(value)] if isinstance(value, str) else value or []
            self.user(anthropic.TextBlock("Result of a tool call that is not part of this conversation:"), *given)
            return
        self._insert_result(anthropic.ToolResultBlock(waiting.pop(0), value))

    def finish(self) -> list[anthropic.InputMessage]:
        self._answer_waiting()
        return self._messages

    def _insert_result(self, block: anthropic.ToolResultBlock) -> None:
        self._turn("user").insert(self._results, block)
        self._results += 1

    def _turn(self, role: str) -> list[Any]:
        """The blocks of the turn to write to, begun if the last one is the other side's."""
        last = self._messages[-1].role if self._messages else None
        if last == role:
            return self._blocks
        self._blocks = []
        self._results = 0
        self._messages.append(anthropic.InputMessage("user" if role == "user" else "assistant", self._blocks))
        return self._blocks

    def _answer_waiting(self) -> None:
        """Give every call that was never answered an error result: Anthropic takes no call without one."""
        missing = [assigned for waiting in self._waiting.values() for assigned in waiting]
        self._waiting = {}
        for assigned in missing:
            self.ctx.notices.add("added", "messages", "A tool call without a result was given an error result.")
            self._insert_result(anthropic.ToolResultBlock(assigned, NO_RESULT, is_error=True))


def user_id(value: str) -> str:
    """A stable opaque id for ``metadata.user_id``: Anthropic forbids names, addresses and numbers there."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
