"""The values of ``anthropic-beta`` that Vertex AI accepts (anthropic-vertex.md 1.3: what another gateway forwards).

Two are known to work in the header only. For most others it is not known whether they also work in the body's
``anthropic_beta`` list; they are accepted there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modelmux.emulator.errors import ApiError, invalid_request

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


def enabled_betas(header: str, in_body: object) -> frozenset[str]:
    """The betas a request enables.

    :raises ApiError: one of them is unknown.
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


def _names(values: Iterable[str]) -> list[str]:
    return [name for name in (each.strip() for each in values) if name]


def _unexpected(names: list[str], where: str) -> ApiError:
    quoted = ", ".join(f"`{name}`" for name in names)
    source = "`anthropic-beta` header" if where == "header" else "`anthropic_beta` field"
    return invalid_request(
        f"Unexpected value(s) {quoted} for the {source}. Please consult our documentation at docs.claude.com or try "
        f"again without the {where if where == 'header' else 'field'}."
    )
