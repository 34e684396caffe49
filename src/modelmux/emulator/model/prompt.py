"""The prompt in a request body: the last user text, the tool results, the attachments.

It reads plain dicts and must not fail on an invalid request: faults are looked up before validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from modelmux.emulator.faults import directives

#: What clients add to the text of the user.
_CLIENT_TEXT: Final = re.compile(r"<(system-reminder|task-notification|environment_context)>.*?</\1>", re.DOTALL)

Block = dict[str, Any]


class Attachment(NamedTuple):
    """An image or document of the last user turn. ``size`` is in bytes, decoded."""

    kind: str
    media_type: str
    size: int
    title: str


class ToolResult(NamedTuple):
    """One tool result of the last user turn. ``name`` is empty if the history has no call of that id."""

    name: str
    text: str
    is_error: bool


class Prompt(NamedTuple):
    """``raw`` is the last user text with directives, ``text`` without; ``question`` is the last user text that is not
    only a tool result: the question that a tool loop is to answer."""

    raw: str
    text: str
    question: str
    results: list[ToolResult]
    attachments: list[Attachment]


def blocks_of(message: Any) -> list[Block]:
    """Content blocks of a message, a string as one text block; empty for an invalid message."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, list):
        return [block for block in content if isinstance(block, dict)]
    return []


def messages_of(body: Any) -> list[Any]:
    messages = body.get("messages") if isinstance(body, dict) else None
    return [m for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []


def tools_in_prompt(body: Any) -> list[Any]:
    """The tools that are part of the prompt: deferred ones are not, so a client may add them between turns."""
    tools = body.get("tools") or []
    return [tool for tool in tools if not (isinstance(tool, dict) and tool.get("defer_loading") is True)]


def read_prompt(body: Any) -> Prompt:
    """Read the last turn of a request."""
    messages = messages_of(body)
    tail = list(_last_turn(messages))
    raw = user_text(tail)
    text = directives.strip(raw)
    results = _results(tail, messages)
    question = text or next((q for q in _earlier_questions(messages) if q), "")
    attachments = [a for block in tail for a in _attachments(block)]
    return Prompt(raw, text, question, results, attachments)


def prefill_of(body: Any) -> str:
    """Text of a trailing assistant message; empty if there is none."""
    messages = messages_of(body)
    if messages and messages[-1].get("role") == "assistant":
        return "".join(str(b.get("text", "")) for b in blocks_of(messages[-1]) if b.get("type") == "text")
    return ""


def pending_search(body: Any) -> Block | None:
    """The server tool call at the end of a paused turn, which came back as the last message."""
    messages = messages_of(body)
    if not messages or messages[-1].get("role") != "assistant":
        return None
    blocks = blocks_of(messages[-1])
    return blocks[-1] if blocks and blocks[-1].get("type") == "server_tool_use" else None


def _last_turn(messages: list[Any]) -> Iterator[Block]:
    """Blocks of the user messages after the last assistant message (before it, if it is a prefill)."""
    end = len(messages)
    while end and messages[end - 1].get("role") != "user":
        end -= 1
    start = end
    while start and messages[start - 1].get("role") in ("user", "system"):
        start -= 1
    for message in messages[start:end]:
        if message.get("role") == "user":
            yield from blocks_of(message)


def user_text(blocks: list[Block]) -> str:
    """The text of the user in the blocks of user messages, without what the client has added."""
    texts = (str(b.get("text", "")) for b in blocks if b.get("type") == "text")
    return "\n".join(t for t in (_CLIENT_TEXT.sub("", text).strip() for text in texts) if t)


def _earlier_questions(messages: list[Any]) -> Iterator[str]:
    for message in reversed(messages):
        if message.get("role") == "user":
            yield directives.strip(user_text(blocks_of(message)))


def _results(tail: list[Block], messages: list[Any]) -> list[ToolResult]:
    names = {
        str(block.get("id")): str(block.get("name", ""))
        for message in messages
        if message.get("role") == "assistant"
        for block in blocks_of(message)
        if block.get("type") == "tool_use"
    }
    return [
        ToolResult(names.get(str(b.get("tool_use_id")), ""), _result_text(b.get("content")), b.get("is_error") is True)
        for b in tail
        if b.get("type") == "tool_result"
    ]


def _result_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = []
    for block in content if isinstance(content, list) else []:
        if not isinstance(block, dict):
            continue
        if block.get("type") == "text":
            parts.append(str(block.get("text", "")))
        else:
            parts.append(", ".join(f"[{a.kind}: {a.media_type}, {a.size} bytes]" for a in _attachments(block)))
    return "\n".join(part for part in parts if part)


def _attachments(block: Block) -> Iterator[Attachment]:
    kind = block.get("type")
    if kind == "tool_result" and isinstance(block.get("content"), list):
        for inner in block["content"]:
            if isinstance(inner, dict):
                yield from _attachments(inner)
        return
    if kind == "search_result":
        yield Attachment("search result", "text/plain", 0, str(block.get("title", "")))
        return
    source = block.get("source")
    if kind not in ("image", "document") or not isinstance(source, dict):
        return
    data = source.get("data")
    size = 0
    if isinstance(data, str):
        size = len(data.rstrip("=")) * 3 // 4 if source.get("type") == "base64" else len(data.encode())
    yield Attachment(kind, str(source.get("media_type", source.get("type", ""))), size, str(block.get("title") or ""))
