"""The blocks of ``web_search_20250305``: a search that returns the same three pages for the same query."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any, Final

from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.model.prompt import Prompt

_SEARCH_WORDS: Final = re.compile(
    r"\b(?:search|web|internet|online|google|news|latest|today'?s|current(?:ly)?|look up|look it up|find out)\b",
    re.IGNORECASE,
)
_LEADING_REQUEST: Final = re.compile(
    r"^\W*(?:please\s+)?(?:search|look|browse|find)\b(?:\s+(?:the|web|internet|online|up|for|out|about))*\s*",
    re.IGNORECASE,
)

Json = dict[str, Any]


def search_query(call: EmulatedCall, prompt: Prompt) -> str | None:
    """The query to search for, if the search tool is offered and the text asks for a search."""
    offered = any(str(tool.get("type") or "").startswith("web_search_") for tool in call.tools)
    if not offered or call.tool_choice.get("type") == "none" or prompt.results:
        return None
    forced = call.tool_choice.get("type") == "tool" and call.tool_choice.get("name") == "web_search"
    if not forced and not _SEARCH_WORDS.search(prompt.text):
        return None
    return (_LEADING_REQUEST.sub("", prompt.text).strip(" .?!") or prompt.text)[:200]


def search_results(query: str) -> list[Json]:
    """Three results in the form of ``web_search_tool_result``."""
    slug = re.sub(r"[^a-z0-9]+", "-", query.lower()).strip("-") or "query"
    return [
        {
            "type": "web_search_result",
            "title": f"{title}: {query}",
            "url": f"https://{host}.example/{slug}",
            "encrypted_content": _opaque(f"{host}/{slug}", 180),
            "page_age": age,
        }
        for host, title, age in (
            ("news", "News", "1 day ago"),
            ("encyclopedia", "Encyclopedia", None),
            ("forum", "Discussion", "3 weeks ago"),
        )
    ]


def cited_answer(query: str, results: list[Json]) -> list[Json]:
    """Text blocks of an answer, one of them with a citation."""
    page = results[0]
    quote = f"What is known about {query} is written here."
    citation = {
        "type": "web_search_result_location",
        "cited_text": quote,
        "url": page["url"],
        "title": page["title"],
        "encrypted_index": _opaque("index:" + page["url"], 90),
    }
    return [
        {"type": "text", "text": f"Based on the search results for “{query}”:\n\n"},
        {"type": "text", "text": quote, "citations": [citation]},
        {"type": "text", "text": f"\n\nI looked at {len(results)} pages."},
    ]


def _opaque(text: str, size: int) -> str:
    return base64.b64encode(b"\x12" + hashlib.shake_128(text.encode()).digest(size)).decode()
