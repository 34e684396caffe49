"""Which tools a request calls, how often, and with which arguments.

A tool is called when the text says its name, or the telling words of it, or two words of its description. Several
places in one sentence make several calls of the same tool; "then" makes the calls one after another.
"""

from __future__ import annotations

import re
from typing import Any, Final

from modelmux.emulator.call import Call
from modelmux.emulator.fill import Filler
from modelmux.emulator.hints import Hints
from modelmux.emulator.prompt import blocks_of, messages_of


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\s_.\-/]+")
_DULL: Final = _words(
    """
    a all an and api by call check create current data delete do execute fetch find for from
    function get given in info information into is it list lookup make my new of on or output
    perform provider read retrieve return returns run set show some structured tell that the this to
    tool update use used user using value with your
    """
)
_NO_TOOLS: Final = re.compile(
    r"\b(?:without|no|don'?t (?:use|call)|do not (?:use|call)) (?:any |the |a )?tools?\b", re.IGNORECASE
)
_SEQUENCE: Final = re.compile(
    r"\bthen\b|\bafter that\b|\bone (?:at a time|after (?:another|the other))\b|\bstep by step\b", re.IGNORECASE
)
_PLACES: Final = ("city", "location", "place", "country", "town", "destination", "timezone", "name", "symbol", "ticker")
#: Arguments of Anthropic's own client tools, which come without a schema.
BUILTIN_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "bash": {
        "type": "object",
        "properties": {"command": {"type": "string", "default": "ls -la"}},
        "required": ["command"],
    },
    "memory": {
        "type": "object",
        "properties": {"command": {"enum": ["view"]}, "path": {"type": "string", "default": "/memories"}},
        "required": ["command", "path"],
    },
    "computer": {"type": "object", "properties": {"action": {"enum": ["screenshot"]}}, "required": ["action"]},
    "text_editor": {
        "type": "object",
        "properties": {"command": {"enum": ["view"]}, "path": {"type": "string", "default": "README.md"}},
        "required": ["command", "path"],
    },
}

Planned = tuple[str, dict[str, Any]]


def plan(call: Call, question: str) -> list[Planned]:
    """The tool calls of this reply as (name, input); empty when it should answer in words."""
    tools = [tool for tool in call.tools if is_client_tool(tool)]
    choice = call.tool_choice.get("type", "auto")
    if not tools or choice == "none":
        return []
    hints = Hints(question)
    if choice == "tool":
        chosen = [tool for tool in tools if tool.get("name") == call.tool_choice.get("name")]
    else:
        chosen = _mentioned(tools, hints)
        if not chosen and choice == "any":
            chosen = tools[:1]
    calls = [planned for tool in chosen for planned in _calls_of(tool, hints, alone=len(chosen) == 1)]
    return _left_to_do(call, calls, forced=call.forced, in_sequence=bool(_SEQUENCE.search(question)))


def is_client_tool(tool: dict[str, Any]) -> bool:
    """Whether the client runs it: its own tools, and Anthropic's bash, editor, memory and computer tools."""
    return not str(tool.get("type") or "custom").startswith(("web_", "tool_search_", "code_execution"))


def _left_to_do(call: Call, calls: list[Planned], *, forced: bool, in_sequence: bool) -> list[Planned]:
    """What is still to be called in this turn: all at once, or the next one when they come one at a time."""
    one_at_a_time = in_sequence or call.tool_choice.get("disable_parallel_tool_use") is True
    made = _made_in_this_turn(call)
    if one_at_a_time:
        return calls[made : made + 1] or (calls[:1] if forced else [])
    return calls if not made or forced else []


def _made_in_this_turn(call: Call) -> int:
    """Tool calls since the user last said something that is not a mere tool result."""
    made = 0
    for message in reversed(messages_of(call.body)):
        blocks = blocks_of(message)
        if message.get("role") == "assistant":
            made += sum(1 for block in blocks if block.get("type") == "tool_use")
        elif message.get("role") == "user" and any(block.get("type") != "tool_result" for block in blocks):
            has_results = any(block.get("type") == "tool_result" for block in blocks)
            if not has_results:
                break
    return made


def _mentioned(tools: list[dict[str, Any]], hints: Hints) -> list[dict[str, Any]]:
    """The tools a text calls for, strongest sign first: names, then words of names, then words of descriptions."""
    if not hints.text or _NO_TOOLS.search(hints.text):
        return []
    named = [tool for tool in tools if hints.mentions(_name(tool))]
    if named:
        return named
    hinted = [tool for tool in tools if any(_says(hints, word) for word in _telling(_name(tool)))]
    if hinted:
        return hinted
    described = [(sum(_says(hints, w) for w in _telling(str(tool.get("description", "")))), tool) for tool in tools]
    best = max((score for score, _ in described), default=0)
    return [tool for score, tool in described if score == best][:1] if best >= 2 else []


def _calls_of(tool: dict[str, Any], hints: Hints, *, alone: bool) -> list[Planned]:
    schema = schema_of(tool)
    properties = schema.get("properties")
    place_like = isinstance(properties, dict) and any(
        any(word in key.lower() for word in _PLACES) and isinstance(p, dict) and p.get("type") == "string"
        for key, p in properties.items()
    )
    own = _telling(_name(tool))
    names = [place for place in hints.places if place.lower() not in own]
    groups = [names]
    if place_like and len(names) > 1:
        groups = [[name] for name in names] if alone else [names[:1]]
    return [(_name(tool), _arguments(schema, hints, places)) for places in groups]


def _arguments(schema: dict[str, Any], hints: Hints, places: list[str]) -> dict[str, Any]:
    filled = Filler(schema, hints, everything=False, places=places).value()
    return filled if isinstance(filled, dict) else {}


def schema_of(tool: dict[str, Any]) -> dict[str, Any]:
    """The schema of a tool's input; Anthropic's own tools have a known one."""
    given = tool.get("input_schema")
    if isinstance(given, dict):
        return given
    kind = str(tool.get("type", ""))
    return next((schema for prefix, schema in BUILTIN_SCHEMAS.items() if kind.startswith(prefix)), {"type": "object"})


def _name(tool: dict[str, Any]) -> str:
    return str(tool.get("name", ""))


def _telling(text: str) -> set[str]:
    words = {word.lower().strip(".,:;()'\"") for word in _CAMEL.split(text)}
    return {word for word in words if len(word) > 2 and word not in _DULL}


def _says(hints: Hints, word: str) -> bool:
    return hints.mentions(word) or hints.mentions(word + "s") or (word.endswith("s") and hints.mentions(word[:-1]))
