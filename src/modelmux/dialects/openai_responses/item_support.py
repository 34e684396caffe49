"""How every type of item and of content part is supported, from which ``docs/compatibility.md`` is generated.

A test keeps the tables equal to the types of the ``openai`` SDK.
"""

from __future__ import annotations

from typing import Final

from modelmux.dialects.openai_shared.support import FieldSupport

_S = FieldSupport
_HOSTED: Final = "The history of a hosted tool is left out; the text that follows it is kept."

ITEM_SUPPORT: Final[dict[str, FieldSupport]] = {
    "message": _S("mapped", "All roles, in any order. Leading system messages are the system prompt."),
    "function_call": _S("mapped", "`tool_use`, by its `call_id`."),
    "function_call_output": _S("mapped", "`tool_result`: text, images and documents."),
    "custom_tool_call": _S("mapped", "`tool_use` with the text as `input`."),
    "custom_tool_call_output": _S("mapped", "`tool_result`: text, images and documents."),
    "reasoning": _S("mapped", "Thinking that this gateway sealed goes back unchanged; any other is left out."),
    "item_reference": _S("mapped", "The stored item."),
    "additional_tools": _S("mapped", "Its tools follow those that are defined already."),
    "configuration_update": _S("emulated", "The last one applies to the whole request."),
    "compaction": _S("mapped", "A summary that this gateway sealed, as a user's text; any other is rejected."),
    "compaction_trigger": _S("emulated", "As the last item: the reply is a summary of the conversation."),
    "local_shell_call": _S("emulated", "`tool_use` of `local_shell`."),
    "local_shell_call_output": _S("emulated", "`tool_result`."),
    "shell_call": _S("emulated", "`tool_use` of `shell`."),
    "shell_call_output": _S("emulated", "`tool_result` with the output as text."),
    "apply_patch_call": _S("emulated", "`tool_use` of `apply_patch`."),
    "apply_patch_call_output": _S("emulated", "`tool_result`; a patch that failed is an error."),
    "agent_message": _S("emulated", "A user's text."),
    "web_search_call": _S("ignored", _HOSTED),
    "file_search_call": _S("ignored", _HOSTED),
    "code_interpreter_call": _S("ignored", _HOSTED),
    "computer_call": _S("ignored", _HOSTED),
    "mcp_list_tools": _S("ignored", _HOSTED),
    "mcp_call": _S("ignored", _HOSTED),
    "tool_search_call": _S("ignored", "Tools are never searched for: all of them are sent."),
    "tool_search_output": _S("mapped", "Its tools follow those that are defined already."),
    "program": _S("ignored", _HOSTED),
    "program_output": _S("ignored", _HOSTED),
    "computer_call_output": _S("ignored", "Left out; rejected as the last item."),
    "mcp_approval_request": _S("ignored", "Left out; rejected as the last item."),
    "mcp_approval_response": _S("ignored", "Left out; rejected as the last item."),
    "image_generation_call": _S("ignored", "Left out; rejected as the last item."),
}
#: They ask for something that cannot be given.
NEVER_LAST: Final = frozenset(
    {"computer_call_output", "mcp_approval_request", "mcp_approval_response", "image_generation_call"}
)

PART_SUPPORT: Final[dict[str, FieldSupport]] = {
    "input_text": _S("mapped", "Text."),
    "output_text": _S("mapped", "Text; annotations and log probabilities are left out."),
    "text": _S("mapped", "As `input_text`."),
    "refusal": _S("mapped", "Text."),
    "input_image": _S("mapped", "A data URL, or a URL that is downloaded. `file_id` is rejected."),
    "input_file": _S("mapped", "PDF or text: base64, a data URL, or a URL that is downloaded. `file_id` is rejected."),
    "input_audio": _S("rejected", "Claude does not accept audio; send a transcript."),
}
