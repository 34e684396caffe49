"""Prompt-cache breakpoints: the client's own where it sets any, otherwise where they pay.

Anthropic caches up to a breakpoint in the order tools, system, messages; at most four may be set, and a lookup goes
back twenty blocks from each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from modelmux.claude.context import Context
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.anthropic import EPHEMERAL, CacheControl, MessagesRequest
from modelmux.wire.openai.chat_request import CacheControlParam

MAX_BREAKPOINTS: Final = 4
_HOLDERS: Final = (
    anthropic.TextBlock,
    anthropic.ImageBlock,
    anthropic.DocumentBlock,
    anthropic.ToolUseBlock,
    anthropic.ToolResultBlock,
)


def breakpoint_of(marker: CacheControlParam | None, openai: dict[str, Any] | None, where: str) -> CacheControl | None:
    """A client's marker in either dialect: ``cache_control``, or OpenAI's ``prompt_cache_breakpoint``.

    :raises InvalidRequest: a lifetime nobody offers.
    """
    if marker is not None:
        return CacheControl("ephemeral", _ttl(marker.ttl, f"{where}.cache_control.ttl"))
    if openai is not None and openai.get("mode") != "off":
        return CacheControl("ephemeral", _ttl(openai.get("ttl"), f"{where}.prompt_cache_breakpoint.ttl"))
    return None


def _ttl(value: Any, where: str) -> Literal["5m", "1h"] | None:
    if value in (None, "5m"):
        return None
    if value in ("1h", "30m", "12h"):  # OpenAI's lifetimes: the next Anthropic has, or the longest
        return "1h"
    raise InvalidRequest(f"Invalid value for '{where}'.", param=where, hint="Use 5m or 1h.")


def mark_last(blocks: list[Any], marker: CacheControl | None) -> bool:
    """Set a marker that belongs to a whole message on the last of its blocks that can hold one; False if none can."""
    if marker is not None:
        for block in reversed(blocks):
            if isinstance(block, _HOLDERS):
                block.cache_control = marker
                return True
    return False


def plan(
    body: MessagesRequest,
    ctx: Context,
    *,
    whole: CacheControlParam | None,
    adrift: CacheControl | None = None,
    asked: dict[str, Any] | None = None,
) -> None:
    """Keep the client's breakpoints within the limit; set our own where it has none and they pay.

    They pay when the prompt will be sent again: tools are defined, or the conversation has an earlier answer.

    :param whole: a client's marker for the whole prompt.
    :param adrift: a client's marker on a system prompt without text.
    :param asked: OpenAI's ``prompt_cache_options``.
    :raises InvalidRequest: a lifetime or a mode nobody offers.
    """
    ttl = _options(asked or {}, ctx)
    if whole is not None:
        marker = CacheControl("ephemeral", _ttl(whole.ttl, "cache_control.ttl"))
        any(mark_last(message.content, marker) for message in reversed(body.messages))
    if adrift is not None:
        nearest = body.tools[-1] if body.tools else body.messages[0].content[0]
        nearest.cache_control = nearest.cache_control or adrift
    holders = [h for h in _holders(body) if h.cache_control is not None]
    if holders:
        for holder in holders[:-MAX_BREAKPOINTS]:
            holder.cache_control = None
            ctx.notices.add("dropped", "cache_control", f"More than {MAX_BREAKPOINTS}: the earliest ones are dropped.")
        _order(holders[-MAX_BREAKPOINTS:], ctx)
    elif (asked or {}).get("mode") != "explicit":
        _place(body, ctx)
    if ttl is not None:
        for holder in _holders(body):
            holder.cache_control = holder.cache_control and CacheControl("ephemeral", ttl)


def _options(asked: dict[str, Any], ctx: Context) -> Literal["5m", "1h"] | None:
    """The lifetime that OpenAI's options give to every breakpoint; None for each its own."""
    if asked.get("mode") not in (None, "implicit", "explicit"):
        where = "prompt_cache_options.mode"
        raise InvalidRequest(f"Invalid value for '{where}'.", param=where, hint="Use implicit or explicit.")
    for name in asked:
        if name not in ("mode", "ttl"):
            ctx.notices.add("ignored", f"prompt_cache_options.{name[:80]}", "Claude's cache has no such setting.")
    return _ttl(asked.get("ttl"), "prompt_cache_options.ttl")


def _place(body: MessagesRequest, ctx: Context) -> None:
    """Breakpoints of ours."""
    if not ctx.options.caching or not (body.tools or any(m.role == "assistant" for m in body.messages)):
        return
    if body.system:
        body.system[-1].cache_control = EPHEMERAL  # covers the tools too: they come before
    elif body.tools:
        body.tools[-1].cache_control = EPHEMERAL
    # The last two user turns: the next request finds the one it extends, even if this turn adds many blocks.
    for message in [m for m in body.messages if m.role == "user"][-2:]:
        mark_last(message.content, EPHEMERAL)


def _order(holders: list[Any], ctx: Context) -> None:
    """Longer lifetimes come first: a short one before a long one is refused. It is made long, which costs nothing,
    since all that comes before a long one is written at its price (docs: build-with-claude/prompt-caching)."""
    long = False
    for holder in reversed(holders):
        if holder.cache_control.ttl == "1h":
            long = True
        elif long:
            holder.cache_control = CacheControl("ephemeral", "1h")
            ctx.notices.add("changed", "cache_control", "A breakpoint before one of an hour lasts an hour too.")


def _holders(body: MessagesRequest) -> Iterator[Any]:
    """All that can hold a breakpoint, in the order Anthropic reads them."""
    yield from body.tools or ()
    yield from body.system or ()
    for message in body.messages:
        for block in message.content:
            if isinstance(block, anthropic.ToolResultBlock) and isinstance(block.content, list):
                yield from block.content
            if isinstance(block, _HOLDERS):
                yield block
