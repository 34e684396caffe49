"""Continuing a reply that paused for its server tools (``pause_turn``)."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from modelmux.claude.usage import add
from modelmux.wire import anthropic


def continuation_turn(message: anthropic.Message) -> anthropic.InputMessage:
    """A paused reply as the turn that asks the upstream to continue, with its blocks unchanged."""
    blocks = [b for b in message.content or () if b.type != "text" or (b.text and b.text.strip())]
    return anthropic.InputMessage("assistant", [Raw(msgspec.json.encode(block)) for block in blocks])


def concatenate(earlier: anthropic.Message, later: anthropic.Message) -> anthropic.Message:
    """A paused reply and its continuation as one."""
    content = [*(earlier.content or ()), *(later.content or ())]
    return msgspec.structs.replace(later, content=content, usage=add(earlier.usage, later.usage))
