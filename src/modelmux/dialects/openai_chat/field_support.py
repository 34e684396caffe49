"""How every request field is supported: one table, from which ``docs/compatibility.md`` is generated.

A field that is set is *mapped* (Messages has a counterpart), *emulated* (the same effect by other means), *ignored*
with a notice, or *rejected* by name. A test keeps the table equal to the fields of ``ChatRequest``.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from modelmux.claude.notices import Notices
from modelmux.dialects.openai_chat.sdk_members import is_added_by_sdk
from modelmux.dialects.openai_shared.support import FieldGroup, FieldSupport, is_set, unsupported
from modelmux.wire.openai.chat_request import ChatRequest

FIELD_SUPPORT: Final[dict[str, FieldSupport]] = {
    "model": FieldSupport(
        "mapped", "A configured name, or a Claude model by its Vertex AI id, first-party id or undated name."
    ),
    "messages": FieldSupport("mapped", "All roles, in any order; see below."),
    "max_completion_tokens": FieldSupport("mapped", "`max_tokens`; by default, and at most, the model's maximum."),
    "max_tokens": FieldSupport("mapped", "As `max_completion_tokens`, which takes precedence."),
    "temperature": FieldSupport("emulated", "Clamped to 1; dropped if the model does not accept it, or with thinking."),
    "top_p": FieldSupport("emulated", "Dropped if `temperature` is also set, or if the model does not accept it."),
    "top_k": FieldSupport("emulated", "Dropped if the model does not accept it, or with thinking."),
    "stop": FieldSupport("mapped", "`stop_sequences`; blank and repeated ones are dropped."),
    "stream": FieldSupport("mapped", "Server-sent events."),
    "stream_options": FieldSupport(
        "mapped", "`include_usage`: a final chunk with the usage. Chunks are not padded (`include_obfuscation`)."
    ),
    "tools": FieldSupport(
        "mapped",
        "Functions; custom tools with text input as functions with one string. Grammars are rejected. Web search in "
        "any of its spellings is the server tool.",
    ),
    "tool_choice": FieldSupport(
        "mapped", "none, auto, required, a named tool, allowed_tools (only the allowed ones are sent)."
    ),
    "parallel_tool_calls": FieldSupport("mapped", "`disable_parallel_tool_use`."),
    "functions": FieldSupport("emulated", "As tools; the reply has `function_call`."),
    "function_call": FieldSupport("emulated", "As `tool_choice`."),
    "response_format": FieldSupport(
        "emulated",
        "`json_schema` as structured output, or by a tool call if the model or the schema requires it; `json_object` "
        "by instruction.",
    ),
    "reasoning_effort": FieldSupport(
        "emulated", "`thinking` and `output_config.effort`, as far as the model supports them.", ("default",)
    ),
    "reasoning": FieldSupport("emulated", "OpenRouter's form: effort, max_tokens, exclude, enabled."),
    "thinking": FieldSupport(
        "emulated",
        "Anthropic's form, converted to what the model accepts; a budget is sent as it is to a model that has budgets.",
    ),
    "output_config": FieldSupport(
        "mapped", "Anthropic's form: `effort` as it is, or the nearest the model has; `format` as `response_format`."
    ),
    "web_search_options": FieldSupport(
        "emulated", "The server tool `web_search_20250305`; citations come as annotations."
    ),
    "user": FieldSupport("emulated", "`metadata.user_id`, as a hash."),
    "safety_identifier": FieldSupport("emulated", "As `user`, over which it takes precedence."),
    "cache_control": FieldSupport("emulated", "A breakpoint at the end of the prompt."),
    "n": FieldSupport("rejected", "Only one choice can be generated; send the request n times instead.", (1,)),
    "logprobs": FieldSupport("rejected", "Claude does not provide log probabilities; leave it out.", (False,)),
    "top_logprobs": FieldSupport("rejected", "Claude does not provide log probabilities; leave it out.", (0,)),
    "logit_bias": FieldSupport("ignored", "Claude does not support token biases.", ({},)),
    "audio": FieldSupport("rejected", "Audio cannot be generated; leave it out."),
    "modalities": FieldSupport(
        "rejected", "Only text can be generated; leave it out or send ['text'].", (["text"], [])
    ),
    "moderation": FieldSupport("rejected", "Moderation is not run; leave it out rather than rely on it."),
    "verbosity": FieldSupport("ignored", "Claude does not support `verbosity`.", ("medium",)),
    "seed": FieldSupport("ignored", "Claude does not support `seed`."),
    "frequency_penalty": FieldSupport("ignored", "Claude does not support penalties.", (0,)),
    "presence_penalty": FieldSupport("ignored", "Claude does not support penalties.", (0,)),
    "metadata": FieldSupport("ignored", "Claude gets none of it; with accounts they are tags of the request.", ({},)),
    "store": FieldSupport("ignored", "Nothing is stored.", (False,)),
    "service_tier": FieldSupport(
        "ignored", "Vertex AI has one service tier; replies name it `default`.", ("auto", "default")
    ),
    "prompt_cache_key": FieldSupport("ignored", "Claude's prompt cache is keyed by the prompt itself."),
    "prompt_cache_options": FieldSupport(
        "emulated", "`explicit`: only the client's own breakpoints; a `ttl`: every breakpoint lasts an hour."
    ),
    "prompt_cache_retention": FieldSupport("ignored", "The lifetime is set on breakpoints (`ttl`)."),
    "prediction": FieldSupport("ignored", "Claude does not support predicted output; only speed is affected."),
}

_EMPTY: Final = ChatRequest(model="", messages=[])
_IGNORED: Final = FieldGroup(
    {name: support for name, support in FIELD_SUPPORT.items() if support.kind == "ignored"}, _EMPTY
)
_REJECTED: Final = FieldGroup(
    {name: support for name, support in FIELD_SUPPORT.items() if support.kind == "rejected"}, _EMPTY
)
#: Fields for which another one may be set, and the ones that take precedence over them.
_OVERRIDDEN_BY: Final = (
    ("max_tokens", ("max_completion_tokens",)),
    ("user", ("safety_identifier",)),
    ("function_call", ("tool_choice",)),
    ("reasoning", ("thinking",)),
    ("reasoning_effort", ("thinking", "reasoning")),
)

# Most requests set none of the overriding fields, which one comparison of all of them shows.
_overriding_values: Final = attrgetter(*dict.fromkeys(name for _, others in _OVERRIDDEN_BY for name in others))
_NO_OVERRIDING: Final = _overriding_values(_EMPTY)


def reject_unsupported(request: ChatRequest) -> None:
    """Reject fields whose effect cannot be provided.

    :raises InvalidRequest: naming the field.
    """
    for name, support in _REJECTED.set_in(request):
        raise unsupported(name, support.explanation)


def report_ignored(request: ChatRequest, unknown: Iterable[str], notices: Notices) -> None:
    """A notice for every field that is set and not used, and for every unknown field."""
    for name, support in _IGNORED.set_in(request):
        notices.add("ignored", name, support.explanation)
    if _overriding_values(request) != _NO_OVERRIDING:
        for name, others in _OVERRIDDEN_BY:
            value = getattr(request, name)
            if is_set(value, FIELD_SUPPORT[name]) and any(
                getattr(request, other) not in (None, "", value) for other in others
            ):
                names = " or ".join(f"`{other}`" for other in others)
                notices.add("ignored", name, f"{names} is also set and takes precedence.")
    if request.stream_options is not None and request.stream_options.include_obfuscation:
        notices.add("ignored", "stream_options.include_obfuscation", "Chunks are not padded.")
    for name in unknown:
        if is_added_by_sdk(name):
            continue
        notices.ignore_unknown(name[:80], "Not a field of Chat Completions.")
