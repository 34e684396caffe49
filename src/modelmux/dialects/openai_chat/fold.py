"""Chat completion chunks -> the equivalent completion in one piece."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET, UnsetType

from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.openai_chat.response import Call, Parts, completion
from modelmux.wire.openai import chat_response


def fold_chunks(
    chunks: Iterable[chat_response.DecodedChunk], usage: chat_response.Usage
) -> chat_response.ChatCompletion:
    """Fold the chunks of a stream into one completion.

    :param usage: used if the stream has none, because the client did not request it.
    """
    parts = Parts("", None, [], [], "", [])
    calls: dict[int, Call] = {}
    function, legacy = chat_response.ResponseFunction("", ""), False
    reason: chat_response.FinishReason = "stop"
    id, created, model = "", 0, ""
    tier: str | UnsetType = UNSET
    for chunk in chunks:
        id, created, model, tier = chunk.id, chunk.created, chunk.model, chunk.service_tier
        usage = chunk.usage or usage
        for choice in chunk.choices:
            delta = choice.delta
            parts.text += delta.content or ""
            parts.reasoning += delta.reasoning_content or ""
            parts.annotations += delta.annotations or ()
            parts.thinking_blocks += delta.thinking_blocks or ()
            parts.refusal = delta.refusal or parts.refusal
            reason = choice.finish_reason or reason
            for call in delta.tool_calls or ():
                _add_call(calls, call)
            if delta.function_call is not None:
                legacy = True  # even without a name
                _add_function(function, delta.function_call)
    parts.calls = (
        [chat_response.ResponseToolCall(id="", function=function)] if legacy else [calls[i] for i in sorted(calls)]
    )
    shape = ReplyPlan(model, legacy_function=legacy, service_tier=tier)
    return completion(parts, shape, reason, usage, id=id, created=created)


def _add_call(calls: dict[int, Call], part: chat_response.ToolCallDelta) -> None:
    if part.custom is not None:
        custom = chat_response.ResponseCustom(part.custom.name or "", part.custom.input or "")
        calls[part.index] = chat_response.ResponseCustomCall(id=part.id or "", custom=custom)
        return
    new = chat_response.ResponseToolCall(id="", function=chat_response.ResponseFunction("", ""))
    call = calls.setdefault(part.index, new)
    call.id = part.id or call.id
    if part.function is not None and isinstance(call, chat_response.ResponseToolCall):
        _add_function(call.function, part.function)


def _add_function(function: chat_response.ResponseFunction, part: chat_response.FunctionDelta) -> None:
    function.name = part.name or function.name
    function.arguments += part.arguments or ""
