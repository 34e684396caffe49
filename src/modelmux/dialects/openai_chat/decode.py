"""Request bytes -> a request for Claude.

A request that is Chat Completions and nothing else is decoded in one pass; any other is rewritten first, and errors and
notices then name what the client wrote.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest, FieldNames
from modelmux.dialects.openai_chat.normalise.body import normalise
from modelmux.dialects.openai_chat.request import to_claude_request
from modelmux.dialects.openai_shared.foreign.rewrite import Rewrite, in_client_terms
from modelmux.errors import InvalidRequest
from modelmux.wire.openai.chat_request import ChatRequest, convert_request, decode_object, decode_plain
from modelmux.wire.sliced_json import needs_slices

_TYPES: Final = ("function", "custom")


def decode(body: bytes) -> tuple[ChatRequest, ClaudeRequest, ReplyPlan]:
    """
    :returns: the request in Chat Completions' form, the request for Claude, and how to present the reply.
    :raises InvalidRequest: with the client's path of what is wrong.
    """
    request = decode_plain(body)
    if request is not None and all(tool.type in _TYPES for tool in request.tools or ()):
        return request, *to_claude_request(request)
    rewrite = Rewrite()
    value = normalise(decode_object(body), rewrite)
    try:
        request, unknown = convert_request(value, is_large=needs_slices(body))
        translated, plan = to_claude_request(request, unknown)
    except InvalidRequest as error:
        raise in_client_terms(error, rewrite) from None
    return request, _located(translated, rewrite), plan


def _located(request: ClaudeRequest, rewrite: Rewrite) -> ClaudeRequest:
    """The request with the client's paths in everything that names a place."""
    path, fields = rewrite.client_path, request.fields
    names = replace(
        fields,
        max_tokens=tuple(map(path, fields.max_tokens)),
        tools={name: path(position) for name, position in fields.tools.items()},
        tool_members=_schemas(fields, rewrite),
        answer_format=path(fields.answer_format),
        answer_schema=path(fields.answer_schema),
        web_search=path(fields.web_search),
    )
    notices = (notice._replace(field=path(notice.field)) for notice in request.notices)
    return replace(
        request,
        late_system=tuple(replace(turn, fields=tuple(map(path, turn.fields))) for turn in request.late_system),
        remote_files=tuple(replace(f, field=path(f.field)) for f in request.remote_files),
        fields=names,
        origins=request.origins.in_client_terms(path),
        notices=(*rewrite.notices.items, *notices),
    )


def _schemas(fields: FieldNames, rewrite: Rewrite) -> dict[str, str]:
    """The paths of schemas of tools that have another name than ``parameters``, or another place."""
    schemas = {
        f"{rewrite.client_path(position)}.{fields.tool_schema}": rewrite.client_path(f"{position}.{fields.tool_schema}")
        for position in fields.tools.values()
    }
    return {usual: own for usual, own in schemas.items() if own != usual}
