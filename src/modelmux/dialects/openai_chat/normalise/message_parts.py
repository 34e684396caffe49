"""Content under another name: the ``parts`` of Gemini and of the AI SDK, and what nothing can be made of.

Sources of the shapes: Google's API reference (``Content``, ``Part``) and the types of the AI SDK (``UIMessage``).
"""

from __future__ import annotations

import re
from typing import Any, Final

from modelmux.dialects.openai_chat.sdk_members import is_added_by_sdk
from modelmux.dialects.openai_shared.foreign.rewrite import Json, Rewrite, unread, without
from modelmux.errors import InvalidRequest
from modelmux.wire.openai.chat_request import (
    AssistantMessage,
    DeveloperMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)

#: The members of a message by its role.
_MEMBERS: Final = {
    message.__struct_config__.tag: frozenset(message.__struct_encode_fields__)
    for message in (SystemMessage, DeveloperMessage, UserMessage, AssistantMessage, ToolMessage, FunctionMessage)
}
#: Members that make a message say something, whatever else it holds.
_CONTENT: Final = (
    "content", "refusal", "tool_calls", "function_call", "audio", "images",
    "reasoning_content", "reasoning", "reasoning_details", "thinking_blocks",
)  # fmt: skip
#: Names, with underscores between words, of members that tell of a message and do not hold what it says.
_DESCRIBING: Final = re.compile(
    r"meta|usage|additional|thinking|reasoning|thought|artifact|"
    r"(^|_)(ids?|type|name|status|state|time|timestamp|date|at|index|author|sender|user|created|version|tags?)$",
    re.IGNORECASE,
)
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def take_parts(value: Json, path: str, rewrite: Rewrite) -> tuple[Json, str]:
    """A message with its ``parts`` as content if it has no other, and the client's path of its content.

    :param path: of the message.
    """
    parts, position = value.get("parts"), f"{path}.content"
    if parts is None or not _is_blank(value.get("content")):
        return value, position
    rewrite.renamed(position, f"{path}.parts")
    content = [_typed(part) for part in parts] if isinstance(parts, list) else _typed(parts)
    return {**without(value, "parts"), "content": content}, f"{path}.parts"


def reject_unread_content(value: Json, path: str) -> None:
    """
    :param path: of the message.
    :raises InvalidRequest: a message says nothing, except in a member that nothing is known of.
    """
    role = value.get("role")
    if not isinstance(role, str) or any(not _is_blank(value.get(name)) for name in _CONTENT):
        return
    for name in unread(value, "role", *_MEMBERS[role]):
        member = value[name]
        if isinstance(member, str | list | dict) and not _is_blank(member) and not _describes(name):
            raise InvalidRequest(
                f"'{path}' has no content: '{name[:80]}' is not a member of a message.",
                param=f"{path}.{name}"[:80],
                hint="Use 'content', a string or an array of content parts.",
            )


def _typed(part: Any) -> Any:
    """A part of Gemini's, which has no type, with one if it is a text. What is marked as a thought is not said."""
    if not isinstance(part, dict) or part.get("type") is not None or not isinstance(part.get("text"), str):
        return part
    kind = "reasoning" if part.get("thought") is True else "text"
    return {"type": kind, **without(part, "type", "thought")}


def _is_blank(value: Any) -> bool:
    return value in (None, [], {}) or (isinstance(value, str) and not value.strip())


def _describes(name: str) -> bool:
    return is_added_by_sdk(f"messages.0.{name}") or _DESCRIBING.search(_HUMP.sub("_", name)) is not None
