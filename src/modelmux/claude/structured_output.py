"""The answer's format: native structured output if model and schema allow it, otherwise a forced tool call.

``json_object`` has no native form: an instruction asks for it, and the fence of a code block is removed from the
answer.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from modelmux.claude.draft import Draft
from modelmux.claude.identifiers import to_valid_identifier
from modelmux.claude.request import AnswerFormat
from modelmux.claude.schema.root import to_object_root
from modelmux.claude.schema.subset import Subset, demoted_keywords_message, to_subset
from modelmux.claude.schema.valid import ValidSchema, to_valid
from modelmux.claude.schema.work import TooMuchWork, too_much_work
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import OutputConfig, TextBlock, Tool, ToolChoice

#: Part of the prompt prefix, so it never changes from turn to turn.
JSON_INSTRUCTION: Final = "Answer with one JSON object and nothing else: no text before or after it and no code fences."
_SUFFIX: Final = "_answer"


def apply(draft: Draft) -> None:
    """Set the native format, or define the tool that takes its place.

    :raises InvalidRequest: a schema the model has no way to follow.
    """
    wanted = draft.request.answer_format
    if wanted is None:
        return
    if wanted.schema is None:
        draft.body.system = [*(draft.body.system or ()), TextBlock(JSON_INSTRUCTION)]
        return
    card, field = draft.card, draft.request.fields.answer_schema
    schema = _described(wanted.schema, wanted.description)
    subset, change = to_subset(schema, draft.schema_work), ""
    if subset.unsupported_reason:
        subset, change = _repaired(schema, subset, draft)
    reason = subset.unsupported_reason
    if not reason and not card.structured_output:
        reason = "this model does not support structured output"
    if reason:
        draft.answer_tool = _tool(draft, wanted, wanted.schema, reason)
        return
    if change:
        draft.notices.add("changed", field, change)
    if subset.demoted:
        draft.notices.add("changed", field, demoted_keywords_message(subset))
    draft.body.output_config = OutputConfig(format={"type": "json_schema", "schema": subset.schema})


def checked_schema(draft: Draft) -> dict[str, Any] | None:
    """What an answer is checked against: the client's schema, valid; None if it has none.

    :raises InvalidRequest: it takes too much work.
    """
    wanted = draft.request.answer_format
    return _valid(draft, wanted.schema).schema if wanted and wanted.schema else None


def _valid(draft: Draft, schema: dict[str, Any]) -> ValidSchema:
    try:
        return to_valid(schema, draft.schema_work)
    except TooMuchWork:
        raise too_much_work(draft.request.fields.answer_schema) from None


def _repaired(schema: dict[str, Any], subset: Subset, draft: Draft) -> tuple[Subset, str]:
    """The subset of the schema made valid, and what that changed; as it was if that does not help."""
    valid = _valid(draft, schema)
    again = to_subset(valid.schema, draft.schema_work) if valid.change else subset
    return (subset, "") if again.unsupported_reason else (again, valid.change)


def add_answer_tool(draft: Draft) -> None:
    """Add the tool whose input is the answer to the client's tools, and force its call."""
    tool, body = draft.answer_tool, draft.body
    if tool is None:
        return
    tools, choice = body.tools or [], body.tool_choice
    while any(other.name == tool.name for other in tools):
        tool = replace(tool, name=f"{tool.name[:120]}{_SUFFIX}")
    others = bool(tools) and not (choice is not None and choice.type == "none")
    single = not others or (choice is not None and choice.disable_parallel_tool_use)
    draft.answer_tool = tool
    body.tools = [*tools, tool]
    body.tool_choice = ToolChoice(
        "any" if others else "tool",
        None if others else tool.name,
        disable_parallel_tool_use=single,  # two answers would not be one JSON value
    )


def _tool(draft: Draft, wanted: AnswerFormat, schema: dict[str, Any], reason: str) -> Tool:
    field = draft.request.fields.answer_schema
    if draft.card.forced_tool_choice == "reject":
        raise InvalidRequest(
            f"The schema cannot be followed: {reason}.", param=field, hint="Simplify it, or choose another model."
        )
    root = to_object_root(schema, field, draft.schema_work)
    if root.other:
        raise InvalidRequest(
            f"The schema cannot be followed: {reason}, and its root is not always an object.",
            param=field,
            hint="Make the root an object.",
        )
    notice = f"Followed by means of a tool call, because {reason}. {root.change}".strip()
    draft.notices.add("changed", field, notice)
    description = wanted.description or "Gives the answer. Call it exactly once."
    return Tool(to_valid_identifier(wanted.name or "answer"), root.schema, description)


def _described(schema: dict[str, Any], description: str | None) -> dict[str, Any]:
    """The schema with the format's description, which has no field of its own in the native form."""
    if not description:
        return schema
    own = schema.get("description")
    if isinstance(own, str) and own and own != description:
        description = f"{description}\n\n{own}"
    return {**schema, "description": description}
