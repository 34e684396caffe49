"""Deferred tools: which of them the model knows, and its search for one before it calls it for the first time.

The search finds exactly the tools that the reply is about to call. A client may have a search of its own, whose results
are ``tool_reference`` blocks; then the model calls deferred tools only after such a reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.model.prompt import blocks_of, messages_of

_PREFIX: Final = "tool_search_tool_"

Json = dict[str, Any]


def search_blocks(call: EmulatedCall, names: list[str], use_id: str) -> list[Json]:
    """The search for the deferred tools among ``names``, with its result; empty if there is nothing to search for."""
    search_tool = _search_tool(call)
    not_loaded = _not_loaded(call)
    missing = [name for name in dict.fromkeys(names) if name in not_loaded]
    if search_tool is None or not missing:
        return []
    query = {"pattern": "|".join(missing)} if "regex" in search_tool else {"query": " ".join(missing), "limit": 5}
    references = [{"type": "tool_reference", "tool_name": name} for name in missing]
    result = {"type": "tool_search_tool_search_result", "tool_references": references}
    return [
        {"type": "server_tool_use", "id": use_id, "name": search_tool, "input": query},
        {"type": "tool_search_tool_result", "tool_use_id": use_id, "content": result},
    ]


def hidden_tools(call: EmulatedCall) -> set[str]:
    """The deferred tools that the model cannot know: not referenced, and without a search tool to find them."""
    return set() if _search_tool(call) else _not_loaded(call)


def _search_tool(call: EmulatedCall) -> str | None:
    return next((str(tool["name"]) for tool in call.tools if str(tool.get("type") or "").startswith(_PREFIX)), None)


def _not_loaded(call: EmulatedCall) -> set[str]:
    """Deferred tools that no earlier search, of the service or of the client, has found."""
    deferred = {str(tool.get("name")) for tool in call.tools if tool.get("defer_loading") is True}
    return deferred - {str(reference.get("tool_name")) for reference in _references(call)} if deferred else deferred


def _references(call: EmulatedCall) -> Iterator[Json]:
    for message in messages_of(call.body):
        for block in blocks_of(message):
            content = block.get("content")
            if block.get("type") == "tool_search_tool_result" and isinstance(content, dict):
                content = content.get("tool_references")
            for item in content if isinstance(content, list) else ():
                if isinstance(item, dict) and item.get("type") == "tool_reference":
                    yield item
