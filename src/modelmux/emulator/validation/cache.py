"""Rules on cache breakpoints (anthropic-vertex.md 4.4): at most four, and those with the longer lifetime first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.errors import invalid_request
from modelmux.emulator.model.prompt import blocks_of

_MAX_BREAKPOINTS: Final = 4


def check_cache(call: EmulatedCall) -> None:
    """Check every rule on ``cache_control``.

    :raises ApiError: a rule is violated.
    """
    breakpoints = list(_breakpoints(call.body))
    count = len(breakpoints) + (1 if isinstance(call.body.get("cache_control"), dict) else 0)
    if count > _MAX_BREAKPOINTS:
        raise invalid_request(
            f"A maximum of {_MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {count}."
        )
    after_5m = False
    for path, control in breakpoints:
        long = control.get("ttl") == "1h"
        if long and after_5m:
            raise invalid_request(
                f"{path}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
                "cache_control block. Note that blocks are processed in the following order: `tools`, `system`, "
                "`messages`."
            )
        after_5m = after_5m or not long


def _breakpoints(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for i, tool in enumerate(body.get("tools") or ()):
        yield from _breakpoint_of(tool, f"tools.{i}")
    system = body.get("system")
    for i, block in enumerate(system if isinstance(system, list) else ()):
        yield from _breakpoint_of(block, f"system.{i}")
    for i, message in enumerate(body["messages"]):
        for j, block in enumerate(blocks_of(message)):
            path = f"messages.{i}.content.{j}"
            inner = block.get("content") if block.get("type") == "tool_result" else None
            for k, each in enumerate(inner if isinstance(inner, list) else ()):
                yield from _breakpoint_of(each, f"{path}.tool_result.content.{k}")
            yield from _breakpoint_of(block, path)


def _breakpoint_of(holder: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    control = holder.get("cache_control")
    if isinstance(control, dict):
        yield path, control
