"""Clients that need something of their own."""

from __future__ import annotations

from collections.abc import Sequence

from modelmux.wire.http import find_header


def is_codex(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether Codex sent a request: its programs say so in ``originator``."""
    return (find_header(headers, b"originator") or "").lower().startswith("codex")
