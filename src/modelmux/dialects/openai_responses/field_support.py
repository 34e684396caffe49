"""How every request field is supported: one table, from which ``docs/compatibility.md`` is generated.

A test keeps the table equal to the fields of ``ResponsesRequest`` and to those of the ``openai`` SDK.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from modelmux.claude.notices import Notices
from modelmux.dialects.openai_shared.support import FieldGroup, FieldSupport, unsupported
from modelmux.wire.openai.responses_request import ResponsesRequest

_S = FieldSupport

FIELD_SUPPORT: Final[dict[str, FieldSupport]] = {
    "model": _S("mapped", "A configured name, or a Claude model by its Vertex AI id, first-party id or undated name."),
    "input": _S("mapped", "A text, or items; see below."),
    "instructions": _S("mapped", "The first `system` block. Not inherited through `previous_response_id`."),
    "max_output_tokens": _S("mapped", "`max_tokens`; by default, and at most, the model's maximum."),
    "max_tool_calls": _S("ignored", "It limits built-in tools only."),
    "temperature": _S("emulated", "Clamped to 1; dropped if the model does not accept it, or with thinking."),
    "top_p": _S("emulated", "Dropped if `temperature` is also set, or if the model does not accept it."),
    "stream": _S("mapped", "Server-sent events."),
    "stream_options": _S("mapped", "Events are not padded (`include_obfuscation`)."),
    "tools": _S("mapped", "See below."),
    "tool_choice": _S("mapped", "none, auto, required, a named tool, allowed_tools (only the allowed ones are sent)."),
    "parallel_tool_calls": _S("mapped", "`disable_parallel_tool_use`."),
    "reasoning": _S(
        "emulated",
        "`effort` as `thinking` and `output_config.effort`, as far as the model supports them; any `summary` asks for "
        "summaries.",
    ),
    "text": _S("emulated", "`format` as structured output; `verbosity` is ignored."),
    "include": _S("mapped", "`reasoning.encrypted_content`: Claude's signed thinking, sealed. Others are ignored."),
    "store": _S("mapped", "The response repeats what was really done."),
    "previous_response_id": _S("mapped", "The conversation of a stored response."),
    "conversation": _S("rejected", "Conversations are not stored; send the whole input, or use previous_response_id."),
    "background": _S("rejected", "Responses are not generated in the background; leave it out.", (False,)),
    "background_options": _S("rejected", "Responses are not generated in the background; leave it out."),
    "truncation": _S(
        "ignored", "Nothing is left out of the input: what exceeds the context window fails.", ("disabled",)
    ),
    "context_management": _S("ignored", "Nothing is compacted unless a client asks for it.", ([],)),
    "metadata": _S(
        "mapped", "Repeated in the response; not sent upstream; with accounts they are tags of the request."
    ),
    "prompt_cache_key": _S("mapped", "Keeps a conversation at one deployment; repeated in the response."),
    "prompt_cache_options": _S(
        "emulated", "`explicit`: only the client's own breakpoints; a `ttl`: every breakpoint lasts an hour."
    ),
    "prompt_cache_retention": _S("ignored", "The lifetime is set on breakpoints (`ttl`)."),
    "safety_identifier": _S("emulated", "`metadata.user_id`, as a hash."),
    "user": _S("emulated", "As `safety_identifier`, which takes precedence."),
    "service_tier": _S("ignored", "Vertex AI has one service tier; responses name it `default`.", ("auto", "default")),
    "prompt": _S("rejected", "Prompt templates are not stored here; send the prompt itself."),
    "moderation": _S(
        "ignored", "Moderation is not run. A `policy` whose `input` or `output` has the mode `block` is rejected."
    ),
    "access_programs": _S("ignored", "Claude does not have access programs."),
    "image": _S("ignored", "Images cannot be generated."),
    "top_logprobs": _S("ignored", "Claude does not provide log probabilities.", (0,)),
    "client_metadata": _S("ignored", "It is for the client's own use.", ()),
    "stream_id": _S("ignored", "It is for WebSocket connections."),
    "generate": _S("rejected", "Every request generates a response; leave it out.", (True,)),
    "messages": _S("rejected", "Send the conversation as 'input', or use /v1/chat/completions."),
}
#: Ignored without a notice: clients set them for themselves and expect nothing of them.
_SILENT: Final = frozenset({"client_metadata", "stream_id"})
_EMPTY: Final = ResponsesRequest(model="")
_REJECTED: Final = FieldGroup(
    {name: support for name, support in FIELD_SUPPORT.items() if support.kind == "rejected"}, _EMPTY
)
_REPORTED: Final = FieldGroup(
    {n: support for n, support in FIELD_SUPPORT.items() if support.kind == "ignored" and n not in _SILENT}, _EMPTY
)
#: Members of `include` and what they ask for.
INCLUDE_SUPPORT: Final[dict[str, FieldSupport]] = {
    "reasoning.encrypted_content": _S("mapped", "Claude's signed thinking, sealed."),
    "web_search_call.action.sources": _S("ignored", "Sources are not listed apart from citations."),
    "web_search_call.results": _S("ignored", "Results are not listed apart from citations."),
    "message.output_text.logprobs": _S("ignored", "Claude does not provide log probabilities."),
    "message.input_image.image_url": _S("ignored", "Images of the input are not repeated."),
    "file_search_call.results": _S("ignored", "File search is not run."),
    "computer_call_output.output.image_url": _S("ignored", "Computers are not used."),
    "code_interpreter_call.outputs": _S("ignored", "Code is not run."),
}


def reject_unsupported(request: ResponsesRequest) -> None:
    """Reject fields whose effect cannot be provided.

    :raises InvalidRequest: naming the field.
    """
    for name, support in _REJECTED.set_in(request):
        if name != "messages" or request.input is None:
            raise unsupported(name, support.explanation)
    if request.moderation is not None and _blocks(request.moderation):
        raise unsupported("moderation", "Moderation is not run; leave it out rather than rely on it.")


def report_ignored(request: ResponsesRequest, unknown: Iterable[str], notices: Notices) -> None:
    """A notice for each field that is set and has no effect."""
    for name, support in _REPORTED.set_in(request):
        notices.add("ignored", name, support.explanation)
    if request.messages is not None:
        notices.add("ignored", "messages", "'input' is also set and takes precedence.")
    if (request.stream_options or {}).get("include_obfuscation"):
        notices.add("ignored", "stream_options.include_obfuscation", "Events are not padded.")
    if request.text is not None and request.text.verbosity not in (None, "medium"):
        notices.add("ignored", "text.verbosity", "Claude does not support `verbosity`.")
    for member in request.include or ():
        support = INCLUDE_SUPPORT.get(member, _S("ignored", "Not a member of `include`."))
        if support.kind == "ignored":
            notices.add("ignored", f"include.{member[:80]}", support.explanation)
    if request.user and request.safety_identifier and request.user != request.safety_identifier:
        notices.add("ignored", "user", "`safety_identifier` is also set and takes precedence.")
    for name in unknown:
        if not name.startswith("x-"):
            notices.ignore_unknown(name[:80], "Not a field of Responses.")


def _blocks(moderation: Any) -> bool:
    """Whether a policy of ``moderation`` demands that content is blocked."""
    policy = moderation.get("policy") if isinstance(moderation, dict) else None
    sides = policy.values() if isinstance(policy, dict) else (policy,)
    return any(side == "block" or (isinstance(side, dict) and side.get("mode") == "block") for side in sides)
