"""Chat Completions request -> Messages request. Read as a table of contents: every field has its line.

Each field has one of four fates: mapped, emulated, ignored with a notice, rejected by name. ``FATES`` lists them all
and a test holds it equal to the fields of ``ChatRequest``.
"""

from __future__ import annotations

from typing import Final, Literal

from modelmux.catalog import ModelCard
from modelmux.errors import InvalidRequest
from modelmux.translate import messages, sampling, tools
from modelmux.translate.context import Context, ReplyShape, Translated
from modelmux.wire import anthropic
from modelmux.wire.openai_chat import ChatRequest, ResponseFormat

Fate = Literal["mapped", "emulated", "ignored", "rejected"]

#: What becomes of a field that is set. "ignored" gives the sentence of its notice, "rejected" that of its error.
FATES: Final[dict[str, tuple[Fate, str]]] = {
    "model": ("mapped", ""),
    "messages": ("mapped", ""),
    "max_completion_tokens": ("mapped", ""),
    "max_tokens": ("mapped", ""),
    "temperature": ("emulated", ""),
    "top_p": ("emulated", ""),
    "top_k": ("emulated", ""),
    "stop": ("mapped", ""),
    "stream": ("mapped", ""),
    "stream_options": ("mapped", ""),
    "tools": ("mapped", ""),
    "tool_choice": ("mapped", ""),
    "parallel_tool_calls": ("mapped", ""),
    "user": ("emulated", ""),
    "safety_identifier": ("emulated", ""),
    "n": ("rejected", "Only one choice can be generated; send the request n times instead."),
    "functions": ("rejected", "The legacy function interface is not supported; use 'tools'."),
    "function_call": ("rejected", "The legacy function interface is not supported; use 'tool_choice'."),
    "response_format": ("rejected", "Structured output is not supported; ask for the format in the prompt."),
    "reasoning_effort": ("ignored", "The model's default reasoning is used."),
    "reasoning": ("ignored", "The model's default reasoning is used."),
    "thinking": ("ignored", "The model's default reasoning is used."),
    "verbosity": ("ignored", "Claude has no such setting."),
    "seed": ("ignored", "Claude has no seed."),
    "logprobs": ("rejected", "Claude gives no log probabilities; leave it out."),
    "top_logprobs": ("rejected", "Claude gives no log probabilities; leave it out."),
    "logit_bias": ("rejected", "Claude takes no token biases; leave it out."),
    "frequency_penalty": ("ignored", "Claude has no penalties."),
    "presence_penalty": ("ignored", "Claude has no penalties."),
    "metadata": ("ignored", "Nothing is stored."),
    "store": ("ignored", "Nothing is stored."),
    "service_tier": ("ignored", "Vertex AI has one service tier."),
    "prompt_cache_key": ("ignored", "Claude's cache is keyed by the prompt itself."),
    "prompt_cache_options": ("ignored", "No cache breakpoints are set."),
    "prompt_cache_retention": ("ignored", "No cache breakpoints are set."),
    "cache_control": ("ignored", "No cache breakpoints are set."),
    "prediction": ("ignored", "Claude takes no predicted output; only speed is affected."),
    "modalities": ("rejected", "Only text can be generated; leave it out or send ['text']."),
    "audio": ("rejected", "Audio cannot be generated; leave it out."),
    "web_search_options": ("rejected", "Web search is not supported; leave it out."),
    "moderation": ("rejected", "No moderation is run; leave it out rather than rely on it."),
}

#: Values that ask for nothing and are therefore neither reported nor refused.
_ASKS_NOTHING: Final[dict[str, tuple[object, ...]]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "response_format": (ResponseFormat("text"),),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"], []),
    "store": (False,),
    "metadata": ({},),
    "service_tier": ("auto", "default"),
    "reasoning_effort": ("default",),
}
_IGNORED: Final = tuple((name, text) for name, (fate, text) in FATES.items() if fate == "ignored")
_REJECTED: Final = tuple((name, text) for name, (fate, text) in FATES.items() if fate == "rejected")


def translate_request(request: ChatRequest, card: ModelCard) -> Translated:
    """Translate a request for the model of ``card``. Deterministic: the same request gives the same bytes.

    :raises InvalidRequest: naming the field, when the request cannot be answered truthfully.
    """
    ctx = Context(card)
    _refuse(request)
    _note_ignored(request, ctx)
    if not request.messages:
        raise InvalidRequest("'messages' must hold at least one message.", param="messages")
    first = messages.split_system(request.messages)
    turns = messages.translate_turns(request.messages, first, ctx)
    if not turns:
        turns = [anthropic.InputMessage("user", [anthropic.TextBlock(messages.BEGIN)])]
        ctx.notices.add("added", "messages", "A conversation begins with the user; a turn was added.")
    _end_with_user(turns, ctx)
    body = anthropic.MessagesRequest(
        anthropic_version=anthropic.VERTEX_VERSION,
        max_tokens=sampling.max_tokens(request, ctx),
        messages=turns,
        system=messages.translate_system(request.messages[:first]),
        tools=tools.translate_tools(request, ctx),
        tool_choice=tools.translate_tool_choice(request, ctx),
        stop_sequences=sampling.stop_sequences(request, ctx),
        metadata=_metadata(request),
    )
    sampling.apply_sampling(request, body, ctx)
    _define_tools_of_history(body, ctx)
    return Translated(body, _shape(request, ctx), ctx.notices.items)


def _shape(request: ChatRequest, ctx: Context) -> ReplyShape:
    options = request.stream_options
    return ReplyShape(
        model=request.model,
        include_usage=bool(request.stream and options and options.include_usage),
        tool_names=ctx.tool_names,
    )


def _refuse(request: ChatRequest) -> None:
    for name, text in _REJECTED:
        value = getattr(request, name)
        if value is not None and value not in _ASKS_NOTHING.get(name, ()):
            raise InvalidRequest(
                f"Unsupported parameter: '{name}'.", param=name, code="unsupported_parameter", hint=text
            )


def _note_ignored(request: ChatRequest, ctx: Context) -> None:
    for name, text in _IGNORED:
        value = getattr(request, name)
        if value is not None and value not in _ASKS_NOTHING.get(name, ()):
            ctx.notices.add("ignored", name, text)


def _metadata(request: ChatRequest) -> anthropic.Metadata | None:
    who = request.safety_identifier or request.user
    return anthropic.Metadata(messages.user_id(who)) if who else None


def _end_with_user(turns: list[anthropic.InputMessage], ctx: Context) -> None:
    """A trailing assistant message is a prefill: legal on some models, an error that says so on others."""
    last = turns[-1]
    if last.role != "assistant":
        return
    if not ctx.card.prefill:
        raise InvalidRequest(
            "This model cannot continue an assistant message: the last message must not have role 'assistant'.",
            param="messages",
            hint="End with a user message that says how to go on.",
        )
    block = last.content[-1]
    if isinstance(block, anthropic.TextBlock):
        block.text = block.text.rstrip()


def _define_tools_of_history(body: anthropic.MessagesRequest, ctx: Context) -> None:
    if body.tools is None:
        body.tools = tools.tools_of_history(body.messages)
        if body.tools:
            body.tool_choice = anthropic.ToolChoice("none")
            ctx.notices.add("added", "tools", "The history uses tools that are not defined; a stand-in was added.")
