"""Members that released SDKs add to requests by themselves.

Their users did not write them and cannot leave them out, so they are not reported, in strict mode neither: they
describe a reply that is sent back, or repeat what stands beside them.
``docs/compatibility.md`` is generated from this table.
"""

from __future__ import annotations

import re
from typing import Final

#: Path, with ``*`` for an index -> the SDK, and where it comes from.
SDK_MEMBERS: Final[dict[str, str]] = {
    "messages.*.annotations": "openai: a reply that is sent back (`message.model_dump()`).",
    "messages.*.parsed": "openai: a reply of `chat.completions.parse`.",
    "messages.*.tool_calls.*.index": "openai, LiteLLM: a reply folded from a stream.",
    "messages.*.tool_calls.*.function.parsed_arguments": "openai: a reply of `chat.completions.parse`.",
    "messages.*.tool_calls.*.extra_content": "AI SDK (openai-compatible): metadata of other providers.",
    "messages.*.tool_calls.*.caller": "anthropic: a `tool_use` block that is sent back.",
    "messages.*.tool_calls.*.toolset_name": "anthropic: a `tool_use` block that is sent back.",
    "messages.*.tool_calls.*.provider_specific_fields": "LiteLLM: a reply that is sent back.",
    "messages.*.tool_calls.*.function.provider_specific_fields": "LiteLLM: a reply that is sent back.",
    "messages.*.tool_calls.*.namespace": "openai: an item of Responses that is sent back.",
    "messages.*.provider_specific_fields": "LiteLLM: a reply that is sent back.",
    "messages.*.id": "openai: an item of Responses that is sent back.",
    "messages.*.model": "anthropic: a reply that is sent back (`message.model_dump()`).",
    "messages.*.stop_reason": "anthropic: a reply that is sent back.",
    "messages.*.stop_sequence": "anthropic: a reply that is sent back.",
    "messages.*.stop_details": "anthropic: a reply that is sent back.",
    "messages.*.usage": "anthropic: a reply that is sent back.",
    "messages.*.container": "anthropic: a reply that is sent back.",
    "messages.*.context_management": "anthropic: a reply that is sent back.",
    "messages.*.diagnostics": "anthropic: a reply that is sent back.",
    "messages.*.input_transformations": "anthropic: a reply that is sent back.",
    "messages.*.status": "openai: an item of Responses that is sent back.",
    "messages.*.phase": "openai: an item of Responses that is sent back.",
    "messages.*.content.*.citations": "anthropic: a `text` block that is sent back.",
    "messages.*.content.*.annotations": "openai, mcp: a part of a reply or of a tool's result.",
    "messages.*.content.*.logprobs": "openai: an `output_text` part that is sent back.",
    "messages.*.content.*._meta": "mcp: a part of a tool's result.",
    "messages.*.content.*.meta": "mcp: a part of a tool's result.",
    "messages.*.content.*.index": "langchain-core: content folded from a stream.",
    "messages.*.content.*.state": "AI SDK: a part of a `UIMessage`.",
    "messages.*.content.*.providerMetadata": "AI SDK: a part of a `UIMessage`, with metadata of other providers.",
    "messages.*.content.*.id": "langchain-core: a standard content block.",
}
#: A path that is longer is none of these: a key may have megabytes.
_LONGEST: Final = max(map(len, SDK_MEMBERS)) + 40
_INDEX: Final = re.compile(r"(?<=\.)\d+(?=\.|$)")


def is_added_by_sdk(path: str) -> bool:
    """Whether an SDK adds the member at this path by itself."""
    return len(path) <= _LONGEST and _INDEX.sub("*", path) in SDK_MEMBERS
