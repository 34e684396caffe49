"""``response_format``: native structured output where the model and the schema allow it, a forced tool where not.

``json_object`` has no native form: an instruction asks for it, and code fences are stripped from the answer, also
while it streams.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from modelmux.claude.context import Context
from modelmux.claude.identifiers import clean
from modelmux.claude.schema.root import object_root
from modelmux.claude.schema.subset import Subset, to_subset
from modelmux.dialects.openai_chat.tools import moved
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.chat_request import ChatRequest, JSONSchemaFormat

#: Part of the prompt prefix, so it never changes from turn to turn.
JSON_INSTRUCTION: Final = "Answer with one JSON object and nothing else: no text before or after it and no code fences."
_SCHEMA: Final = "response_format.json_schema.schema"


class Structured(NamedTuple):
    """How the asked-for form is brought about; all empty when none was asked for.

    :param format: value of ``output_config.format``.
    :param tool: the tool whose input is the answer.
    :param instruction: a system block to add.
    :param subset: what ``format`` was made from.
    """

    format: dict[str, Any] | None = None
    tool: anthropic.Tool | None = None
    instruction: str | None = None
    subset: Subset | None = None


def translate_format(request: ChatRequest, ctx: Context) -> Structured:
    """What ``response_format`` asks for, in a form the model has.

    :raises InvalidRequest: an unknown type, no schema, or a schema for which there is no way.
    """
    asked = request.response_format
    if asked is None or asked.type == "text":
        return Structured()
    if asked.type == "json_object":
        return Structured(instruction=JSON_INSTRUCTION)
    if asked.type != "json_schema":
        raise InvalidRequest(
            "Unknown 'response_format.type'.",
            param="response_format.type",
            hint="Use text, json_object or json_schema.",
        )
    if asked.json_schema is None or asked.json_schema.schema is None:
        raise InvalidRequest("'response_format' has no schema.", param=_SCHEMA, hint="Send the JSON schema to follow.")
    return _by_schema(asked.json_schema, asked.json_schema.schema, ctx)


def _by_schema(asked: JSONSchemaFormat, schema: dict[str, Any], ctx: Context) -> Structured:
    subset = to_subset(_described(schema, asked.description))
    why = subset.unfit or ("" if ctx.card.structured_output else "this model has no structured output")
    if not why:
        if subset.moved:
            ctx.notices.add("changed", _SCHEMA, moved(subset))
        return Structured(format={"type": "json_schema", "schema": subset.schema}, subset=subset)
    if ctx.card.forced_tool_choice == "reject":
        raise InvalidRequest(
            f"The schema cannot be followed: {why}.", param=_SCHEMA, hint="Simplify it, or choose another model."
        )
    root = object_root(schema, _SCHEMA)
    if root.other:
        raise InvalidRequest(
            f"The schema cannot be followed: {why}, and its root is not always an object.",
            param=_SCHEMA,
            hint="Make the root an object.",
        )
    ctx.notices.add("changed", _SCHEMA, f"Followed by way of a tool call, because {why}. {root.change}".strip())
    name = clean(asked.name or "answer")
    description = asked.description or "Gives the answer. Call it exactly once."
    return Structured(tool=anthropic.Tool(name, root.schema, description))


def _described(schema: dict[str, Any], description: str | None) -> dict[str, Any]:
    """The schema with the description of the form, for which the native form has no other place."""
    if not description:
        return schema
    own = schema.get("description")
    said = f"{description}\n\n{own}" if isinstance(own, str) and own and own != description else description
    return {**schema, "description": said}


# Every run is bounded, so that what is held back is too: a model may well end in white space without end.
_OPENING: Final = re.compile(r"\s{0,64}```[A-Za-z0-9_-]{0,64}[ \t]{0,64}\r?\n?")
_MAYBE_OPENING: Final = re.compile(r"\s{0,64}(`{0,2}|```[A-Za-z0-9_-]{0,64}[ \t]{0,64}\r?)\Z")
_MAYBE_CLOSING: Final = re.compile(r"\s{0,64}(`{1,3}\s{0,64})?\Z")
_CLOSING: Final = re.compile(r"\s{0,64}```\s{0,64}\Z")
#: The longest match of the closing ones.
_TAIL: Final = 64 + 3 + 64


class FenceStripper:
    """Takes a code fence off around a text that arrives in pieces; a text without one passes unchanged.

    Holds back only what may still turn out to be a fence.
    """

    __slots__ = ("_begun", "_fenced", "_held")

    def __init__(self) -> None:
        self._held = ""
        self._begun = False
        self._fenced = False

    def feed(self, text: str) -> str:
        """The part of the text so far that is certain."""
        self._held += text
        if not self._begun:
            if _MAYBE_OPENING.match(self._held):
                return ""
            self._begun = True
            opening = _OPENING.match(self._held)
            if opening:
                self._fenced = True
                self._held = self._held[opening.end() :]
        if not self._fenced:
            return self._release(len(self._held))
        tail = _MAYBE_CLOSING.search(self._held, max(0, len(self._held) - _TAIL))
        return self._release(tail.start() if tail else len(self._held))

    def finish(self) -> str:
        """What was held back and is no fence."""
        if self._fenced:
            self._held = _CLOSING.sub("", self._held)
        elif not self._begun:
            self._held = _OPENING.sub("", self._held, count=1)
        return self._release(len(self._held))

    def _release(self, end: int) -> str:
        out, self._held = self._held[:end], self._held[end:]
        return out


def strip_fences(text: str) -> str:
    """The same for a text that is there as a whole."""
    stripper = FenceStripper()
    return stripper.feed(text) + stripper.finish()
