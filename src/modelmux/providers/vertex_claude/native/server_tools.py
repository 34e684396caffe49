"""Tools and blocks of features that Claude on Google Cloud does not offer: rejected by name, because without them the
reply would be another one."""

from __future__ import annotations

import re
from typing import Any, Final

from modelmux.claude.native import messages_of
from modelmux.providers.vertex_claude.native.draft import NativeDraft, refuse
from modelmux.wire.json_edit import Path

WEB_SEARCH: Final = "web_search_20250305"
_LATER_WEB_SEARCH: Final = re.compile(r"web_search_\d{8}")
#: Prefix of a tool's type -> the feature.
NOT_OFFERED: Final = {
    "web_fetch_": "web fetch",
    "code_execution_": "code execution",
    "advisor_": "the advisor tool",
    "mcp_toolset": "the MCP connector",
}
_CODE_EXECUTION: Final = "code_execution"


def tools(draft: NativeDraft) -> None:
    """:raises InvalidRequest: a tool that runs upstream and is not offered there."""
    definitions = draft.content.get("tools")
    for index, tool in enumerate(definitions if isinstance(definitions, list) else ()):
        if not isinstance(tool, dict):
            continue
        path, type = ("tools", index, "type"), tool.get("type")
        if isinstance(type, str):
            _check_type(draft, path, type)
        callers = tool.get("allowed_callers")
        if any(_is_code_execution(caller) for caller in (callers if isinstance(callers, list) else ())):
            raise refuse(
                ("tools", index, "allowed_callers"),
                "Claude on Google Cloud does not offer code execution, so no code can call this tool.",
                'Leave allowed_callers out, or use ["direct"].',
            )


def _check_type(draft: NativeDraft, path: Path, type: str) -> None:
    if _LATER_WEB_SEARCH.fullmatch(type) and type != WEB_SEARCH:
        if draft.options.web_search == "downgrade":
            draft.set(path, WEB_SEARCH)
            draft.notices.add("changed", ".".join(map(str, path)), f"Google Cloud offers {WEB_SEARCH}.")
            return
        raise refuse(
            path, f"'{type[:60]}' is not available on Google Cloud: it needs code execution.", f"Use '{WEB_SEARCH}'."
        )
    for prefix, feature in NOT_OFFERED.items():
        if type.startswith(prefix):
            raise refuse(path, f"Claude on Google Cloud does not offer {feature}.", "Leave this tool out.")


def blocks(draft: NativeDraft) -> None:
    """:raises InvalidRequest: a block that refers to a file or a container of Anthropic's own platform."""
    for path, block in draft.native.blocks:
        source = block.get("source")
        if isinstance(source, dict) and source.get("type") == "file":
            raise refuse(
                (*path, "source"), "Claude on Google Cloud has no Files API.", "Send the file itself, as base64."
            )
        if block.get("type") == "container_upload":
            raise refuse(path, "Claude on Google Cloud has no containers.", "Send the file as a document.")


def callers(draft: NativeDraft) -> None:
    """:raises InvalidRequest: the open tool call was made by code that runs in a container. In turns that are over,
    ``caller`` passes: clients send their history back as it is."""
    messages = messages_of(draft.content)[-2:]
    for index, message in messages:
        calls = message.get("content") if message.get("role") == "assistant" else None
        for at, block in enumerate(calls if isinstance(calls, list) else ()):
            caller = block.get("caller") if isinstance(block, dict) and block.get("type") == "tool_use" else None
            if isinstance(caller, dict) and caller.get("type") != "direct":
                raise refuse(
                    ("messages", index, "content", at, "caller"),
                    "Claude on Google Cloud does not offer code execution, so no code can have made this call.",
                )


def _is_code_execution(caller: Any) -> bool:
    return isinstance(caller, str) and caller.startswith(_CODE_EXECUTION)
