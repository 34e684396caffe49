"""How every type of tool is supported, from which ``docs/compatibility.md`` is generated.

A test keeps the table equal to the types of the ``openai`` SDK.
"""

from __future__ import annotations

from typing import Final

from modelmux.dialects.openai_shared.support import FieldSupport

_S = FieldSupport
_HOSTED: Final = (
    'Needs a service that this gateway does not run. `responses.hosted_tools = "drop"` leaves it out instead.'
)
_WEB_SEARCH: Final = "Left out, unless the gateway's web search is turned on: then `web_search_20250305`."

TOOL_SUPPORT: Final[dict[str, FieldSupport]] = {
    "function": _S("mapped", "A tool. Deferred ones are sent at once."),
    "namespace": _S("emulated", "Its tools, named `namespace__tool`; calls give both names back."),
    "custom": _S("emulated", "A tool with one text. A grammar becomes part of the description: it is not enforced."),
    "local_shell": _S("emulated", "A tool of this name; calls are `local_shell_call` items."),
    "shell": _S("emulated", "A tool of this name; calls are `shell_call` items. Only in the client's own environment."),
    "apply_patch": _S("emulated", "A tool of this name; calls are `apply_patch_call` items."),
    "web_search": _S("emulated", _WEB_SEARCH),
    "web_search_2025_08_26": _S("emulated", _WEB_SEARCH),
    "web_search_preview": _S("emulated", _WEB_SEARCH),
    "web_search_preview_2025_03_11": _S("emulated", _WEB_SEARCH),
    "tool_search": _S("ignored", "Tools are never searched for: all of them are sent."),
    "mcp": _S("rejected", _HOSTED),
    "file_search": _S("rejected", _HOSTED),
    "code_interpreter": _S("rejected", _HOSTED),
    "image_generation": _S("rejected", _HOSTED),
    "computer": _S("rejected", _HOSTED),
    "computer_use_preview": _S("rejected", _HOSTED),
    "programmatic_tool_calling": _S("rejected", _HOSTED),
}
