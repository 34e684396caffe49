"""Which beta features a request turns on upstream. The facts are in ``catalog/betas.toml``.

A beta that is left out takes the fields with it that work with it only: alone they would be an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from modelmux.catalog.betas import betas
from modelmux.providers.vertex_claude.native.draft import NativeDraft
from modelmux.wire.json_edit import Path, dotted

#: More values than any client sends; the header stays far below the limits of servers.
MAX_BETAS: Final = 64
_VALUE: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_UNEXPECTED: Final = re.compile(r"Unexpected value\(s\)(?P<values>.*?)for the `?anthropic-beta`? header", re.DOTALL)
_QUOTED: Final = re.compile(r"`([^`]{1,100})`")

_CONTEXT_MANAGEMENT: Final = "context-management-2025-06-27"
_COMPACT: Final = "compact-2026-01-12"
_TOOL_SEARCH: Final = "tool-search-tool-2025-10-19"
_WEB_SEARCH: Final = "web-search-2025-03-05"


def refused_values(message: str) -> frozenset[str]:
    """The values that an upstream's error says it does not know."""
    match = _UNEXPECTED.search(message)
    return frozenset(_QUOTED.findall(match["values"])) if match else frozenset()


def apply(draft: NativeDraft) -> None:
    """Keep, rename or drop each value, and add those that a field needs and nothing else can mean."""
    if draft.count_tokens:  # it refuses values that the models accept, and needs none
        draft.betas = []
        return
    sent = list(dict.fromkeys(draft.betas))
    forwarded = [name for value in sent[:MAX_BETAS] for name in _forwarded(draft, value)]
    if len(sent) > MAX_BETAS:
        draft.notices.add("dropped", "anthropic-beta", f"At most {MAX_BETAS} values are forwarded.")
    _remove_orphans(draft, sent, forwarded)
    for beta in _implied(draft):
        if beta not in forwarded and beta not in draft.refused and _serves(draft, beta):
            forwarded.append(beta)
            draft.notices.add("added", f"anthropic-beta.{beta}", "A field of the request needs it.")
    draft.betas = list(dict.fromkeys(forwarded))


def _forwarded(draft: NativeDraft, value: str) -> list[str]:
    """What is forwarded for one value: its name upstream, or nothing."""
    if not _VALUE.fullmatch(value):
        draft.notices.add("dropped", "anthropic-beta", "A value has characters that no beta has.")
        return []
    group = betas().find(value)
    name = (group.to if group is not None else None) or value
    target = betas().find(name) if group is not None else None
    if group is None and draft.options.unknown_betas == "drop":
        reason = "This version does not know it, and messages.unknown_betas is drop."
    elif target is not None and not target.serves(draft.card.id):
        reason = target.reason
    elif name in draft.refused:
        reason = "Vertex AI does not know it in this location."
    else:
        return [name]
    draft.notices.add("dropped", f"anthropic-beta.{value}", reason)
    return []


def _serves(draft: NativeDraft, beta: str) -> bool:
    group = betas().find(beta)
    return group is None or group.serves(draft.card.id)


def _remove_orphans(draft: NativeDraft, sent: list[str], forwarded: list[str]) -> None:
    """Remove fields whose beta the client sent and that is not forwarded."""
    if not sent:
        return
    groups = {value: betas().find(value) for value in sent}
    names = {(group.to if group is not None else None) or value for value, group in groups.items()}
    for pair in betas().pair:
        if names.intersection(pair.betas) and not set(forwarded).intersection(pair.betas):
            for field in pair.fields:
                for path in matches(draft.content, tuple(field.split("."))):
                    draft.edits[path] = None
                    draft.notices.add("dropped", dotted(path), "Its beta is not forwarded.")


def matches(value: Any, pattern: tuple[str, ...], path: Path = ()) -> Iterator[Path]:
    """The paths of existing values that match a pattern, in which ``*`` is any index."""
    if not pattern:
        yield path
    elif pattern[0] == "*":
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from matches(item, pattern[1:], (*path, index))
    elif isinstance(value, dict) and pattern[0] in value:
        yield from matches(value[pattern[0]], pattern[1:], (*path, pattern[0]))


def _implied(draft: NativeDraft) -> Iterator[str]:
    """Betas that the content of a request needs."""
    edits = draft.value("context_management", "edits")
    if isinstance(edits, list):
        types = [edit.get("type") for edit in edits if isinstance(edit, dict)]
        if "compact_20260112" in types:
            yield _COMPACT
        if any(type != "compact_20260112" for type in types):
            yield _CONTEXT_MANAGEMENT
    definitions = draft.content.get("tools")
    tools = [tool for tool in definitions if isinstance(tool, dict)] if isinstance(definitions, list) else []
    names = [str(tool.get("type", "")) for tool in tools]
    if any(tool.get("defer_loading") for tool in tools) or any(t.startswith("tool_search_tool_") for t in names):
        yield _TOOL_SEARCH
    if any(name.startswith("web_search_") for name in names):
        yield _WEB_SEARCH
