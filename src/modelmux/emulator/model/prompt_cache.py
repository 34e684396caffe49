"""Prompt caching: breakpoints, minimum sizes, the lookback of twenty blocks, lifetimes.

The cache stores digests of prefixes, never content. Time is an argument.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.model import tokens
from modelmux.emulator.model.prompt import blocks_of, messages_of, tools_in_prompt
from modelmux.emulator.model.reply import EmulatedUsage

_LOOKBACK: Final = 20
_LIFETIME: Final = {"5m": 300.0, "1h": 3600.0}
_MAX_ENTRIES: Final = 20_000

_encode: Final = msgspec.json.Encoder(order="sorted").encode


class Segment(NamedTuple):
    """One cacheable element: a tool, a system block or a content block; ``ttl`` if it has a breakpoint."""

    encoded: bytes
    tokens: int
    ttl: str | None


class Entry(NamedTuple):
    expires: float
    ttl: str


class PromptCache:
    """Prefixes written by earlier requests. At most ``_MAX_ENTRIES``; the oldest are evicted first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def clear(self) -> None:
        self._entries.clear()

    def account(self, call: EmulatedCall, now: float) -> EmulatedUsage:
        """The input usage of a call; stores the prefixes it writes."""
        segments = list(_segments(call))
        total = sum(segment.tokens for segment in segments)
        breakpoints = [index for index, segment in enumerate(segments) if segment.ttl]
        if not breakpoints:
            return EmulatedUsage(input=total)
        digests, sums = _prefixes(call, segments)
        hit = self._longest_hit(breakpoints, digests, now)
        read = sums[hit] if hit >= 0 else 0
        written = {"5m": 0, "1h": 0}
        cached = read
        for index in breakpoints:
            ttl = segments[index].ttl or "5m"
            if sums[index] >= call.card.cache_minimum:
                if sums[index] > cached:
                    written[ttl] += sums[index] - cached
                    cached = sums[index]
                self._store(digests[index], Entry(now + _LIFETIME[ttl], ttl))
        return EmulatedUsage(input=total - cached, cache_read=read, cache_5m=written["5m"], cache_1h=written["1h"])

    def _longest_hit(self, breakpoints: list[int], digests: list[bytes], now: float) -> int:
        """The last segment whose prefix is cached, at most twenty blocks before a breakpoint; -1 for none."""
        for last in reversed(breakpoints):
            for index in range(last, max(-1, last - _LOOKBACK), -1):
                entry = self._entries.get(digests[index])
                if entry is not None and entry.expires > now:
                    self._store(digests[index], Entry(now + _LIFETIME[entry.ttl], entry.ttl))
                    return index
        return -1

    def _store(self, digest: bytes, entry: Entry) -> None:
        self._entries[digest] = entry
        self._entries.move_to_end(digest)
        while len(self._entries) > _MAX_ENTRIES:
            self._entries.popitem(last=False)


def _prefixes(call: EmulatedCall, segments: list[Segment]) -> tuple[list[bytes], list[int]]:
    """For each segment: the digest and the tokens of the prefix that ends with it."""
    running = hashlib.blake2b(f"{call.project}/{call.location}/{call.card.id}".encode(), digest_size=16)
    digests, sums, total = [], [], 0
    for segment in segments:
        running.update(segment.encoded)
        digests.append(running.digest())
        total += segment.tokens
        sums.append(total)
    return digests, sums


def _segments(call: EmulatedCall) -> Iterator[Segment]:
    """Every cacheable element of a request, in the order tools, system, messages."""
    body = call.body
    last = _last_cacheable_block(body) if isinstance(body.get("cache_control"), dict) else None
    extra = 3
    for index, tool in enumerate(tools_in_prompt(body)):
        extra += tokens.TOOL_PREAMBLE if index == 0 else 0
        yield _segment("tool", tool, tokens.of_tool(tool) + extra, _ttl(tool))
        extra = 0
    system = body.get("system") or []
    for block in [{"type": "text", "text": system}] if isinstance(system, str) else system:
        yield _segment("system", block, tokens.of_block(block) + extra, _ttl(block))
        extra = 0
    # Parameters that change how the model reads messages are part of their prefix.
    mode = _encode([body.get("thinking"), body.get("tool_choice"), (body.get("output_config") or {}).get("effort")])
    for i, message in enumerate(messages_of(body)):
        extra += tokens.MESSAGE_OVERHEAD
        for j, block in enumerate(blocks_of(message)):
            ttl = _ttl(block) or (_ttl(body) if (i, j) == last else None)
            yield _segment(str(message.get("role")), block, tokens.of_block(block) + extra, ttl, mode)
            extra, mode = 0, b""


def _segment(role: str, block: Any, count: int, ttl: str | None, before: bytes = b"") -> Segment:
    fields = {k: v for k, v in block.items() if k != "cache_control"} if isinstance(block, dict) else block
    return Segment(before + role.encode() + b"\x00" + _encode(fields) + b"\x01", count, ttl)


def _ttl(block: Any) -> str | None:
    control = block.get("cache_control") if isinstance(block, dict) else None
    return str(control.get("ttl") or "5m") if isinstance(control, dict) else None


def _last_cacheable_block(body: dict[str, Any]) -> tuple[int, int] | None:
    """Where automatic caching sets its breakpoint: the last block that can have one."""
    messages = messages_of(body)
    for i in range(len(messages) - 1, -1, -1):
        blocks = blocks_of(messages[i])
        for j in range(len(blocks) - 1, -1, -1):
            if blocks[j].get("type") not in ("thinking", "redacted_thinking") and blocks[j].get("text") != "":
                return i, j
    return None
