"""The input of a tool call as the text that clients get."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from modelmux.wire import anthropic


def arguments_of(block: anthropic.Block) -> str:
    """The argument text of a tool_use block; ``{}`` for none.

    Raw JSON is not validated as UTF-8; an invalid byte is replaced instead of failing the reply.
    """
    return bytes(block.input).decode("utf-8", "replace") if isinstance(block.input, Raw) else "{}"


def initial_arguments(block: anthropic.Block) -> str:
    """The argument text that came with the start of a block: used if no delta brings any. Empty for ``{}``."""
    arguments = arguments_of(block)
    return "" if arguments.strip() == "{}" else arguments


def free_text(arguments: str) -> str:
    """The text given to a custom tool: the string in its arguments, or the arguments unchanged if they are
    truncated."""
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    text = value.get("input") if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments
