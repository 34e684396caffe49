"""Which values of ``anthropic-beta`` Vertex AI takes (anthropic-vertex.md 1.3: what a shipping gateway forwards there).

Whether one works in the body's ``anthropic_beta`` list too is not known for all; two are known to work only as a
header.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modelmux.emulator.refusals import invalid

HEADER_ONLY: Final = frozenset({"compact-2026-09-04", "inline-tools-2026-09-15"})
ACCEPTED: Final = HEADER_ONLY | {
    "compact-2026-01-12",
    "computer-use-2025-01-24",
    "computer-use-2025-11-24",
    "context-1m-2025-08-07",
    "context-management-2025-06-27",
    "dangerous-tool-use-2026-09-03",
    "interleaved-thinking-2025-05-14",
    "mid-conversation-tool-changes-2026-07-01",
    "per-turn-control-2026-07-01",
    "thinking-binding-controls-2026-08-01",
    "thinking-display-updates-2026-08-18",
    "tool-search-tool-2025-10-19",
    "web-search-2025-03-05",
}


def check(header: str, in_body: object) -> frozenset[str]:
    """The betas that are on.

    :raises Refused: one of them is not known.
    """
    from_header = _names(header.split(","))
    from_body = _names(str(name) for name in in_body) if isinstance(in_body, list) else []
    unknown = [name for name in from_header if name not in ACCEPTED]
    if unknown:
        raise _unexpected(unknown, "header")
    unknown = [name for name in from_body if name not in ACCEPTED]
    if unknown:
        raise _unexpected(unknown, "body")
    return frozenset(from_header) | (frozenset(from_body) - HEADER_ONLY)


def _names(listed: Iterable[str]) -> list[str]:
    return [name for name in (each.strip() for each in listed) if name]


def _unexpected(names: list[str], where: str) -> Exception:
    quoted = ", ".join(f"`{name}`" for name in names)
    place = "`anthropic-beta` header" if where == "header" else "`anthropic_beta` field"
    return invalid(
        f"Unexpected value(s) {quoted} for the {place}. Please consult our documentation at docs.claude.com or try "
        f"again without the {where if where == 'header' else 'field'}."
    )
