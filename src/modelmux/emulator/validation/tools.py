"""The shapes of tool definitions and tool choices (anthropic-vertex.md 3 and 4.1).

Server tools that Vertex AI does not offer (web fetch, code execution, newer web searches, MCP) are unknown tags here.
"""

from __future__ import annotations

from typing import Final

from modelmux.emulator.validation.betas import TOOL_SEARCH
from modelmux.emulator.validation.checks import (
    Check,
    anything,
    array,
    boolean,
    field_error,
    integer,
    literal,
    mapping,
    nullable,
    record,
    string,
    tagged,
)
from modelmux.emulator.validation.content import CACHE_CONTROL

NAME_PATTERN: Final = "^[a-zA-Z0-9_-]{1,128}$"
_TYPE: Final = {"type": anything}
_COMMON: Final[dict[str, Check]] = {
    "cache_control": CACHE_CONTROL,
    "defer_loading": nullable(boolean),
    "allowed_callers": nullable(array(literal("direct"))),
    "strict": nullable(boolean),
}


def _schema(value: object, path: str) -> None:
    mapping(value, path)
    assert isinstance(value, dict)
    if "type" not in value:
        raise field_error(f"{path}.type", "Field required")
    if value["type"] != "object":
        raise field_error(f"{path}.type", "Input should be 'object'")


_CUSTOM: Final = record(
    {"name": string(pattern=NAME_PATTERN), "input_schema": _schema},
    {
        **_COMMON,
        "type": nullable(literal("custom")),
        "description": nullable(string()),
        "input_examples": nullable(array(mapping)),
        "eager_input_streaming": nullable(boolean),
    },
)


def _named(name: str, **optional: Check) -> Check:
    return record({**_TYPE, "name": literal(name)}, {**_COMMON, **optional, "input_examples": nullable(array(mapping))})


_SCREEN: Final[dict[str, Check]] = {
    "display_width_px": integer(minimum=1),
    "display_height_px": integer(minimum=1),
}
_COMPUTER: Final = record(
    {**_TYPE, "name": literal("computer"), **_SCREEN},
    {**_COMMON, "display_number": nullable(integer(minimum=0)), "enable_zoom": nullable(boolean)},
)
_DOMAINS: Final = nullable(array(string(min_length=1)))

TOOLS: Final[dict[str, Check]] = {
    "custom": _CUSTOM,
    "web_search_20250305": _named(
        "web_search",
        max_uses=nullable(integer(minimum=1)),
        allowed_domains=_DOMAINS,
        blocked_domains=_DOMAINS,
        user_location=nullable(mapping),
    ),
    "bash_20250124": _named("bash"),
    "text_editor_20250124": _named("str_replace_editor"),
    "text_editor_20250429": _named("str_replace_based_edit_tool"),
    "text_editor_20250728": _named("str_replace_based_edit_tool", max_characters=nullable(integer(minimum=1))),
    "memory_20250818": _named("memory"),
}
#: Tools that require one of these betas.
BETA_TOOLS: Final[dict[str, tuple[tuple[str, ...], Check]]] = {
    "tool_search_tool_regex_20251119": ((TOOL_SEARCH,), _named("tool_search_tool_regex")),
    "tool_search_tool_bm25_20251119": ((TOOL_SEARCH,), _named("tool_search_tool_bm25")),
    "computer_20250124": (("computer-use-2025-01-24",), _COMPUTER),
    "computer_20251124": (("computer-use-2025-11-24",), _COMPUTER),
}

_PARALLEL: Final = {"disable_parallel_tool_use": nullable(boolean)}
TOOL_CHOICE: Final = nullable(
    tagged(
        {
            "auto": record(_TYPE, _PARALLEL),
            "any": record(_TYPE, _PARALLEL),
            "tool": record({**_TYPE, "name": string()}, _PARALLEL),
            "none": record(_TYPE),
        }
    )
)
