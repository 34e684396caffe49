"""Estimated token counts: about four ASCII characters per token, more tokens for other scripts.

The counts have to be stable, additive along a prefix, and of the right order of magnitude, so no tokenizer is needed.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from modelmux.emulator.model.prompt import tools_in_prompt

MESSAGE_OVERHEAD: Final = 4  # role markers around a message
_IMAGE: Final = 1600  # upper bound, after downsizing
_PDF_PAGE: Final = 2000
#: Tokens that tools add in front of the first definition (Anthropic's tool-use docs, order of magnitude).
TOOL_PREAMBLE: Final = 340


def of_text(text: str) -> int:
    """Tokens of a text; 0 only for an empty one."""
    if not text:
        return 0
    if text.isascii():
        return (len(text) + 3) // 4
    wide = sum(1 for c in text if c > "\x7f")
    return (len(text) - wide + 3) // 4 + (wide * 3 + 3) // 4


def truncate(text: str, limit: int) -> str:
    """The longest prefix of a text of at most ``limit`` tokens."""
    if of_text(text) <= limit:
        return text
    low, high = 0, min(len(text), limit * 4)
    while low < high:
        middle = (low + high + 1) // 2
        if of_text(text[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def of_json(value: Any) -> int:
    """Tokens of a JSON value, encoded."""
    return (len(msgspec.json.encode(value)) + 3) // 4


def of_block(block: Any) -> int:
    """Tokens of one input content block."""
    if isinstance(block, str):
        return of_text(block)
    if not isinstance(block, dict):
        return 0
    kind = block.get("type")
    if kind == "text":
        return of_text(str(block.get("text", "")))
    if kind == "image":
        return _image(block.get("source"))
    if kind == "document":
        return _document(block.get("source"))
    if kind == "tool_result":
        content = block.get("content")
        inner = sum(of_block(b) for b in content) if isinstance(content, list) else of_text(str(content or ""))
        return 20 + inner
    if kind == "tool_use":
        return 30 + of_json(block.get("input"))
    if kind == "thinking":
        return of_text(str(block.get("thinking", "")))
    return of_json(block)


def _image(source: Any) -> int:
    data = source.get("data") if isinstance(source, dict) else None
    return min(_IMAGE, 100 + len(data) // 400) if isinstance(data, str) else _IMAGE


def _document(source: Any) -> int:
    if not isinstance(source, dict):
        return _PDF_PAGE
    data = source.get("data")
    if source.get("type") == "text" and isinstance(data, str):
        return of_text(data)
    if isinstance(data, str):
        return _PDF_PAGE * max(1, len(data) // 100_000)
    content = source.get("content")
    return sum(of_block(b) for b in content) if isinstance(content, list) else of_text(str(content or ""))


def of_message(message: Any) -> int:
    """Tokens of one input message with its role markers."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        return MESSAGE_OVERHEAD + sum(of_block(block) for block in content)
    return MESSAGE_OVERHEAD + of_text(str(content or ""))


def of_tool(tool: Any) -> int:
    return 12 + of_json({k: v for k, v in tool.items() if k != "cache_control"} if isinstance(tool, dict) else tool)


def of_request(body: dict[str, Any]) -> int:
    """Input tokens of a complete request, cached or not."""
    tools = tools_in_prompt(body)
    system = body.get("system") or []
    blocks = [system] if isinstance(system, str) else system
    return (
        3
        + (TOOL_PREAMBLE + sum(of_tool(tool) for tool in tools) if tools else 0)
        + sum(of_block(block) for block in blocks)
        + sum(of_message(message) for message in body.get("messages") or [])
    )
