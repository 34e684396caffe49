"""Chat Completions request -> model-independent request for Claude. Each step has its own module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import UNSET

from modelmux.claude.conversation import ConversationBuilder
from modelmux.claude.part_paths import system_origins
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest, FieldNames, Origins
from modelmux.dialects.openai_chat.field_support import reject_unsupported, report_ignored
from modelmux.dialects.openai_chat.messages import add_messages, count_leading_system, translate_system
from modelmux.dialects.openai_chat.reasoning import is_shown, read_effort, read_request, reasoning_field
from modelmux.dialects.openai_chat.response_format import SCHEMA_FIELD, translate_response_format
from modelmux.dialects.openai_chat.sampling import check_sampling, read_max_tokens, stop_paths, translate_stop
from modelmux.dialects.openai_chat.tool_choice import report_unknown, translate_tool_choice
from modelmux.dialects.openai_chat.tools import translate_tools, translate_web_search
from modelmux.dialects.openai_shared.caching import read_options
from modelmux.dialects.openai_shared.context import TranslationContext
from modelmux.dialects.openai_shared.tools import MAX_CONTINUATIONS
from modelmux.dialects.openai_shared.user_id import user_id
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.chat_request import ChatRequest


def to_claude_request(request: ChatRequest, unknown: Sequence[str] = ()) -> tuple[ClaudeRequest, ReplyPlan]:
    """Translate a request. Deterministic: the same request gives the same result, for every model.

    :param unknown: names of fields of the request that ``ChatRequest`` does not have.
    :returns: the request, and how to present the reply, as far as it does not depend on the model.
    :raises InvalidRequest: naming the field that cannot be honoured.
    """
    ctx = TranslationContext()
    reject_unsupported(request)
    report_ignored(request, unknown, ctx.notices)
    if not request.messages:
        raise InvalidRequest("'messages' must hold at least one message.", param="messages")
    answer_format = translate_response_format(request.response_format)
    translated = translate_tools(request, ctx)
    web_search = translate_web_search(request.web_search_options, ctx)
    report_unknown(request, ctx.notices)
    tools, choice, searches = translate_tool_choice(request, translated.tools, searches=web_search is not None)
    if web_search is not None and not searches:
        ctx.notices.add("dropped", "web_search_options", "Web search is not among the allowed tools.")
        web_search = None
    max_tokens, limit_names = read_max_tokens(request)
    check_sampling(request)
    reasoning = read_request(request, ctx.notices)
    first = count_leading_system(request.messages)
    system, orphan_breakpoint = translate_system(request.messages[:first], ctx)
    conversation = ConversationBuilder(ctx.notices, parts=ctx.parts)
    add_messages(request.messages[first:], first, conversation, ctx)
    body = anthropic.MessagesRequest(
        anthropic_version=anthropic.VERTEX_VERSION,
        max_tokens=max_tokens,
        messages=conversation.finish(),
        system=system or None,
        tools=tools or None,
        tool_choice=choice,
        stop_sequences=translate_stop(request.stop, ctx.notices),
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        metadata=_metadata(request),
    )
    claude_request = ClaudeRequest(
        body,
        reasoning=reasoning,
        effort=read_effort(request, reasoning, ctx.notices),
        answer_format=answer_format,
        web_search=web_search,
        cache=read_options(request.prompt_cache_options, request.cache_control, orphan_breakpoint, ctx.notices),
        late_system=tuple(conversation.late_system),
        client_ids=conversation.client_ids,
        remote_files=tuple(ctx.remote_files.values()),
        fields=_field_names(request, body, limit_names, translated.paths),
        notices=tuple(ctx.notices.items),
        origins=Origins((*system_origins(system, ctx.parts, "messages.0"), *conversation.origins)),
    )
    return claude_request, _reply_plan(request, claude_request, ctx)


def _field_names(
    request: ChatRequest, body: anthropic.MessagesRequest, limits: tuple[str, ...], tools: Mapping[str, str]
) -> FieldNames:
    return FieldNames(
        max_tokens=limits,
        tools=tools,
        tool_schema="parameters",
        answer_format="response_format",
        answer_schema=SCHEMA_FIELD,
        web_search="web_search_options",
        stop="stop",
        stop_paths=stop_paths(request.stop, body.stop_sequences),
        user="safety_identifier" if request.safety_identifier else "user",
        reasoning=reasoning_field(request),
    )


def _reply_plan(request: ChatRequest, translated: ClaudeRequest, ctx: TranslationContext) -> ReplyPlan:
    options, answer_format = request.stream_options, translated.answer_format
    return ReplyPlan(
        model=request.model,
        include_usage=bool(request.stream and options and options.include_usage),
        tool_names=ctx.tool_names.originals,
        custom_tools=frozenset(ctx.custom_tools),
        legacy_function=bool(request.functions and not request.tools),
        strip_code_block=answer_format is not None and answer_format.schema is None,
        show_reasoning=is_shown(request, translated.reasoning),
        max_continuations=MAX_CONTINUATIONS if translated.web_search is not None else 0,
        service_tier="default" if request.service_tier else UNSET,
    )


def _metadata(request: ChatRequest) -> anthropic.Metadata | None:
    user = request.safety_identifier or request.user
    return anthropic.Metadata(user_id(user)) if user else None
