"""The shapes of ``context_management.edits`` (types of the official SDK 2.12). The edits have no effect here."""

from __future__ import annotations

from typing import Any, Final

from modelmux.emulator.validation.checks import (
    Check,
    anything,
    array,
    boolean,
    integer,
    literal,
    nullable,
    record,
    string,
    tagged,
)

_TYPE: Final = {"type": anything}


def _amount(*kinds: str) -> Check:
    return record({"type": literal(*kinds), "value": integer(minimum=0)})


def _keep(value: Any, path: str) -> None:
    if value != "all":
        tagged({"thinking_turns": record({**_TYPE, "value": integer(minimum=1)}), "all": record(_TYPE)})(value, path)


def _tool_inputs(value: Any, path: str) -> None:
    (array(string()) if isinstance(value, list) else boolean)(value, path)


_CLEARING: Final[dict[str, Check]] = {
    "clear_thinking_20251015": record(_TYPE, {"keep": nullable(_keep)}),
    "clear_tool_uses_20250919": record(
        _TYPE,
        {
            "trigger": nullable(_amount("input_tokens", "tool_uses")),
            "keep": nullable(_amount("tool_uses")),
            "clear_at_least": nullable(_amount("input_tokens")),
            "exclude_tools": nullable(array(string())),
            "clear_tool_inputs": nullable(_tool_inputs),
        },
    ),
}
_COMPACTION: Final[dict[str, Check]] = {
    "compact_20260112": record(
        _TYPE,
        {
            "trigger": nullable(_amount("input_tokens")),
            "pause_after_compaction": nullable(boolean),
            "instructions": nullable(string()),
        },
    )
}
_COMPACT_BETAS: Final = frozenset({"compact-2026-01-12", "compact-2026-09-04"})


def edits(betas: frozenset[str]) -> dict[str, Check]:
    """The edits that these betas allow, by type; empty if ``context_management`` itself is not allowed."""
    clearing = _CLEARING if "context-management-2025-06-27" in betas else {}
    return {**clearing, **(_COMPACTION if betas & _COMPACT_BETAS else {})}
