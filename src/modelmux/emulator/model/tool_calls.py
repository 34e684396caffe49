"""Which tools the emulated model calls, how often, and with which arguments.

It calls the tools that the text names; if there are none, those with a word of their name in the text. Several names in
one sentence, such as cities, make several calls of the same tool; "then" makes the calls sequential.

A tool with a property ``prompt`` delegates: its client may start a conversation with that prompt and the same tools. So
that this ends, it is called only by its exact name, and not in a conversation that such a call has started.
"""

from __future__ import annotations

import re
from typing import Any, Final

from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.model.phrases import Phrases
from modelmux.emulator.model.prompt import blocks_of, messages_of, user_text
from modelmux.emulator.model.schema_sample import SchemaSampler
from modelmux.emulator.model.tool_search import hidden_tools


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\s_.\-/]+")
_STOP_WORDS: Final = _words(
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
#: How a delegated prompt begins; a client may put lines of its own before it.
_DELEGATED: Final = "Delegated: "
_IS_DELEGATED: Final = re.compile(rf"^{_DELEGATED}", re.MULTILINE)
#: Keywords of a schema that a mark could violate.
_FIXED: Final = frozenset({"const", "enum", "pattern", "format"})
_NAME_PROPERTIES: Final = (
    "city",
    "location",
    "place",
    "country",
    "town",
    "destination",
    "timezone",
    "name",
    "symbol",
    "ticker",
)
#: Schemas of Anthropic's own client tools, whose definitions have none.
_BUILTIN_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
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

PlannedCall = tuple[str, dict[str, Any]]


def plan_calls(call: EmulatedCall, question: str) -> list[PlannedCall]:
    """The tool calls of this reply as (name, input); empty if it should reply with text."""
    tools = [tool for tool in call.tools if _is_client_tool(tool)]
    choice = call.tool_choice.get("type", "auto")
    if not tools or choice == "none":
        return []
    phrases = Phrases(question)
    if choice == "tool":
        chosen = [tool for tool in tools if tool.get("name") == call.tool_choice.get("name")]
    else:
        hidden = hidden_tools(call)
        known = [tool for tool in tools if tool.get("name") not in hidden]
        delegated = _is_delegated(call)
        chosen = _tools_mentioned([tool for tool in known if not (delegated and _delegates(tool))], phrases)
        if not chosen and choice == "any":
            chosen = tools[:1]
    calls = [planned for tool in chosen for planned in _calls_of(tool, phrases, alone=len(chosen) == 1)]
    return _remaining_calls(call, calls, forced=call.forced, in_sequence=bool(_SEQUENCE.search(question)))


def _is_client_tool(tool: dict[str, Any]) -> bool:
    """Whether the client runs the tool: its own, and Anthropic's bash, editor, memory and computer tools."""
    return not str(tool.get("type") or "custom").startswith(("web_", "tool_search_", "code_execution"))


def _remaining_calls(
    call: EmulatedCall, calls: list[PlannedCall], *, forced: bool, in_sequence: bool
) -> list[PlannedCall]:
    """The calls still to be made in this turn: all of them, or the next one if they are sequential."""
    one_at_a_time = in_sequence or call.tool_choice.get("disable_parallel_tool_use") is True
    done = _calls_in_this_turn(call)
    if one_at_a_time:
        return calls[done : done + 1] or (calls[:1] if forced else [])
    return calls if not done or forced else []


def _calls_in_this_turn(call: EmulatedCall) -> int:
    """Tool calls since the last message of the user without tool results; text that the client adds does not count."""
    count = 0
    for message in reversed(messages_of(call.body)):
        blocks = blocks_of(message)
        if message.get("role") == "assistant":
            count += sum(1 for block in blocks if block.get("type") == "tool_use")
        elif message.get("role") == "user":
            kinds = {block.get("type") for block in blocks}
            if "tool_result" not in kinds and (kinds - {"text"} or user_text(blocks)):
                break
    return count


def _is_delegated(call: EmulatedCall) -> bool:
    """Whether this conversation was started by a call of a tool that delegates."""
    users = (message for message in messages_of(call.body) if message.get("role") == "user")
    return any(_IS_DELEGATED.search(user_text(blocks_of(message))) for message in users)


def _delegates(tool: dict[str, Any]) -> bool:
    """Whether a tool takes a prompt, perhaps for a conversation with the same tools."""
    properties = _schema_of(tool).get("properties")
    return isinstance(properties, dict) and "prompt" in properties


def _tools_mentioned(tools: list[dict[str, Any]], phrases: Phrases) -> list[dict[str, Any]]:
    """The tools a text calls for, by the strongest evidence: names, then keywords of names."""
    if not phrases.text or _NO_TOOLS.search(phrases.text):
        return []
    by_name = [
        tool for tool in tools if (phrases.contains_name if _delegates(tool) else phrases.contains_word)(_name(tool))
    ]
    return by_name or [
        tool
        for tool in tools
        if not _delegates(tool) and any(_mentions_word(phrases, word) for word in _keywords(_name(tool)))
    ]


def _calls_of(tool: dict[str, Any], phrases: Phrases, *, alone: bool) -> list[PlannedCall]:
    schema = _schema_of(tool)
    properties = schema.get("properties")
    takes_one_name = isinstance(properties, dict) and any(
        any(word in key.lower() for word in _NAME_PROPERTIES) and isinstance(p, dict) and p.get("type") == "string"
        for key, p in properties.items()
    )
    own = _keywords(_name(tool))
    names = [name for name in phrases.names if name.lower() not in own]
    groups = [names]
    if takes_one_name and len(names) > 1:
        groups = [[name] for name in names] if alone else [names[:1]]
    return [(_name(tool), _arguments(schema, phrases, group)) for group in groups]


def _arguments(schema: dict[str, Any], phrases: Phrases, names: list[str]) -> dict[str, Any]:
    sample = SchemaSampler(schema, phrases, include_optional=False, names=names).value()
    if not isinstance(sample, dict):
        return {}
    prompt = sample.get("prompt")
    properties = schema.get("properties")
    if isinstance(prompt, str) and isinstance(properties, dict):
        sample["prompt"] = _delegated_prompt(prompt, properties.get("prompt"))
    return sample


def _delegated_prompt(prompt: str, schema: Any) -> str:
    """The prompt with the mark of a delegated one, as far as the schema of the property allows it."""
    if not isinstance(schema, dict) or _FIXED & schema.keys():
        return prompt
    max_length = schema.get("maxLength")
    return (_DELEGATED + prompt)[: max_length if isinstance(max_length, int) else None]


def _schema_of(tool: dict[str, Any]) -> dict[str, Any]:
    """The schema of a tool's input; for Anthropic's own tools, the known one."""
    schema = tool.get("input_schema")
    if isinstance(schema, dict):
        return schema
    kind = str(tool.get("type", ""))
    return next((schema for prefix, schema in _BUILTIN_SCHEMAS.items() if kind.startswith(prefix)), {"type": "object"})


def _name(tool: dict[str, Any]) -> str:
    return str(tool.get("name", ""))


def _keywords(text: str) -> set[str]:
    words = {word.lower().strip(".,:;()'\"") for word in _CAMEL.split(text)}
    return {word for word in words if len(word) > 2 and word not in _STOP_WORDS}


def _mentions_word(phrases: Phrases, word: str) -> bool:
    return (
        phrases.contains_word(word)
        or phrases.contains_word(word + "s")
        or (word.endswith("s") and phrases.contains_word(word[:-1]))
    )
