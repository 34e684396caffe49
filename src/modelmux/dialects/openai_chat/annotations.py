"""Citations of web search results -> OpenAI annotations with indices into the visible text."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from modelmux.dialects.openai_shared.citations import cited_urls


def annotations_of(citations: list[Raw] | None, start: int, end: int) -> list[dict[str, Any]]:
    """All citations of the text from ``start`` to ``end`` (characters of the whole content), each URL once."""
    return [
        {
            "type": "url_citation",
            "url_citation": {"start_index": start, "end_index": end, "url": url, "title": title},
        }
        for url, title in cited_urls(citations or ()).items()
    ]
