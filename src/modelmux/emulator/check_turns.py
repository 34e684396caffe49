"""Tool calls and their results across turns (anthropic-vertex.md 5), in the real words.

Messages of the same role that follow each other are one turn, as the service merges them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from modelmux.emulator.call import Call
from modelmux.emulator.prompt import blocks_of
from modelmux.emulator.refusals import invalid


class Placed(NamedTuple):
    """A block with its place in the request."""

    message: int
    place: int
    block: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.block["type"])

    @property
    def path(self) -> str:
        return f"messages.{self.message}.content.{self.place}"


class Turn(NamedTuple):
    role: str
    blocks: list[Placed]


def turns_of(messages: list[dict[str, Any]]) -> list[Turn]:
    """Messages merged by role."""
    turns: list[Turn] = []
    for i, message in enumerate(messages):
        placed = [Placed(i, j, block) for j, block in enumerate(blocks_of(message))]
        if turns and turns[-1].role == message["role"]:
            turns[-1].blocks.extend(placed)
        else:
            turns.append(Turn(message["role"], placed))
    return turns


def check_turns(call: Call) -> None:
    """Every call has one result right after it, every result its call.

    :raises Refused: one of them is missing, doubled or misplaced.
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
        for placed in turn.blocks:
            if placed.kind in ("tool_use", "server_tool_use"):
                if placed.block["id"] in seen:
                    raise invalid(f"{placed.path}: `tool_use` ids must be unique")
                seen.add(placed.block["id"])


def _check_answered(turn: Turn, after: Turn | None) -> None:
    """All calls of a turn are answered by the blocks that open the next one."""
    called = [placed for placed in turn.blocks if placed.kind == "tool_use"]
    if not called:
        return
    answered: set[str] = set()
    for placed in after.blocks if after is not None and after.role == "user" else ():
        if placed.kind != "tool_result":
            break
        answered.add(placed.block["tool_use_id"])
    missing = [placed for placed in called if placed.block["id"] not in answered]
    if missing:
        ids = ", ".join(placed.block["id"] for placed in missing)
        raise invalid(
            f"messages.{missing[0].message}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{ids}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
        )


def _check_results(turn: Turn, before: Turn | None) -> None:
    called = {
        placed.block["id"]
        for placed in (before.blocks if before is not None and before.role == "assistant" else ())
        if placed.kind == "tool_use"
    }
    seen: set[str] = set()
    for placed in turn.blocks:
        if placed.kind != "tool_result":
            continue
        id = placed.block["tool_use_id"]
        if id not in called:
            raise invalid(
                f"{placed.path}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` "
                "block must have a corresponding `tool_use` block in the previous message."
            )
        if id in seen:
            raise invalid(
                f"{placed.path}: each tool_use must have a single result. Found "
                f"multiple `tool_result` blocks with id: {id}"
            )
        seen.add(id)


def _check_server_tools(turn: Turn, after: Turn | None) -> None:
    """A server tool has its result in the same turn; a pending one may only be followed by client tool results."""
    done = {placed.block.get("tool_use_id") for placed in turn.blocks}
    pending = [p for p in turn.blocks if p.kind == "server_tool_use" and p.block["id"] not in done]
    if not pending or after is None or all(placed.kind == "tool_result" for placed in after.blocks):
        return
    name, id = pending[0].block["name"], pending[0].block["id"]
    raise invalid(
        f"messages.{pending[0].message}: `{name}` tool use with id `{id}` was found without a corresponding "
        f"`{name}_tool_result` block"
    )


def check_history_has_tools(call: Call) -> None:
    """Tool blocks in the history only together with tools; whether the service wants this depends on its version.

    :raises Refused: there are tool blocks and no tools.
    """
    kinds = (block.get("type") for message in call.body["messages"] for block in blocks_of(message))
    if not call.tools and any(kind in ("tool_use", "tool_result") for kind in kinds):
        raise invalid("Requests which have `tool_use` or `tool_result` blocks in conversation must define tools.")
