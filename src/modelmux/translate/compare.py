"""Whether one request extends another: what prompt caches and thinking signatures depend on.

Read by ``modelmux explain`` and by the property tests of the prefix law.
"""

from __future__ import annotations

from typing import Any

import msgspec

from modelmux.wire.anthropic import MessagesRequest


def flattened(body: MessagesRequest) -> list[tuple[str, Any]]:
    """A request's prompt as the sequence Anthropic reads: tools, system, then (role, block) by block; markers left out.

    Two turns of one role that the API would merge are the same as one.
    """
    sequence: list[tuple[str, Any]] = [("tool", _plain(tool)) for tool in body.tools or ()]
    sequence += [("system prompt", _plain(block)) for block in body.system or ()]
    return sequence + [(m.role, _plain(block)) for m in body.messages for block in m.content]


def first_difference(earlier: MessagesRequest, later: MessagesRequest) -> str | None:
    """Where ``later`` stops being an extension of ``earlier``; None if it is one."""
    before, after = flattened(earlier), flattened(later)
    for index, (role, block) in enumerate(before):
        if index >= len(after):
            return f"block {index} ({role}) is missing"
        if after[index] != (role, block):
            return f"block {index} differs: was {_say(role, block)}, is {_say(*after[index])}"
    kinds = ("tool", "system prompt")
    for kind in kinds:  # more tools or system text come before the messages and change all that follows
        if sum(r == kind for r, _ in after) > sum(r == kind for r, _ in before):
            return f"a {kind} was added"
    return None


def _plain(block: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(block))
    plain.pop("cache_control", None)
    return plain


def _say(role: str, block: Any) -> str:
    text = msgspec.json.encode(block).decode()
    return f"{role} {text[:120]}{'…' if len(text) > 120 else ''}"
