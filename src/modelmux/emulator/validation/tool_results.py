"""Tool calls and their results across turns (anthropic-vertex.md 5).

Consecutive messages of one role form one turn, as the service merges them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.errors import invalid_request
from modelmux.emulator.model.prompt import blocks_of


class LocatedBlock(NamedTuple):
    """A block with its position in the request."""

    message: int
    position: int
    block: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.block["type"])

    @property
    def path(self) -> str:
        return f"messages.{self.message}.content.{self.position}"


class Turn(NamedTuple):
    role: str
    blocks: list[LocatedBlock]


def turns_of(messages: list[dict[str, Any]]) -> list[Turn]:
    """Messages, consecutive ones of one role merged."""
    turns: list[Turn] = []
    for i, message in enumerate(messages):
        located = [LocatedBlock(i, j, block) for j, block in enumerate(blocks_of(message))]
        if turns and turns[-1].role == message["role"]:
            turns[-1].blocks.extend(located)
        else:
            turns.append(Turn(message["role"], located))
    return turns


def check_tool_results(call: EmulatedCall) -> None:
    """Check that every call has one result immediately after it, and every result its call.

    :raises ApiError: one is missing, duplicated or misplaced.
    """
    turns = turns_of(call.body["messages"])
    _check_unique(turns)
    for number, turn in enumerate(turns):
        after = turns[number + 1] if number + 1 < len(turns) else None
        before = turns[number - 1] if number else None
        if turn.role == "assistant":
            _check_answered(turn, after)
            _check_server_tools(turn, after)
        elif turn.role == "user":
            _check_results(turn, before)


def _check_unique(turns: list[Turn]) -> None:
    seen: set[str] = set()
    for turn in turns:
        for located in turn.blocks:
            if located.kind in ("tool_use", "server_tool_use"):
                if located.block["id"] in seen:
                    raise invalid_request(f"{located.path}: `tool_use` ids must be unique")
                seen.add(located.block["id"])


def _check_answered(turn: Turn, after: Turn | None) -> None:
    """Check that the first blocks of the next turn answer all calls of this one."""
    called = [located for located in turn.blocks if located.kind == "tool_use"]
    if not called:
        return
    answered: set[str] = set()
    for located in after.blocks if after is not None and after.role == "user" else ():
        if located.kind != "tool_result":
            break
        answered.add(located.block["tool_use_id"])
    missing = [located for located in called if located.block["id"] not in answered]
    if missing:
        ids = ", ".join(located.block["id"] for located in missing)
        raise invalid_request(
            f"messages.{missing[0].message}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{ids}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
        )


def _check_results(turn: Turn, before: Turn | None) -> None:
    called = {
        located.block["id"]
        for located in (before.blocks if before is not None and before.role == "assistant" else ())
        if located.kind == "tool_use"
    }
    seen: set[str] = set()
    for located in turn.blocks:
        if located.kind != "tool_result":
            continue
        id = located.block["tool_use_id"]
        if id not in called:
            raise invalid_request(
                f"{located.path}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` "
                "block must have a corresponding `tool_use` block in the previous message."
            )
        if id in seen:
            raise invalid_request(
                f"{located.path}: each tool_use must have a single result. Found "
                f"multiple `tool_result` blocks with id: {id}"
            )
        seen.add(id)


def _check_server_tools(turn: Turn, after: Turn | None) -> None:
    """Check that a server tool has its result in the same turn, or is followed by client tool results only."""
    finished = {located.block.get("tool_use_id") for located in turn.blocks}
    pending = [p for p in turn.blocks if p.kind == "server_tool_use" and p.block["id"] not in finished]
    if not pending or after is None or all(located.kind == "tool_result" for located in after.blocks):
        return
    name, id = pending[0].block["name"], pending[0].block["id"]
    raise invalid_request(
        f"messages.{pending[0].message}: `{name}` tool use with id `{id}` was found without a corresponding "
        f"`{name}_tool_result` block"
    )


def check_history_has_tools(call: EmulatedCall) -> None:
    """Check that tool blocks in the history come with tools. Only some versions of the service require it.

    :raises ApiError: there are tool blocks but no tools.
    """
    kinds = (block.get("type") for message in call.body["messages"] for block in blocks_of(message))
    if not call.tools and any(kind in ("tool_use", "tool_result") for kind in kinds):
        raise invalid_request(
            "Requests which have `tool_use` or `tool_result` blocks in conversation must define tools."
        )
