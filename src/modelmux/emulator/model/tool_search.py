"""Tool search: before its first call of a deferred tool, the model searches for it.

The search finds exactly the tools that the reply is about to call. All tools are in the prompt, deferred or not, so the
token counts are those of a request without deferral.
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
    search_tool = next((str(tool["name"]) for tool in call.tools if _is_search(tool)), None)
    deferred = {str(tool.get("name")) for tool in call.tools if tool.get("defer_loading")}
    missing = [name for name in dict.fromkeys(names) if name in deferred - _loaded(call)]
    if search_tool is None or not missing:
        return []
    query = {"pattern": "|".join(missing)} if "regex" in search_tool else {"query": " ".join(missing), "limit": 5}
    references = [{"type": "tool_reference", "tool_name": name} for name in missing]
    result = {"type": "tool_search_tool_search_result", "tool_references": references}
    return [
        {"type": "server_tool_use", "id": use_id, "name": search_tool, "input": query},
        {"type": "tool_search_tool_result", "tool_use_id": use_id, "content": result},
    ]


def _is_search(tool: Json) -> bool:
    return str(tool.get("type") or "").startswith(_PREFIX)


def _loaded(call: EmulatedCall) -> set[str]:
    """Deferred tools that an earlier search, of the service or of the client, has found."""
    return {str(reference.get("tool_name")) for reference in _references(call)}


def _references(call: EmulatedCall) -> Iterator[Json]:
    for message in messages_of(call.body):
        for block in blocks_of(message):
            content = block.get("content")
            if block.get("type") == "tool_search_tool_result" and isinstance(content, dict):
                content = content.get("tool_references")
            for item in content if isinstance(content, list) else ():
                if isinstance(item, dict) and item.get("type") == "tool_reference":
                    yield item
