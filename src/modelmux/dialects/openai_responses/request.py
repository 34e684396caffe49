"""Responses request -> model-independent request for Claude. Each step has its own module.

What does not depend on the conversation is translated first. A request that refers to stored items is completed by
the same function as one that has all its items, once they are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from msgspec import Raw, Struct

from modelmux.claude.notices import Notice
from modelmux.claude.part_paths import system_origins
from modelmux.claude.request import NO_LIMIT, CacheOptions, ClaudeRequest, FieldNames, Origins
from modelmux.dialects.base import Decoded, Inbound, Unresolved
from modelmux.dialects.openai_responses import compaction
from modelmux.dialects.openai_responses.chat_fields import take_chat_fields, unknown_chat_fields
from modelmux.dialects.openai_responses.clients import is_codex
from modelmux.dialects.openai_responses.entries import (
    NOT_STORED_HINT,
    Entry,
    check_number,
    needed_ids,
    read_items,
    resolve,
    stored_items,
    text_entry,
    unknown_of_references,
    unknown_response,
)
from modelmux.dialects.openai_responses.field_support import reject_unsupported, report_ignored
from modelmux.dialects.openai_responses.items import ItemTranslator
from modelmux.dialects.openai_responses.plan import ClientTool, Echo, ResponsesPlan
from modelmux.dialects.openai_responses.reasoning import echo_reasoning, read_reasoning
from modelmux.dialects.openai_responses.repeated import without_repeated
from modelmux.dialects.openai_responses.text_format import SCHEMA_FIELD, echo_text, translate_text_format
from modelmux.dialects.openai_responses.tool_choice import translate_tool_choice
from modelmux.dialects.openai_responses.tools import ToolTable, echo_choice, echo_tools
from modelmux.dialects.openai_shared.caching import read_options
from modelmux.dialects.openai_shared.context import TranslationContext
from modelmux.dialects.openai_shared.media import drop_blank_text
from modelmux.dialects.openai_shared.sampling import check_range
from modelmux.dialects.openai_shared.tools import MAX_CONTINUATIONS
from modelmux.dialects.openai_shared.user_id import user_id
from modelmux.dialects.request_body import decode_legal
from modelmux.dialects.stored_responses import History, HistoryQuery, StoredItem
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.responses_items import decode_any
from modelmux.wire.openai.responses_request import ResponsesRequest, decode_request, unknown_fields

#: OpenAI's limits of ``metadata``.
MAX_METADATA: Final = 16
MAX_METADATA_KEY: Final = 64
MAX_METADATA_VALUE: Final = 512


class _Request(Struct, frozen=True):
    """A request as decoded, with what its translation needs besides.

    :param fields: its fields as the client wrote them.
    :param entries: its own items, without the compaction trigger.
    :param taken: fields of Chat Completions -> the fields that they were read as.
    :param unknown: paths of members of those that nothing reads.
    :param notices: of what was changed before it was decoded.
    """

    inbound: Inbound
    wire: ResponsesRequest
    fields: Mapping[str, Raw]
    entries: tuple[Entry, ...]
    compaction: compaction.Compaction | None
    taken: Mapping[str, str]
    unknown: Sequence[str]
    notices: tuple[Notice, ...]


def decode(inbound: Inbound, body: bytes, *, compact: bool = False) -> Decoded:
    """Decode a request. Deterministic: the same request and history give the same result, for every model.

    :param compact: it came to ``/v1/responses/compact``.
    :raises InvalidRequest: naming the field.
    """
    (wire, fields), legal = decode_legal(body, decode_request)
    unknown = unknown_chat_fields(fields)
    taken = take_chat_fields(wire, fields)
    reject_unsupported(wire)
    may_be_empty = compact or inbound.operation == "count_tokens"
    entries, wanted = compaction.split(_read_input(wire, may_be_empty=may_be_empty), compact=compact)
    request = _Request(inbound, wire, fields, tuple(entries), wanted, taken, unknown, legal.notices)
    stores = inbound.options.stores_responses
    if wire.previous_response_id and not stores:
        raise InvalidRequest("Responses are not stored here.", param="previous_response_id", hint=NOT_STORED_HINT)
    query = HistoryQuery(wire.previous_response_id or None, needed_ids(entries, stores=stores))
    if query != HistoryQuery():
        return _decoded(request, None, ResponsesPlan(wire.model), Unresolved(query, partial(_complete, request)))
    return _complete(request, History())


def _read_input(wire: ResponsesRequest, *, may_be_empty: bool) -> list[Entry]:
    continues = bool(wire.previous_response_id)
    if isinstance(wire.input, str):
        return [text_entry(wire.input)]
    if wire.input is None and not (may_be_empty and continues):
        raise InvalidRequest(
            "Missing required parameter: 'input'.",
            param="input",
            code="missing_required_parameter",
            hint="Send a text or a list of items.",
        )
    if not wire.input and not continues:
        raise InvalidRequest("'input' must hold at least one item.", param="input")
    return read_items([bytes(raw) for raw in wire.input or ()], "input")


def _complete(request: _Request, history: History) -> Decoded:
    """The translation, given the stored items that the request refers to.

    :raises InvalidRequest: naming the field.
    """
    if history.items is None:
        raise unknown_response(request.wire.previous_response_id or "")
    entries = resolve(request.entries, history.by_id)
    before = read_items(history.items, "previous_response_id", numbered=False)
    entries = without_repeated(before, entries)
    check_number(len(before) + len(entries), "input")
    return _translate(request, before, entries)


def _translate(request: _Request, before: Sequence[Entry], entries: Sequence[Entry]) -> Decoded:
    """The translation of a complete conversation.

    :param before: stored items that come before the request's own.
    :param entries: the request's own items, with stored ones in the place of references.
    """
    wire, inbound, ctx = request.wire, request.inbound, TranslationContext()
    unknown = [*request.unknown, *unknown_fields(request.fields), *unknown_of_references(request.entries)]
    report_ignored(wire, unknown, ctx.notices)
    for name, target in request.taken.items():
        ctx.notices.add("changed", name, f"A field of Chat Completions; it is read as `{target}`.")
    _check_numbers(wire)
    metadata = _checked_metadata(wire.metadata)
    options, compacts = inbound.options, request.compaction is not None
    table = ToolTable(ctx, drops_hosted=options.drops_hosted_tools, web_search=options.web_search and not compacts)
    table.add([bytes(raw) for raw in wire.tools or ()], "tools")
    items = ItemTranslator(ctx, table, options.sealer, inbound.caller.owner)
    if wire.instructions:
        items.system.append(anthropic.TextBlock(wire.instructions))
    items.add([*before, *entries])
    if compacts:
        items.conversation.add_user(anthropic.TextBlock(compaction.INSTRUCTION))
    body, cache = _body(request, items, table, ctx)
    own = {target: name for name, target in request.taken.items()}
    stored = () if compacts or wire.store is False else stored_items(entries)
    store = _stores(request, stored, ctx)
    aliases = table.aliases
    clients = table.clients(aliases)
    claude_request = ClaudeRequest(
        body,
        reasoning=read_reasoning(wire.reasoning, items.effort, ctx.notices),
        answer_format=None if compacts else translate_text_format(wire.text),
        web_search=table.web_search,
        cache=cache,
        late_system=tuple(items.conversation.late_system),
        tool_aliases=aliases,
        client_ids=items.conversation.client_ids,
        remote_files=tuple(ctx.remote_files.values()),
        fields=_field_names(wire, items, table, clients, own),
        ends_in_cut_reply=items.ends_in_output,
        thinking_runs=tuple(items.thinking),
        returns_thinking=any(entry.type == "reasoning" for entry in (*before, *entries)),
        notices=(*request.notices, *ctx.notices.items),
        origins=Origins((*system_origins(body.system or (), ctx.parts, "instructions"), *items.conversation.origins)),
    )
    plan = _plan(request, claude_request, clients, stored if store else None, _echo(request, metadata))
    return _decoded(request, claude_request, plan, None)


def _field_names(
    wire: ResponsesRequest,
    items: ItemTranslator,
    table: ToolTable,
    clients: Mapping[str, ClientTool],
    own: Mapping[str, str],
) -> FieldNames:
    """:param own: the client's names of fields that it calls otherwise."""
    return FieldNames(
        max_tokens=(own.get("max_output_tokens", "max_output_tokens"),) if wire.max_output_tokens is not None else (),
        messages="input",
        tools=table.paths,
        tool_schema="parameters",
        tool_members=table.members,
        answer_format=own.get("text.format", "text.format"),
        answer_schema="response_format.json_schema.schema" if "text.format" in own else SCHEMA_FIELD,
        tool_names={upstream: tool.name for upstream, tool in clients.items() if tool.name != upstream},
        user="safety_identifier" if wire.safety_identifier else "user",
        reasoning=None
        if wire.reasoning is None and items.effort is None
        else own.get("reasoning.effort", "reasoning.effort"),
    )


def _body(
    request: _Request, items: ItemTranslator, table: ToolTable, ctx: TranslationContext
) -> tuple[anthropic.MessagesRequest, CacheOptions]:
    """The Messages body, and the options for caching."""
    wire = request.wire
    wanted = wire.tool_choice if request.compaction is None else "none"
    tools, choice = translate_tool_choice(wanted, table, parallel=wire.parallel_tool_calls is not False)
    system, orphan = drop_blank_text(items.system)
    user = wire.safety_identifier or wire.user
    body = anthropic.MessagesRequest(
        anthropic_version=anthropic.VERTEX_VERSION,
        max_tokens=NO_LIMIT if wire.max_output_tokens is None else wire.max_output_tokens,
        messages=items.conversation.finish(),
        system=system or None,
        tools=list(tools) or None,
        tool_choice=choice,
        temperature=wire.temperature,
        top_p=wire.top_p,
        metadata=anthropic.Metadata(user_id(user)) if user else None,
    )
    return body, read_options(wire.prompt_cache_options, None, orphan, ctx.notices)


def _plan(
    request: _Request,
    translated: ClaudeRequest,
    tools: Mapping[str, ClientTool],
    stored: tuple[StoredItem, ...] | None,
    echo: Echo,
) -> ResponsesPlan:
    """:param stored: the items to store; None if the response is not stored."""
    wire, options, answer_format = request.wire, request.inbound.options, translated.answer_format
    return ResponsesPlan(
        model=wire.model,
        tools=tools,
        echo=echo,
        strip_code_block=answer_format is not None and answer_format.schema is None,
        max_continuations=MAX_CONTINUATIONS if translated.web_search is not None else 0,
        owner=request.inbound.caller.owner,
        sealer=options.sealer,
        shows_encrypted=stored is None or "reasoning.encrypted_content" in (wire.include or ()),
        store=stored is not None,
        input_items=stored or (),
        compaction=request.compaction,
        refusal_as_text=options.codex_refusals_as_text and is_codex(request.inbound.headers),
        sends_done=options.sends_done,
        web_search_items=translated.web_search is not None,
    )


def _decoded(
    request: _Request, claude_request: ClaudeRequest | None, plan: ResponsesPlan, unresolved: Unresolved | None
) -> Decoded:
    wire = request.wire
    return Decoded(
        wire.model,
        bool(wire.stream),
        claude_request,
        plan,
        wire.prompt_cache_key or None,
        unresolved=unresolved,
        end_user=wire.safety_identifier or wire.user,
        metadata=wire.metadata,
    )


def _stores(request: _Request, items: Sequence[StoredItem], ctx: TranslationContext) -> bool:
    """Whether the response will be stored. A client that asks for it is told if not."""
    wire, options = request.wire, request.inbound.options
    if wire.store is False:
        return False
    reason = ""
    if not options.stores_responses:
        reason = "Responses are not stored here."
    elif request.compaction is not None:
        reason = "A summary is not stored."
    elif sum(len(item.data) for item in items) > options.max_stored_bytes:
        reason = "The request is too large to be stored."
    if reason and wire.store:
        ctx.notices.add("ignored", "store", reason)
    return not reason


def _check_numbers(wire: ResponsesRequest) -> None:
    """:raises InvalidRequest: a value outside its range."""
    check_range("temperature", wire.temperature, 2.0)
    check_range("top_p", wire.top_p, 1.0)
    if wire.max_output_tokens is not None and wire.max_output_tokens < 1:
        field = "max_output_tokens"
        raise InvalidRequest(f"Invalid value for '{field}': it must be at least 1.", param=field)
    if wire.truncation not in (None, "auto", "disabled"):
        raise InvalidRequest("Invalid value for 'truncation'.", param="truncation", hint="Use auto or disabled.")


def _checked_metadata(metadata: dict[str, Any] | None) -> dict[str, str]:
    """:raises InvalidRequest: more, or longer, than OpenAI accepts."""
    metadata = metadata or {}
    if len(metadata) > MAX_METADATA or not all(
        len(key) <= MAX_METADATA_KEY and isinstance(value, str) and len(value) <= MAX_METADATA_VALUE
        for key, value in metadata.items()
    ):
        raise InvalidRequest(
            "Invalid value for 'metadata'.",
            param="metadata",
            hint=f"At most {MAX_METADATA} texts of {MAX_METADATA_VALUE} characters, with keys of {MAX_METADATA_KEY}.",
        )
    return metadata


def _echo(request: _Request, metadata: dict[str, str]) -> Echo:
    wire, fields = request.wire, request.fields

    def sent(name: str) -> Any:
        raw = fields.get(name)
        return None if raw is None else decode_any(bytes(raw), name)

    return Echo(
        instructions=wire.instructions,
        max_output_tokens=wire.max_output_tokens,
        max_tool_calls=wire.max_tool_calls,
        metadata=metadata,
        parallel_tool_calls=wire.parallel_tool_calls is not False,
        previous_response_id=wire.previous_response_id or None,
        prompt_cache_key=wire.prompt_cache_key,
        reasoning=echo_reasoning(wire.reasoning),
        safety_identifier=wire.safety_identifier,
        text=echo_text(wire.text, sent("text")),
        tool_choice=echo_choice(sent("tool_choice")),
        tools=echo_tools(sent("tools") or ()),
        truncation=wire.truncation or "disabled",
        user=wire.user,
    )
