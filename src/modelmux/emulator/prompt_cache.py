"""What prompt caching would have read and written: breakpoints, minimum sizes, the twenty-block lookback, lifetimes.

The cache holds digests of prefixes, never content. Time is an argument.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from modelmux.emulator import tokens
from modelmux.emulator.call import Call
from modelmux.emulator.prompt import blocks_of, messages_of
from modelmux.emulator.reply import Usage

_LOOKBACK: Final = 20
_LIFETIME: Final = {"5m": 300.0, "1h": 3600.0}
_MAX_ENTRIES: Final = 20_000
_TURN: Final = 4

_encode: Final = msgspec.json.Encoder(order="sorted").encode


class Segment(NamedTuple):
    """One cacheable place: a tool, a system block or a content block; ``ttl`` when it carries a breakpoint."""

    material: bytes
    tokens: int
    ttl: str | None


class Entry(NamedTuple):
    expires: float
    ttl: str


class PromptCache:
    """Prefixes written by earlier requests, for one emulator. At most ``_MAX_ENTRIES``, the oldest go first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def clear(self) -> None:
        self._entries.clear()

    def account(self, call: Call, now: float) -> Usage:
        """Input usage of a call; remembers what the call would have written."""
        segments = list(_segments(call))
        total = sum(segment.tokens for segment in segments)
        marks = [place for place, segment in enumerate(segments) if segment.ttl]
        if not marks:
            return Usage(input=total)
        digests, sums = _chain(call, segments)
        read_place = self._longest_hit(marks, digests, now)
        read = sums[read_place] if read_place >= 0 else 0
        written = {"5m": 0, "1h": 0}
        reached = read
        for place in marks:
            ttl = segments[place].ttl or "5m"
            if sums[place] >= call.card.cache_minimum:
                if sums[place] > reached:
                    written[ttl] += sums[place] - reached
                    reached = sums[place]
                self._remember(digests[place], Entry(now + _LIFETIME[ttl], ttl))
        return Usage(input=total - reached, cache_read=read, cache_5m=written["5m"], cache_1h=written["1h"])

    def _longest_hit(self, marks: list[int], digests: list[bytes], now: float) -> int:
        """The last place at or before a breakpoint, at most twenty blocks back, that an earlier request wrote."""
        for mark in reversed(marks):
            for place in range(mark, max(-1, mark - _LOOKBACK), -1):
                entry = self._entries.get(digests[place])
                if entry is not None and entry.expires > now:
                    self._remember(digests[place], Entry(now + _LIFETIME[entry.ttl], entry.ttl))
                    return place
        return -1

    def _remember(self, digest: bytes, entry: Entry) -> None:
        self._entries[digest] = entry
        self._entries.move_to_end(digest)
        while len(self._entries) > _MAX_ENTRIES:
            self._entries.popitem(last=False)


def _chain(call: Call, segments: list[Segment]) -> tuple[list[bytes], list[int]]:
    """Per place: the digest of the prefix up to it, and the tokens up to it."""
    scope = hashlib.blake2b(f"{call.project}/{call.location}/{call.card.id}".encode(), digest_size=16)
    digests, sums, reached = [], [], 0
    for segment in segments:
        scope.update(segment.material)
        digests.append(scope.digest())
        reached += segment.tokens
        sums.append(reached)
    return digests, sums


def _segments(call: Call) -> Iterator[Segment]:
    """Every cacheable place of a request, in the order tools, system, messages."""
    body = call.body
    last = _last_place(body) if isinstance(body.get("cache_control"), dict) else None
    extra = 3
    for place, tool in enumerate(body.get("tools") or []):
        extra += tokens.TOOL_PREAMBLE if place == 0 else 0
        yield _segment("tool", tool, tokens.of_tool(tool) + extra, _ttl(tool))
        extra = 0
    system = body.get("system") or []
    for block in [{"type": "text", "text": system}] if isinstance(system, str) else system:
        yield _segment("system", block, tokens.of_block(block) + extra, _ttl(block))
        extra = 0
    # What changes how the model reads the messages makes another cache of them.
    mode = _encode([body.get("thinking"), body.get("tool_choice"), (body.get("output_config") or {}).get("effort")])
    for i, message in enumerate(messages_of(body)):
        extra += _TURN
        for j, block in enumerate(blocks_of(message)):
            ttl = _ttl(block) or (_ttl(body) if (i, j) == last else None)
            yield _segment(str(message.get("role")), block, tokens.of_block(block) + extra, ttl, mode)
            extra, mode = 0, b""


def _segment(role: str, block: Any, count: int, ttl: str | None, before: bytes = b"") -> Segment:
    bare = {k: v for k, v in block.items() if k != "cache_control"} if isinstance(block, dict) else block
    return Segment(before + role.encode() + b"\x00" + _encode(bare) + b"\x01", count, ttl)


def _ttl(holder: Any) -> str | None:
    control = holder.get("cache_control") if isinstance(holder, dict) else None
    return str(control.get("ttl") or "5m") if isinstance(control, dict) else None


def _last_place(body: dict[str, Any]) -> tuple[int, int] | None:
    """Where automatic caching puts its breakpoint: the last block that can carry one."""
    messages = messages_of(body)
    for i in range(len(messages) - 1, -1, -1):
        blocks = blocks_of(messages[i])
        for j in range(len(blocks) - 1, -1, -1):
            if blocks[j].get("type") not in ("thinking", "redacted_thinking") and blocks[j].get("text") != "":
                return i, j
    return None
