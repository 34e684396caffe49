"""What becomes of every request field: one table, from which ``docs/compatibility.md`` is generated.

A field that is set is *mapped* (said the same way), *emulated* (brought about another way), *ignored* with a notice,
or *rejected* by name. A test holds the table equal to the fields of ``ChatRequest``.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple

from modelmux.claude.notices import Notices
from modelmux.errors import InvalidRequest
from modelmux.wire.openai.chat_request import ChatRequest

Kind = Literal["mapped", "emulated", "ignored", "rejected"]


class Fate(NamedTuple):
    """``says``: for the reader of the table; of an ignored field also its notice, of a rejected one its hint.

    :param harmless: values that ask for nothing and are therefore neither reported nor refused.
    """

    kind: Kind
    says: str
    harmless: tuple[object, ...] = ()


FATES: Final[dict[str, Fate]] = {
    "model": Fate(
        "mapped", "A configured name, or a Claude model by its Vertex AI id, first-party id or undated name."
    ),
    "messages": Fate("mapped", "All roles, in any order; see below."),
    "max_completion_tokens": Fate("mapped", "`max_tokens`; the model's cap where unset, clamped to it where higher."),
    "max_tokens": Fate("mapped", "As `max_completion_tokens`, which wins."),
    "temperature": Fate("emulated", "Clamped to 1; dropped where the model takes none or thinks."),
    "top_p": Fate("emulated", "Dropped beside `temperature` and where the model takes none."),
    "top_k": Fate("emulated", "Dropped where the model takes none or thinks."),
    "stop": Fate("mapped", "`stop_sequences`; blank and repeated ones are dropped."),
    "stream": Fate("mapped", "Server-sent events."),
    "stream_options": Fate("mapped", "`include_usage`: a last chunk with the usage. Obfuscation is not done."),
    "tools": Fate(
        "mapped", "Functions; custom tools with text input as functions with one string. Grammars are refused."
    ),
    "tool_choice": Fate(
        "mapped", "none, auto, required, a named tool, allowed_tools (only the allowed ones are sent)."
    ),
    "parallel_tool_calls": Fate("mapped", "`disable_parallel_tool_use`."),
    "functions": Fate("emulated", "As tools; the answer has `function_call`."),
    "function_call": Fate("emulated", "As `tool_choice`."),
    "response_format": Fate(
        "emulated",
        "`json_schema` as structured output, or by a tool call where model or schema need it; `json_object` by "
        "instruction.",
    ),
    "reasoning_effort": Fate("emulated", "`thinking` and `output_config.effort`, as the model has them.", ("default",)),
    "reasoning": Fate("emulated", "OpenRouter's form: effort, max_tokens, exclude, enabled."),
    "thinking": Fate("emulated", "Anthropic's form, brought into what the model accepts."),
    "web_search_options": Fate("emulated", "The server tool `web_search_20250305`; citations come as annotations."),
    "user": Fate("emulated", "`metadata.user_id`, as a hash."),
    "safety_identifier": Fate("emulated", "As `user`, and wins over it."),
    "cache_control": Fate("emulated", "A breakpoint at the end of the prompt."),
    "n": Fate("rejected", "Only one choice can be generated; send the request n times instead.", (1,)),
    "logprobs": Fate("rejected", "Claude gives no log probabilities; leave it out.", (False,)),
    "top_logprobs": Fate("rejected", "Claude gives no log probabilities; leave it out.", (0,)),
    "logit_bias": Fate("ignored", "Claude takes no token biases.", ({},)),
    "audio": Fate("rejected", "Audio cannot be generated; leave it out."),
    "modalities": Fate("rejected", "Only text can be generated; leave it out or send ['text'].", (["text"], [])),
    "moderation": Fate("rejected", "No moderation is run; leave it out rather than rely on it."),
    "verbosity": Fate("ignored", "Claude has no such setting.", ("medium",)),
    "seed": Fate("ignored", "Claude has no seed."),
    "frequency_penalty": Fate("ignored", "Claude has no penalties.", (0,)),
    "presence_penalty": Fate("ignored", "Claude has no penalties.", (0,)),
    "metadata": Fate("ignored", "Nothing is stored.", ({},)),
    "store": Fate("ignored", "Nothing is stored.", (False,)),
    "service_tier": Fate("ignored", "Vertex AI has one service tier; replies name it `default`.", ("auto", "default")),
    "prompt_cache_key": Fate("ignored", "Claude's cache is keyed by the prompt itself."),
    "prompt_cache_options": Fate(
        "emulated", "`explicit`: no breakpoints but the client's own; a `ttl`: every breakpoint lasts an hour."
    ),
    "prompt_cache_retention": Fate("ignored", "The lifetime is set on breakpoints (`ttl`)."),
    "prediction": Fate("ignored", "Claude takes no predicted output; only speed is affected."),
}

_IGNORED: Final = tuple((name, fate) for name, fate in FATES.items() if fate.kind == "ignored")
_REJECTED: Final = tuple((name, fate) for name, fate in FATES.items() if fate.kind == "rejected")
#: Fields that say what another says too, and which win over them.
_LOSES_TO: Final = (
    ("max_tokens", ("max_completion_tokens",)),
    ("user", ("safety_identifier",)),
    ("function_call", ("tool_choice",)),
    ("reasoning", ("thinking",)),
    ("reasoning_effort", ("thinking", "reasoning")),
)

# Most requests set none of these fields: one look at all of them together says so.
_rejected_of: Final = attrgetter(*(name for name, _ in _REJECTED))
_ignored_of: Final = attrgetter(*(name for name, _ in _IGNORED))
_winners_of: Final = attrgetter(*dict.fromkeys(name for _, winners in _LOSES_TO for name in winners))
_EMPTY: Final = ChatRequest(model="", messages=[])
_NO_REJECTED: Final = _rejected_of(_EMPTY)
_NO_IGNORED: Final = _ignored_of(_EMPTY)
_NO_WINNERS: Final = _winners_of(_EMPTY)


def refuse(request: ChatRequest) -> None:
    """Refuse what cannot be answered truthfully.

    :raises InvalidRequest: naming the field.
    """
    if _rejected_of(request) == _NO_REJECTED:
        return
    for name, fate in _REJECTED:
        if _asks(getattr(request, name), fate):
            raise InvalidRequest(
                f"Unsupported parameter: '{name}'.", param=name, code="unsupported_parameter", hint=fate.says
            )


def note_ignored(request: ChatRequest, unknown: list[str], notices: Notices) -> None:
    """A notice for every field that is set and not used, and for every field nobody knows."""
    if _ignored_of(request) != _NO_IGNORED:
        for name, fate in _IGNORED:
            if _asks(getattr(request, name), fate):
                notices.add("ignored", name, fate.says)
    if _winners_of(request) != _NO_WINNERS:
        for name, winners in _LOSES_TO:
            value = getattr(request, name)
            if _asks(value, FATES[name]) and any(getattr(request, w) not in (None, "", value) for w in winners):
                notices.add("ignored", name, f"It is set beside {' or '.join(winners)}, which wins.")
    if request.stream_options is not None and request.stream_options.include_obfuscation:
        notices.add("ignored", "stream_options.include_obfuscation", "Chunks are not padded.")
    for name in unknown:
        notices.add("ignored", name[:80], "Not a field of Chat Completions.")


def _asks(value: Any, fate: Fate) -> bool:
    return value is not None and value not in fate.harmless
