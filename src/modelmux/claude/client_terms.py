"""What Claude says about a request, in the terms of the client that made it.

Claude names places of the request that it got (``tools.3.custom.input_schema``). The client sent another one: fields
have other names, tools were added or left out, messages were merged. So each place is replaced by the client's own
path, with the name of the tool, or the kind of block, that it is about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from modelmux.claude.conversation import without_wrapper
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
_POSITION: Final = re.compile(r"(?<![\w.-])(tools|messages|system)\.(\d{1,6})((?:\.[A-Za-z0-9_$-]{1,200}){0,12})")
#: Fields that have another name for a client. None of them is a word of a sentence.
_FIELD: Final = re.compile(
    r"\Asystem(?=: )|(?<![\w.-])(?:max_tokens|stop_sequences(?:\.\d{1,6})?|metadata\.user_id|tool_choice\.name"
    r"|thinking(?:\.(?:enabled|adaptive|disabled))?(?:\.(?:budget_tokens|type))|output_config\.effort"
    r"|output_config\.format\.schema|output_config\.format)(?![\w-]|\.\w)"
)
#: A name or an id, as a whole.
_WHOLE: Final = r"(?<![\w.-])(?:{})(?![\w-])"
#: Parts of a tool's path that stand for its type, not for a field.
_TOOL_TYPES: Final = ("custom", "function")
#: The end of the path of a message's part.
_PART: Final = re.compile(r"\.content\.\d+\Z")
_MEDIA: Final = ("media",)
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
    own = {**plan.tool_names, **request.fields.tool_names, **request.client_ids}

    def place(match: re.Match[str]) -> str:
        index, rest = int(match[2]), match[3].split(".")[1:]
        if match[1] == "tools":
            named = _tool(index, rest, request, body, plan)
        else:
            named = _system(index, request, body) if match[1] == "system" else _block(index, rest, request, body)
        if named is None:
            return match[0]
        params.append(named.param)
        return named.words

    def replaced(match: re.Match[str]) -> str:
        if match[1] is not None:
            return place(match)
        field = _field(match[0], request, body)
        if field is not None:
            params.append(field)
            return field
        return own.get(match[0], match[0])

    names = sorted(map(re.escape, own), key=len, reverse=True)
    tokens = [_WHOLE.format("|".join(names))] if names else []
    told = re.sub("|".join((_POSITION.pattern, _FIELD.pattern, *tokens)), replaced, message)
    param = params[0] if params else None
    keys = plan.property_names
    return with_client_keys(told, keys), None if param is None else with_client_keys(param, keys)


def with_client_keys(text: str, names: Mapping[str, Mapping[str, str]]) -> str:
    """A sentence, or a path, with the client's property keys in the place of those that they were renamed to.

    :param names: see ``ReplyPlan.property_names``.
    """
    keys = {new: key for tool in names.values() for new, key in tool.items()}
    if not keys:
        return text
    longest_first = sorted(keys, key=len, reverse=True)
    pattern = rf"(?:{'|'.join(map(re.escape, longest_first))})(?![A-Za-z0-9_-])"
    return re.sub(pattern, lambda match: keys[match[0]], text)


def _field(name: str, request: ClaudeRequest, body: MessagesRequest) -> str | None:
    """The client's field, which it has sent; None if there is none, or if this is no field."""
    fields = request.fields
    if name.startswith("stop_sequences"):
        index = int(name.rpartition(".")[2]) if "." in name else len(fields.stop_paths)
        return fields.stop_paths[index] if index < len(fields.stop_paths) else fields.stop
    if name.startswith("thinking."):
        return fields.reasoning
    if name == "system":
        system = _system(0, request, body)
        return None if system is None else system.param
    known = {
        "max_tokens": fields.max_tokens[0] if fields.max_tokens else None,
        "output_config.format": fields.answer_format,
        "output_config.format.schema": fields.answer_schema,
        "output_config.effort": fields.reasoning,
        "metadata.user_id": fields.user,
        "tool_choice.name": "tool_choice",
    }
    return known.get(name)


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
    if below:
        member = fields.tool_schema if below[0] == "input_schema" else below[0]
        path = fields.tool_member(tool.name, member)
    param = ".".join([path, *below[1:]])
    own_name = fields.tool_names.get(tool.name, plan.tool_names.get(tool.name, tool.name))
    return _Named(f"tool '{own_name}' ({param})", param)


def _system(index: int, request: ClaudeRequest, body: MessagesRequest) -> _Named | None:
    """A block of the system prompt, which the gateway may have added."""
    if index >= len(body.system or ()):
        return None
    field = request.fields.messages
    path = next((path for made, path in request.origins if made == ("system", index)), None)
    return _Named(f"the system prompt ({field})", field) if path is None else _Named(path, path)


def _block(index: int, rest: Sequence[str], request: ClaudeRequest, body: MessagesRequest) -> _Named | None:
    if index >= len(body.messages):
        return None
    content = body.messages[index].content
    if len(rest) < 2 or rest[0] != "content" or not rest[1].isdigit():
        return _Named(*_turn(content, request, body))
    if int(rest[1]) >= len(content):
        return None
    block = content[int(rest[1])]
    if isinstance(block, ToolUseBlock):
        return _call(f"tool call '{_own_id(block.id, request)}'", _origin(block, request, body))
    if isinstance(block, ToolResultBlock):
        words = f"the result of tool call '{_own_id(block.tool_use_id, request)}'"
        return _part(block, rest[2:], request) or _call(words, _origin(block, request, body))
    path, kind = _origin(block, request, body), _KINDS.get(type(block))
    if path is None:
        return _Named(f"the {kind or 'content'} of a message ({request.fields.messages})", request.fields.messages)
    return _content(block, path)


def _call(words: str, path: str | None) -> _Named:
    return _Named(f"{words} ({path})" if path else words, path)


def _content(block: Any, path: str) -> _Named:
    kind = _KINDS.get(type(block))
    return _Named(f"the {kind} in {path}" if kind else path, path)


def _part(result: ToolResultBlock, rest: Sequence[str], request: ClaudeRequest) -> _Named | None:
    """A block inside of a tool's result; None if the place is the whole result."""
    rest = rest[1:] if rest and rest[0] == "tool_result" else rest
    parts = result.content
    if len(rest) < 2 or rest[0] != "content" or not rest[1].isdigit() or not isinstance(parts, list):
        return None
    key = ("part", result.tool_use_id, int(rest[1]))
    path = next((path for made, path in request.origins if made == key), None)
    return None if path is None or key[2] >= len(parts) else _content(parts[key[2]], path)


def _own_id(id: str, request: ClaudeRequest) -> str:
    return request.client_ids.get(id, id)


def _turn(content: Sequence[Any], request: ClaudeRequest, body: MessagesRequest) -> _Named:
    """A turn is made of one or more messages: the first that is known."""
    path = next(filter(None, (_origin(block, request, body) for block in content)), None)
    path = request.fields.messages if path is None else _PART.sub("", path)
    return _Named(path, path)


def _origin(block: Any, request: ClaudeRequest, body: MessagesRequest) -> str | None:
    """The part or the message that a block came from; None if the gateway added it, or if it cannot be told.

    Blocks that are alike keep their order.
    """
    key = _key(block)
    came = [path for made, path in request.origins if _key(made) == key]
    if key is None or not came:
        return None
    sent = [one for message in body.messages for one in message.content if _key(one) == key]
    if len(came) == len(sent):
        return came[next(n for n, one in enumerate(sent) if one is block)]
    return came[0] if key != _MEDIA and len(set(came)) == 1 else None


def _key(block: Any) -> tuple[str, ...] | None:
    """What tells a block from others, whatever was changed about it. What an image or a document holds may have been
    downloaded since."""
    if isinstance(block, ToolUseBlock):
        return "call", block.id
    if isinstance(block, ToolResultBlock):
        return "result", block.tool_use_id
    if isinstance(block, TextBlock):
        return "text", without_wrapper(block.text)
    return _MEDIA if type(block) in _KINDS else None
