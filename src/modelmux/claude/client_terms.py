"""What Claude says about a request, in the terms of the client that made it.

Claude names places of the request that it got (``tools.3.custom.input_schema``). The client sent another one: fields
have other names, tools were added or left out, messages were merged. So each place is replaced by the client's own
path, with the name of the tool, or the kind of block, that it is about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest
from modelmux.wire.anthropic import (
    DocumentBlock,
    ImageBlock,
    MessagesRequest,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    WebSearch,
)

#: The longest places that are known have six parts.
_POSITION: Final = re.compile(r"\b(tools|messages)\.(\d{1,6})((?:\.[A-Za-z0-9_$-]{1,200}){0,12})")
_TOP_LEVEL: Final = re.compile(r"^(max_tokens|output_config\.format\.schema|output_config\.format)(?=[:. ])")
#: Parts of a tool's path that stand for its type, not for a field.
_TOOL_TYPES: Final = ("custom", "function")
_KINDS: Final[dict[Any, str]] = {ImageBlock: "image", DocumentBlock: "document"}


class _Named(NamedTuple):
    """A place for people, and the client's field; None where it has none."""

    words: str
    param: str | None


def in_client_terms(
    message: str, request: ClaudeRequest, body: MessagesRequest, plan: ReplyPlan
) -> tuple[str, str | None]:
    """A sentence of the upstream with the client's places, and the field that the first of them is.

    :param body: what was sent.
    """
    params: list[str | None] = []

    def replaced(match: re.Match[str]) -> str:
        index, rest = int(match[2]), match[3].split(".")[1:]
        named = _tool(index, rest, request, body, plan) if match[1] == "tools" else _block(index, rest, request, body)
        if named is None:
            return match[0]
        params.append(named.param)
        return named.words

    told = _POSITION.sub(replaced, message)
    if not params:
        told = _TOP_LEVEL.sub(lambda match: _field(match[1], request, params), told)
    return told, params[0] if params else None


def _field(name: str, request: ClaudeRequest, params: list[str | None]) -> str:
    fields = request.fields
    known = {
        "max_tokens": fields.max_tokens[0] if fields.max_tokens else None,
        "output_config.format": fields.answer_format,
        "output_config.format.schema": fields.answer_schema,
    }
    params.append(known[name])
    return known[name] or name


def _tool(
    index: int, rest: Sequence[str], request: ClaudeRequest, body: MessagesRequest, plan: ReplyPlan
) -> _Named | None:
    tools, fields = body.tools or [], request.fields
    if index >= len(tools):
        return None
    tool = tools[index]
    rest = rest[1:] if rest and rest[0] in _TOOL_TYPES else rest
    below = list(rest)
    if isinstance(tool, WebSearch):
        return _Named(f"the web search ({fields.web_search})", fields.web_search)
    path = fields.tools.get(tool.name)
    if path is None:  # made by the gateway, for the format of the answer
        return _Named(f"the format of the answer ({fields.answer_schema})", fields.answer_schema)
    if below and below[0] == "input_schema":
        below[0] = fields.tool_schema
    param = ".".join([path, *below])
    return _Named(f"tool '{plan.tool_names.get(tool.name, tool.name)}' ({param})", param)


def _block(index: int, rest: Sequence[str], request: ClaudeRequest, body: MessagesRequest) -> _Named | None:
    if index >= len(body.messages):
        return None
    content = body.messages[index].content
    if len(rest) < 2 or rest[0] != "content" or not rest[1].isdigit():
        return _Named(*_turn(content, request))
    if int(rest[1]) >= len(content):
        return None
    block = content[int(rest[1])]
    if isinstance(block, ToolUseBlock | ToolResultBlock):
        path = _origin(block, request)
        id = block.id if isinstance(block, ToolUseBlock) else block.tool_use_id
        own = request.client_ids.get(id, id)
        words = f"tool call '{own}'" if isinstance(block, ToolUseBlock) else f"the result of tool call '{own}'"
        return _Named(f"{words} ({path})" if path else words, path)
    kind = _KINDS.get(type(block))
    path = _origin(block, request) if kind is None else _media_origin(block, request, body)
    if path is None:
        return _Named(f"the {kind or 'content'} of a message ({request.fields.messages})", request.fields.messages)
    return _Named(f"the {kind} in {path}" if kind else path, path)


def _turn(content: Sequence[Any], request: ClaudeRequest) -> _Named:
    """A turn is made of one or more messages: the first that is known."""
    path = next(filter(None, (_origin(block, request) for block in content)), None)
    return _Named(path or request.fields.messages, path or request.fields.messages)


def _origin(block: Any, request: ClaudeRequest) -> str | None:
    """The message that a block came from; None if the gateway added it."""
    key = _key(block)
    return None if key is None else next((path for made, path in request.origins if _key(made) == key), None)


def _media_origin(block: Any, request: ClaudeRequest, body: MessagesRequest) -> str | None:
    """Of images and documents, which keep their order: what they hold may have been downloaded since."""
    sent = [one for message in body.messages for one in message.content if type(one) in _KINDS]
    came = [path for made, path in request.origins if type(made) in _KINDS]
    position = next(n for n, one in enumerate(sent) if one is block)
    return came[position] if len(came) == len(sent) else None


def _key(block: Any) -> tuple[str, str] | None:
    """What tells a block from others, whatever was changed about it."""
    if isinstance(block, ToolUseBlock):
        return "call", block.id
    if isinstance(block, ToolResultBlock):
        return "result", block.tool_use_id
    return ("text", block.text) if isinstance(block, TextBlock) else None
