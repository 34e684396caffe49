"""Whether one request extends another: what prompt caches and thinking signatures depend on.

Read by ``modelmux explain`` and by the property tests of the prefix law.
"""

from __future__ import annotations

from typing import Any

import msgspec

from modelmux.wire.anthropic import MessagesRequest


def prompt_sequence(body: MessagesRequest) -> list[tuple[str, dict[str, Any]]]:
    """A request's prompt as the sequence Anthropic reads: tools, system, then (role, block) by block; markers left out.

    Two turns of one role that the API would merge are the same as one.
    """
    sequence = [("tool", _plain(tool)) for tool in body.tools or ()]
    sequence += [("system prompt", _plain(block)) for block in body.system or ()]
    return sequence + [(m.role, _plain(block)) for m in body.messages for block in m.content]


def first_difference(earlier: MessagesRequest, later: MessagesRequest) -> str | None:
    """Where ``later`` stops being an extension of ``earlier``; None if it is one.

    Bytes are compared, not values: keys in another order are another prompt.
    """
    before, after = _encoded_sequence(earlier), _encoded_sequence(later)
    for index, (role, block) in enumerate(before):
        if index >= len(after):
            return f"block {index} ({role}) is missing"
        if after[index] != (role, block):
            return f"block {index} differs: was {_excerpt(role, block)}, is {_excerpt(*after[index])}"
    return None


def _encoded_sequence(body: MessagesRequest) -> list[tuple[str, str]]:
    return [(role, msgspec.json.encode(block).decode()) for role, block in prompt_sequence(body)]


def _plain(block: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(block))
    plain.pop("cache_control", None)
    if plain.get("type") == "tool_result" and isinstance(plain.get("content"), list):
        plain["content"] = _plain_result(plain["content"])
    return plain


def _plain_result(content: list[dict[str, Any]]) -> list[dict[str, Any]] | str:
    """A tool's result without the markers inside; one text is the same as that text as a string."""
    for block in content:
        block.pop("cache_control", None)
    if len(content) == 1 and content[0]["type"] == "text":
        return str(content[0]["text"])
    return content


def _excerpt(role: str, block: str) -> str:
    return f"{role} {block[:120]}{'…' if len(block) > 120 else ''}"
