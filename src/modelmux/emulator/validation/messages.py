"""Rules on the conversation: roles, empty text, prefill, mid-conversation system messages (anthropic-vertex.md 5).

Tool calls and their results: ``tool_results.py``.
"""

from __future__ import annotations

from typing import Any, Final

from modelmux.emulator.call import NEW_API, EmulatedCall
from modelmux.emulator.errors import invalid_request
from modelmux.emulator.model.prompt import blocks_of
from modelmux.emulator.validation.checks import field_error

MAX_MESSAGES: Final = 100_000
_ASSISTANT_ONLY: Final = frozenset(
    {
        "tool_use",
        "thinking",
        "redacted_thinking",
        "server_tool_use",
        "web_search_tool_result",
        "tool_search_tool_result",
        "compaction",
    }
)
_SYSTEM: Final = frozenset({"text", "tool_addition", "tool_removal"})
_SERVER_TOOL_TYPES: Final = frozenset({"server_tool_use", "web_search_tool_result", "tool_search_tool_result"})


def check_messages(call: EmulatedCall) -> None:
    """Check every rule on messages except those on tool calls.

    :raises ApiError: a rule is violated.
    """
    messages = call.body["messages"]
    if not messages:
        raise invalid_request("messages: at least one message is required")
    if len(messages) > MAX_MESSAGES:
        raise field_error(
            "messages", f"List should have at most {MAX_MESSAGES} items after validation, not {len(messages)}"
        )
    _check_roles(call, messages)
    for i, message in enumerate(messages):
        last_assistant = i == len(messages) - 1 and message["role"] == "assistant"
        if not message.get("content") and not last_assistant and not message.get("output_config"):
            raise invalid_request(
                f"messages.{i}: all messages must have non-empty content except for "
                "the optional final assistant message"
            )
        for j, block in enumerate(blocks_of(message)):
            _check_block(call, message, block, f"messages.{i}.content.{j}", last_assistant)
    _check_system(call.body.get("system"))
    if not call.counting:
        _check_last_message(call, messages)


def _check_roles(call: EmulatedCall, messages: list[dict[str, Any]]) -> None:
    for i, message in enumerate(messages):
        role = message["role"]
        if role == "system":
            if not call.card.supports_mid_system:
                raise invalid_request(
                    'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
                    '"system" as an input message role.'
                )
            _check_system_position(messages, i)
        elif role not in ("user", "assistant"):
            raise invalid_request(f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant".')
    if messages[0]["role"] == "assistant":
        raise invalid_request('messages: first message must use the "user" role')


def _check_system_position(messages: list[dict[str, Any]], i: int) -> None:
    before = messages[i - 1] if i else None
    after = messages[i + 1] if i + 1 < len(messages) else None
    valid_before = before is not None and (
        before["role"] == "user" or (before["role"] == "assistant" and _ends_in_server_result(before))
    )
    if not valid_before:
        raise invalid_request(
            f"messages.{i}: a `system` message must follow a `user` message, or an `assistant` message that ends with "
            "a server tool result"
        )
    if after is not None and after["role"] != "assistant":
        raise invalid_request(
            f"messages.{i}: a `system` message must be the last message or be followed by an `assistant` message"
        )


def _ends_in_server_result(message: dict[str, Any]) -> bool:
    blocks = blocks_of(message)
    return bool(blocks) and blocks[-1].get("type") in _SERVER_TOOL_TYPES - {"server_tool_use"}


def _check_block(
    call: EmulatedCall, message: dict[str, Any], block: dict[str, Any], path: str, last_assistant: bool
) -> None:
    role, kind = message["role"], block["type"]
    if role == "system" and kind not in _SYSTEM:
        raise invalid_request(f"{path}: `{kind}` blocks cannot be in `system` messages")
    if role == "user" and kind in _ASSISTANT_ONLY:
        raise invalid_request(f"{path}: `{kind}` blocks can only be in `assistant` messages")
    if role == "assistant" and kind == "tool_result":
        raise invalid_request(f"{path}: `tool_result` blocks can only be in `user` messages")
    if kind == "text":
        is_string = isinstance(message.get("content"), str)
        check_text(block, path, allow_blank=last_assistant and is_string)
    elif kind == "tool_result" and isinstance(block.get("content"), list):
        for k, inner in enumerate(block["content"]):
            if inner["type"] == "text":
                check_text(inner, f"{path}.tool_result.content.{k}", allow_blank=False)
    if call.body.get("anthropic_version") == NEW_API:
        _check_new_api(role, block, path)


def check_text(block: dict[str, Any], path: str, *, allow_blank: bool, where: str = "messages") -> None:
    """Check that a text block is not empty or blank.

    :raises ApiError: it is.
    """
    text = block["text"]
    if text.strip() or allow_blank:
        return
    if not text and block.get("cache_control") is not None:
        raise invalid_request(f"{path}.text: cache_control cannot be set for empty text blocks")
    if not text:
        raise invalid_request(f"{where}: text content blocks must be non-empty")
    raise invalid_request(f"{where}: text content blocks must contain non-whitespace text")


def _check_new_api(role: str, block: dict[str, Any], path: str) -> None:
    """What API version 2026-10-21 no longer accepts (1.2)."""
    kind = block["type"]
    if role == "assistant" and kind == "document":
        raise invalid_request(f"{path}: `document` blocks cannot be in `assistant` messages")
    if role == "user" and kind == "text" and block.get("citations"):
        raise field_error(f"{path}.text.citations", "Extra inputs are not permitted")
    if kind == "search_result" and any(inner.get("citations") for inner in block["content"]):
        raise field_error(f"{path}.search_result.content.0.text.citations", "Extra inputs are not permitted")


def _check_system(system: Any) -> None:
    for i, block in enumerate(system if isinstance(system, list) else ()):
        check_text(block, f"system.{i}", allow_blank=False, where="system")


def _check_last_message(call: EmulatedCall, messages: list[dict[str, Any]]) -> None:
    """Check a trailing assistant message: a prefill, unless it returns a turn paused at a server tool."""
    last = messages[-1]
    if last["role"] != "assistant":
        return
    blocks = blocks_of(last)
    if blocks and blocks[-1].get("type") in _SERVER_TOOL_TYPES:
        return
    if not call.card.prefill:
        raise invalid_request(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    text = blocks[-1].get("text") if blocks else None
    if isinstance(text, str) and text != text.rstrip():
        raise invalid_request("messages: final assistant content cannot end with trailing whitespace")
    kind = blocks[0].get("type") if blocks else None
    if call.thinking_on and kind not in (None, "thinking", "redacted_thinking"):  # as quoted in Aider-AI/aider#3820
        raise field_error(
            f"messages.{len(messages) - 1}.content.0.type",
            f"Expected `thinking` or `redacted_thinking`, but found `{kind}`. When `thinking` is enabled, a final "
            "`assistant` message must start with a thinking block. We recommend you include thinking blocks from "
            "previous turns. To avoid this requirement, disable `thinking`. Please consult our documentation at "
            "https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking",
        )
    if call.output_schema is not None:
        raise invalid_request(
            "output_config.format: structured outputs cannot be combined with an assistant message prefill"
        )
