"""Tools that run at the client and have a type of their own: the definitions that Claude gets, and their history.

Source of the shapes: the ``openai`` SDK (``response_input_item_param.py``: LocalShellCall, ShellCall, ApplyPatchCall).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from modelmux.dialects.openai_responses.plan import ToolType
from modelmux.dialects.openai_shared.foreign.rewrite import unread
from modelmux.wire.openai.responses_items import LocalCallItem

_MILLISECONDS: Final = {"type": "integer", "description": "Timeout in milliseconds."}


class LocalTool(NamedTuple):
    """The definition of a tool."""

    type: ToolType
    description: str
    schema: dict[str, Any]


LOCAL_TOOLS: Final[dict[str, LocalTool]] = {
    "local_shell": LocalTool(
        "local_shell",
        "Runs a command on the user's machine.",
        {
            "type": "object",
            "properties": {
                "command": {"type": "array", "items": {"type": "string"}, "description": "Program and arguments."},
                "timeout_ms": _MILLISECONDS,
                "working_directory": {"type": "string"},
                "env": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "required": ["command"],
        },
    ),
    "shell": LocalTool(
        "shell",
        "Runs shell commands on the user's machine.",
        {
            "type": "object",
            "properties": {
                "commands": {"type": "array", "items": {"type": "string"}, "description": "Commands, run in order."},
                "timeout_ms": _MILLISECONDS,
                "max_output_length": {"type": "integer", "description": "Characters of output to return."},
            },
            "required": ["commands"],
        },
    ),
    "apply_patch": LocalTool(
        "apply_patch",
        "Creates, updates or deletes one file on the user's machine.",
        {
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
                "path": {"type": "string", "description": "Path of the file."},
                "diff": {"type": "string", "description": "The change as a V4A diff. Not for delete_file."},
            },
            "required": ["type", "path"],
        },
    ),
}
#: Members of the output of a command. ``created_by`` is added by the SDK.
_CHUNK: Final = ("stdout", "stderr", "outcome", "created_by")
_FIELDS: Final = {name: tuple(tool.schema["properties"]) for name, tool in LOCAL_TOOLS.items()}


def call_input(name: str, item: LocalCallItem) -> dict[str, Any]:
    """The input of a tool call: of a call item, the fields that the tool's definition has.

    ``env`` is required in an item: an empty one is what a call without it gets.
    """
    action = (item.operation if name == "apply_patch" else item.action) or {}
    return {field: action[field] for field in _FIELDS[name] if action.get(field) not in (None, {})}


def unknown_call_fields(name: str, item: LocalCallItem) -> list[str]:
    """Paths, inside a call item, of what ``call_input`` does not read. ``type`` repeats what the item is."""
    field = "operation" if name == "apply_patch" else "action"
    known = (*_FIELDS[name], "type")
    action = getattr(item, field) or {}
    other = "action" if field == "operation" else "operation"
    unknown = [f"{field}.{key}" for key in unread(action, *known)]
    return [*([other] if getattr(item, other) is not None else []), *unknown]


def shell_output(chunks: Any, path: str, unknown: list[str]) -> str | None:
    """The output of ``shell`` as readable text; None if it is not in OpenAI's form.

    :param path: of the output.
    :param unknown: gets the paths of members that are not read.
    """
    if not isinstance(chunks, list) or not chunks or not all(isinstance(chunk, dict) for chunk in chunks):
        return None
    for index, chunk in enumerate(chunks):
        unknown += [f"{path}.{index}.{name}" for name in unread(chunk, *_CHUNK)]
        outcome = chunk.get("outcome")
        if isinstance(outcome, dict):
            unknown += [f"{path}.{index}.outcome.{name}" for name in unread(outcome, "type", "exit_code")]
    return "\n\n".join(map(_chunk_text, chunks))


def _chunk_text(chunk: dict[str, Any]) -> str:
    lines = [str(chunk["stdout"])] if chunk.get("stdout") else []
    if chunk.get("stderr"):
        lines.append(f"stderr:\n{chunk['stderr']}")
    outcome = chunk.get("outcome")
    if isinstance(outcome, dict):
        timed_out = outcome.get("type") == "timeout"
        lines.append("The command timed out." if timed_out else f"Exit code: {outcome.get('exit_code')}")
    return "\n".join(lines)
