"""Tool names and tool call ids: what Vertex AI refuses is renamed, the same way every time.

A pure function of the name alone decides the replacement, so that a later turn of the same conversation sends the
same bytes (prompt caches and thinking signatures depend on it).
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from modelmux.claude.context import Context

#: Anthropic enforces this pattern on tool names, and its alphabet on tool call ids.
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_REFUSED: Final = re.compile(r"[^a-zA-Z0-9_-]")
_MAX: Final = 128
_HASH_LENGTH: Final = 8


def clean(name: str) -> str:
    """A name Vertex AI accepts: valid ones untouched, others cleaned and told apart by a hash of the original."""
    if _NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{_REFUSED.sub('_', name)[: _MAX - _HASH_LENGTH - 1]}_{digest}"


def tool_name(name: str, ctx: Context, where: str) -> str:
    """The upstream name of a tool; remembers how to get back to the client's own."""
    cleaned = clean(name)
    if cleaned != name:
        ctx.tool_names[cleaned] = name
        ctx.notices.add("changed", where, "The name holds characters Vertex AI refuses; replies use the original.")
    return cleaned
