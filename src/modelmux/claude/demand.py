"""What a request may use at most, read from the body that is about to be sent.

The body is not decoded as a whole: of a large one, only what is read here is looked at. Text counts as a token for
every two bytes, where it takes three to four (``claude/token_estimate.py``), files by their pixels and pages.
"""

from __future__ import annotations

import math
import re
from operator import attrgetter
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from modelmux.catalog import ModelCard
from modelmux.claude.native import NativeRequest
from modelmux.claude.token_estimate import estimate_tokens

_BYTES_PER_TOKEN: Final = 2.0
#: Around the text of every request; and of every PDF beside what is estimated for its pages.
_PDF: Final = 2_500
_FLOOR: Final = 64
_PDF_MARKS: Final = (b'"application/pdf"', b'"application\\/pdf"')
#: Tokens of the instructions that the API adds for a field of the request, and for documents with citations.
_INSTRUCTIONS: Final = {
    "tools": 600,
    "output_format": 200,
    "output_config": 200,
    "context_management": 80,
    "thinking": 50,
}
_CITATIONS: Final = 600
_RAW: Final = tuple(name for name in _INSTRUCTIONS if name != "tools")
#: Of each tool: of the client's, and of one that brings its own description.
_TOOL: Final = 50
_SERVER_TOOL: Final = 2_200
#: Searches of a tool that has no limit, and the tokens that the result of each adds to the prompt.
_SEARCHES: Final = 10
_SEARCH_TOKENS: Final = 20_000
#: More searches than one reply has room for: the results of all of them are in its prompt.
_MOST_SEARCHES: Final = 10_000
#: More than any limit of tokens or searches: amounts of what a client makes up have to fit in 64 bits.
_LARGE: Final = 10**9

#: The longest time for which a part of the prompt is written to the cache.
Writes = Literal["none", "5m", "1h"]


class Demand(Struct, frozen=True, kw_only=True):
    """Tokens and searches, at most.

    :param output: thinking included.
    :param fast: it asks for fast mode.
    """

    prompt: int
    output: int
    writes: Writes = "none"
    searches: int = 0
    fast: bool = False


class _Tool(Struct):
    type: str | None = None
    max_uses: int | None = None


class _Body(Struct):
    max_tokens: int | None = None
    speed: str | None = None
    tools: list[_Tool] | None = None
    thinking: Raw | None = None
    output_config: Raw | None = None
    output_format: Raw | None = None
    context_management: Raw | None = None


#: What adds to the prompt, wherever it is. One pass finds all of it: of plain text, in a quarter of the time of four.
#: The quote that ends a mark is not taken, since it may begin the next one.
_MARKS: Final = re.compile(rb'"(?:application|(?:citations|cache_control|base64)(?="))')
#: Letters, digits and what else marks consist of, escaped: clients have no reason to. A backslash that is itself
#: escaped begins none.
_ESCAPED: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u00(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|[25][Ff])")
_decode: Final = msgspec.json.Decoder(_Body).decode
_instructed: Final = attrgetter(*_INSTRUCTIONS)
_UNINSTRUCTED: Final = (None,) * len(_INSTRUCTIONS)


def demand_of(body: bytes, card: ModelCard) -> Demand:
    """
    :param body: a Messages request, in the form in which it is sent.
    """
    if b"\\" in body and b"\\u00" in body and _ESCAPED.search(body):
        plain = msgspec.json.encode(msgspec.json.decode(body))
        as_plain, as_sent = _demand_of_plain(plain, card), _text_tokens(body, card, b'"base64"' in body)
        return replace(as_plain, prompt=max(as_plain.prompt, as_sent))
    return _demand_of_plain(body, card)


def _demand_of_plain(body: bytes, card: ModelCard) -> Demand:
    """:param body: no mark of it is escaped."""
    try:
        read = _decode(body)
    except msgspec.ValidationError:  # values of other types
        read = _read(msgspec.json.decode(body))
    added, searches, marks = _FLOOR, 0, _MARKS.findall(body)
    if read.tools:
        servers = [tool for tool in read.tools if tool.type not in (None, "custom")]
        uses = sum(_uses(tool) for tool in servers if str(tool.type).startswith("web_search"))
        searches = min(uses, _MOST_SEARCHES)
        added += _TOOL * len(read.tools) + _SERVER_TOOL * len(servers) + searches * _SEARCH_TOKENS
    if _instructed(read) != _UNINSTRUCTED:
        added += sum(tokens for name, tokens in _INSTRUCTIONS.items() if getattr(read, name) is not None)
    writes: Writes = "none"
    if marks:
        if b'"citations' in marks:
            added += _CITATIONS
        if b'"application' in marks:
            added += _PDF * sum(body.count(mark) for mark in _PDF_MARKS)
        if b'"cache_control' in marks:
            writes = "1h" if b'"1h"' in body else "5m"
    has_files = b'"base64' in marks
    window = max(card.context_window, card.beta_context_window or 0)
    rounds = 1 + searches  # each round reads the prompt again, and none is longer than the window
    return Demand(
        prompt=min(_text_tokens(body, card, has_files) + added, window * rounds),
        output=card.max_output if read.max_tokens is None else min(max(read.max_tokens, 0), _LARGE),
        writes=writes,
        searches=searches,
        fast=read.speed == "fast",
    )


def _read(body: Any) -> _Body:
    """What is of the right type, and numbers written in another way. The rest counts as if it was not there."""

    def text(value: Any) -> str | None:
        return value if isinstance(value, str) else None

    def number(value: Any) -> int | None:
        return math.ceil(min(max(value, 0), _LARGE)) if isinstance(value, int | float) else None

    fields = body if isinstance(body, dict) else {}
    tools = fields.get("tools")
    read = [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    return _Body(
        number(fields.get("max_tokens")),
        text(fields.get("speed")),
        [_Tool(text(tool.get("type")), number(tool.get("max_uses"))) for tool in read],
        **{name: Raw() for name in _RAW if fields.get(name) is not None},
    )


def _uses(tool: _Tool) -> int:
    return _SEARCHES if tool.max_uses is None else max(0, tool.max_uses)


def _text_tokens(body: bytes, card: ModelCard, has_files: bool) -> int:
    if not has_files:
        return int(len(body) / _BYTES_PER_TOKEN)
    content = msgspec.json.decode(body)
    return estimate_tokens(NativeRequest(body, content, []), card, bytes_per_token=_BYTES_PER_TOKEN)
