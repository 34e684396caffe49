"""Rules on cache breakpoints (anthropic-vertex.md 4.4): at most four, and the long-lived ones first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from modelmux.emulator.call import Call
from modelmux.emulator.prompt import blocks_of
from modelmux.emulator.refusals import invalid

_MAX: Final = 4


def check_cache(call: Call) -> None:
    """All rules on ``cache_control``.

    :raises Refused: one of them is broken.
    """
    found = list(_breakpoints(call.body))
    automatic = 1 if isinstance(call.body.get("cache_control"), dict) else 0
    if len(found) + automatic > _MAX:
        raise invalid(f"A maximum of {_MAX} blocks with cache_control may be provided. Found {len(found) + automatic}.")
    shorter = False
    for path, control in found:
        long = control.get("ttl") == "1h"
        if long and shorter:
            raise invalid(
                f"{path}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
                "cache_control block. Note that blocks are processed in the following order: `tools`, `system`, "
                "`messages`."
            )
        shorter = shorter or not long


def _breakpoints(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for i, tool in enumerate(body.get("tools") or ()):
        yield from _of(tool, f"tools.{i}")
    system = body.get("system")
    for i, block in enumerate(system if isinstance(system, list) else ()):
        yield from _of(block, f"system.{i}")
    for i, message in enumerate(body["messages"]):
        for j, block in enumerate(blocks_of(message)):
            path = f"messages.{i}.content.{j}"
            inner = block.get("content") if block.get("type") == "tool_result" else None
            for k, each in enumerate(inner if isinstance(inner, list) else ()):
                yield from _of(each, f"{path}.tool_result.content.{k}")
            yield from _of(block, path)


def _of(holder: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    control = holder.get("cache_control")
    if isinstance(control, dict):
        yield path, control
