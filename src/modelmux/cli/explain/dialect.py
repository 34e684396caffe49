"""The dialect of a request in a file: as named by an option, or guessed from its body."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from modelmux.dialects.base import Dialect
from modelmux.dialects.registry import SURFACES

#: Dialects by the names that logs and metrics use. Of two that share a name, the first is the main one.
DIALECTS: Final[dict[str, Dialect]] = {}
for _surface in SURFACES:
    if _surface.generates is not None and "{" not in _surface.path:
        DIALECTS.setdefault(_surface.generates.name, _surface.generates)

#: The names of `modelmux connect --mode`.
SHORT_NAMES: Final = {"chat": "openai_chat", "responses": "openai_responses", "messages": "anthropic_messages"}

#: Fields that only requests of Messages have.
_MESSAGES_FIELDS: Final = frozenset(
    {"anthropic_version", "anthropic_beta", "system", "stop_sequences", "output_config", "context_management"}
)
_MESSAGES_BLOCKS: Final = frozenset({"tool_use", "tool_result", "image", "document"})
#: Fields, roles and parts that only requests of Chat Completions have. They decide: Chat Completions takes fields of
#: Messages as well, and Messages none of these.
_CHAT_FIELDS: Final = frozenset(
    {
        "response_format", "max_completion_tokens", "reasoning_effort", "parallel_tool_calls", "stream_options",
        "functions", "function_call", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs",
    }
)  # fmt: skip
_CHAT_ROLES: Final = frozenset({"tool", "function", "developer"})
_CHAT_MESSAGE_FIELDS: Final = frozenset({"tool_calls", "tool_call_id", "function_call"})
_CHAT_PARTS: Final = frozenset({"image_url", "input_audio", "file", "refusal"})
#: Fields that only requests of Responses have.
_RESPONSES_FIELDS: Final = frozenset({"input", "previous_response_id", "instructions", "max_output_tokens"})


def holds_object(body: bytes) -> bool:
    """Whether a body is a JSON object: all others are refused, whatever dialect they are meant for."""
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def guess_dialect(body: bytes) -> str:
    """The name of the dialect that a body has; Chat Completions if it could be of several, or mixes them."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return "openai_chat"
    if not isinstance(content, dict):
        return "openai_chat"
    if "messages" not in content and not _RESPONSES_FIELDS.isdisjoint(content):
        return "openai_responses"
    return "anthropic_messages" if _is_messages(content) and not _is_chat(content) else "openai_chat"


def _is_chat(content: dict[str, Any]) -> bool:
    if not _CHAT_FIELDS.isdisjoint(content) or isinstance(content.get("tool_choice"), str):
        return True
    if any("function" in tool for tool in _objects(content, "tools")):
        return True
    for message in _objects(content, "messages"):
        if str(message.get("role")) in _CHAT_ROLES or not _CHAT_MESSAGE_FIELDS.isdisjoint(message):
            return True
    return any(str(part.get("type")) in _CHAT_PARTS for part in _objects(content, "messages", "content"))


def _is_messages(content: dict[str, Any]) -> bool:
    if not _MESSAGES_FIELDS.isdisjoint(content):
        return True
    if any(str(block.get("type")) in _MESSAGES_BLOCKS for block in _objects(content, "messages", "content")):
        return True
    return any("input_schema" in tool for tool in _objects(content, "tools"))


def _objects(content: dict[str, Any], *path: str) -> Iterable[dict[str, Any]]:
    """The objects in a list, or in the lists of the objects in it."""
    entries = content.get(path[0])
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        if len(path) == 1:
            yield entry
        else:
            yield from _objects(entry, *path[1:])
