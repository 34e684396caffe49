"""Tool definitions: strict if the schema fits the enforced subset; a placeholder if only the history has tools."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from modelmux.claude.draft import Draft
from modelmux.claude.schema.size import size_of
from modelmux.claude.schema.subset import MAX_OPTIONAL, MAX_UNIONS, Subset, demoted_keywords_message, to_subset
from modelmux.wire.anthropic import InputMessage, Tool, ToolChoice, ToolUseBlock, WebSearch

#: Strict tools of one request.
MAX_STRICT: Final = 20
#: Tools whose schemas are read for it: the others of a request that asks for more are not strict.
MAX_READ: Final = 5 * MAX_STRICT
_NO_SUBSET: Final = Subset({})
#: The tool that is defined where only the history has tools: Anthropic requires ``tools`` there. It cannot be called.
#: Always this one, whatever the history uses: tools come first in the prompt, so a list that grows with the
#: conversation would invalidate the cache of everything after it.
PLACEHOLDER_TOOL: Final = Tool("unavailable", {"type": "object", "properties": {}}, "Not available.")


def apply(draft: Draft) -> None:
    """Decide which tools are strict; define a placeholder where the history uses tools and the request has none."""
    body = draft.body
    if body.tools is None:
        if _uses_tools(body.messages):
            body.tools, body.tool_choice = [PLACEHOLDER_TOOL], ToolChoice("none")
            reason = "The history uses tools that are not defined; a placeholder was added."
            draft.notices.add("added", "tools", reason)
    elif any(map(_asks_to_be_strict, body.tools)):
        budget = _StrictBudget(draft)
        body.tools = [_strict(tool, budget, draft) if _asks_to_be_strict(tool) else tool for tool in body.tools]


def _uses_tools(messages: list[InputMessage]) -> bool:
    for message in messages:
        if message.role == "assistant" and any(isinstance(block, ToolUseBlock) for block in message.content):
            return True
    return False


def _asks_to_be_strict(tool: Tool | WebSearch) -> bool:
    return isinstance(tool, Tool) and bool(tool.strict)


def _strict(tool: Tool, budget: _StrictBudget, draft: Draft) -> Tool:
    """A strict tool with its schema in the subset, or the tool without ``strict`` if that is impossible."""
    fields = draft.request.fields
    subset, reason = budget.take(tool.input_schema)
    if reason:
        draft.notices.add(
            "ignored",
            fields.tool_member(tool.name, "strict"),
            f"The schema of the arguments is not enforced: {reason}.",
        )
        return replace(tool, strict=None)
    if subset.demoted:
        draft.notices.add("changed", fields.schema_of(tool.name), demoted_keywords_message(subset))
    return replace(tool, input_schema=subset.schema)


class _StrictBudget:
    """The limits shared by all strict tools of a request and the schema of its answer format."""

    def __init__(self, draft: Draft) -> None:
        self._supported = draft.card.structured_output
        self._work = draft.schema_work
        self._read = self._tools = self._optional = self._unions = 0
        output: Any = draft.body.output_config and draft.body.output_config.format
        size = size_of(output["schema"]) if output else None
        if size is not None:
            self._optional, self._unions = size.optional, size.unions

    def take(self, schema: dict[str, Any]) -> tuple[Subset, str]:
        """A schema in the subset, and why it cannot be strict; empty if it can, in which case it is counted."""
        if not self._supported:
            return _NO_SUBSET, "this model does not support strict tools"
        if self._tools == MAX_STRICT:
            return _NO_SUBSET, f"only {MAX_STRICT} tools may be strict"
        if self._read == MAX_READ:
            return _NO_SUBSET, f"only the first {MAX_READ} tools that ask for it are looked at"
        self._read += 1
        subset = to_subset(schema, self._work)
        return subset, subset.unsupported_reason or self._reject(subset)

    def _reject(self, subset: Subset) -> str:
        if self._optional + subset.optional > MAX_OPTIONAL or self._unions + subset.unions > MAX_UNIONS:
            return "the schemas of this request have too many optional properties or unions together"
        self._tools += 1
        self._optional += subset.optional
        self._unions += subset.unions
        return ""
