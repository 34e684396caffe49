"""The shapes of content blocks in requests (anthropic-vertex.md 4.2). ``messages`` checks where a block may appear.

Vertex AI accepts base64 and text sources; URL and file sources are unknown tags here (3).
"""

from __future__ import annotations

from typing import Final

from modelmux.emulator.validation.betas import TOOL_SEARCH
from modelmux.emulator.validation.checks import (
    Check,
    anything,
    array,
    boolean,
    literal,
    mapping,
    nullable,
    record,
    string,
    string_or,
    tagged,
)

ID: Final = string(pattern="^[a-zA-Z0-9_-]+$")
_TYPE: Final = {"type": anything}
IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")

CACHE_CONTROL: Final = nullable(tagged({"ephemeral": record(_TYPE, {"ttl": nullable(literal("5m", "1h"))})}))
_CACHED: Final = {"cache_control": CACHE_CONTROL}
_CITATIONS: Final = nullable(record({}, {"enabled": boolean}))

TEXT: Final = record({**_TYPE, "text": string()}, {**_CACHED, "citations": nullable(array(mapping))})
_TEXTS: Final = array(tagged({"text": TEXT}))

IMAGE: Final = record(
    {**_TYPE, "source": tagged({"base64": record({**_TYPE, "media_type": literal(*IMAGE_TYPES), "data": string()})})},
    {**_CACHED, "transformations": nullable(record({}, {"oversized_image": literal("downsize", "error")}))},
)
DOCUMENT: Final = record(
    {
        **_TYPE,
        "source": tagged(
            {
                "base64": record({**_TYPE, "media_type": literal("application/pdf"), "data": string()}),
                "text": record({**_TYPE, "media_type": literal("text/plain"), "data": string()}),
                "content": record({**_TYPE, "content": string_or(array(tagged({"text": TEXT, "image": IMAGE})))}),
            }
        ),
    },
    {
        **_CACHED,
        "title": nullable(string(min_length=1, max_length=500)),
        "context": nullable(string(min_length=1)),
        "citations": _CITATIONS,
    },
)
SEARCH_RESULT: Final = record(
    {**_TYPE, "source": string(), "title": string(), "content": _TEXTS}, {**_CACHED, "citations": _CITATIONS}
)
TOOL_USE: Final = record(
    {**_TYPE, "id": ID, "name": string(min_length=1, max_length=200), "input": mapping},
    {**_CACHED, "caller": nullable(mapping), "toolset_name": nullable(string())},
)
_RESULT_BLOCKS: Final = {"text": TEXT, "image": IMAGE, "document": DOCUMENT, "search_result": SEARCH_RESULT}
_TOOL_REFERENCE: Final = record({**_TYPE, "tool_name": string()}, _CACHED)


def tool_result(betas: frozenset[str]) -> Check:
    """The check of a ``tool_result``; references to deferred tools require a beta."""
    blocks = {**_RESULT_BLOCKS, "tool_reference": _TOOL_REFERENCE} if TOOL_SEARCH in betas else _RESULT_BLOCKS
    return record(
        {**_TYPE, "tool_use_id": ID},
        {
            **_CACHED,
            "content": nullable(string_or(array(tagged(blocks)))),
            "is_error": nullable(boolean),
            "toolset_name": nullable(string()),
        },
    )


SERVER_TOOL_USE: Final = record(
    {
        **_TYPE,
        "id": string(pattern="^srvtoolu_[a-zA-Z0-9_]+$"),
        "name": literal("web_search", "tool_search_tool_regex", "tool_search_tool_bm25"),
        "input": mapping,
    },
    {**_CACHED, "caller": nullable(mapping)},
)
_SERVER_RESULT: Final = record(
    {**_TYPE, "tool_use_id": string(pattern="^srvtoolu_[a-zA-Z0-9_]+$"), "content": anything},
    {**_CACHED, "caller": nullable(mapping)},
)

#: Every block of a request except ``tool_result``. ``check_messages`` has the rules on roles.
BLOCKS: Final[dict[str, Check]] = {
    "text": TEXT,
    "image": IMAGE,
    "document": DOCUMENT,
    "search_result": SEARCH_RESULT,
    "tool_use": TOOL_USE,
    "thinking": record({**_TYPE, "thinking": string(), "signature": string()}),
    "redacted_thinking": record({**_TYPE, "data": string()}),
    "server_tool_use": SERVER_TOOL_USE,
    "web_search_tool_result": _SERVER_RESULT,
    "tool_search_tool_result": _SERVER_RESULT,
}
#: Blocks that require one of these betas.
BETA_BLOCKS: Final[dict[str, tuple[tuple[str, ...], Check]]] = {
    "compaction": (
        ("compact-2026-01-12", "compact-2026-09-04"),
        record(
            _TYPE,
            {
                **_CACHED,
                "content": nullable(string()),
                "encrypted_content": nullable(string()),
                "signature": nullable(string()),
                "tool_changes": nullable(array(mapping)),
            },
        ),
    ),
    "tool_addition": (("mid-conversation-tool-changes-2026-07-01",), mapping),
    "tool_removal": (("mid-conversation-tool-changes-2026-07-01",), mapping),
}
SYSTEM: Final = string_or(_TEXTS)
