"""Types of tools that Chat Completions cannot carry, and what to do instead."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final

from modelmux.dialects.openai_shared.foreign.rewrite import is_type_name, unknown_value
from modelmux.errors import InvalidRequest

#: What is taken. Web search has more spellings.
TYPES: Final = ("function", "custom", "web_search")
#: Anthropic's tools that Claude on Vertex AI knows by their type alone. Their calls have a form of their own, which
#: Messages has.
_OF_MESSAGES: Final = re.compile(r"(bash|text_editor|computer|memory|tool_search_tool(_regex|_bm25)?)(_\d{8})?")
#: How similar a type has to be to one that is taken, from 0 to 1.
_SIMILARITY: Final = 0.8
#: Characters of a type that are compared.
_LONGEST: Final = 64


def unsupported_type(kind: str, field: str) -> InvalidRequest:
    """The error for a type of tool that has no counterpart, with the way there is.

    :param field: path of the type.
    """
    taken = f"Types that are taken: {', '.join(TYPES)}."
    if _OF_MESSAGES.fullmatch(kind):
        return InvalidRequest(
            f"Chat Completions has no tools of type '{kind}'.",
            param=field,
            hint=f"Use /v1/messages, which takes Anthropic's tools, or declare a function. {taken}",
        )
    if get_close_matches(kind[:_LONGEST].lower(), TYPES, 1, _SIMILARITY):
        return unknown_value(kind, field, TYPES)
    named = f"type '{kind}'" if is_type_name(kind) else "this type"
    return InvalidRequest(
        f"Vertex AI does not support tools of {named}.", param=field, hint=f"Declare a function. {taken}"
    )
