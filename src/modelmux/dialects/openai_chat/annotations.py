"""Citations of web search results -> OpenAI annotations with indices into the visible text."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct


class _Citation(Struct):
    type: str = ""
    url: str | None = None
    title: str | None = None


_decoder: Final = msgspec.json.Decoder(_Citation)


def annotation(citation: Raw, start: int, end: int) -> dict[str, Any] | None:
    """One citation of the text from ``start`` to ``end`` (characters of the whole content); None if it has no URL."""
    try:
        decoded = _decoder.decode(citation)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # raw JSON is not validated yet
        return None
    if not decoded.url:
        return None
    url_citation = {"start_index": start, "end_index": end, "url": decoded.url, "title": decoded.title or ""}
    return {"type": "url_citation", "url_citation": url_citation}


def annotations_of(citations: list[Raw] | None, start: int, end: int) -> list[dict[str, Any]]:
    """All citations of one text block, each URL once."""
    annotations = [a for a in (annotation(c, start, end) for c in citations or ()) if a]
    return list({a["url_citation"]["url"]: a for a in annotations}.values())
