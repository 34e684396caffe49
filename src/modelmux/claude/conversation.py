"""Building turns: alternating, tool results first, every tool call answered, ids valid and unique."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Literal

from modelmux.claude import identifiers
from modelmux.claude.caching import mark_last
from modelmux.claude.context import Context
from modelmux.wire import anthropic
from modelmux.wire.anthropic import CacheControl

#: Stand-ins where the client has nothing and Anthropic wants something.
BEGIN: Final = "Begin."
NO_RESULT: Final = "No result: the tool call was not answered."
#: How much of an id is kept where a number is added to it: 128 characters are allowed.
_STEM: Final = 120
_ORPHAN: Final = "Result of a tool call that is not part of this conversation:"

Role = Literal["user", "assistant", "system"]


class Turns:
    """Turns so far; ``role`` and ``blocks`` are those of the last one, its tool results apart.

    Every step takes the same time, however long the conversation is and whatever ids it repeats.
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.role: Role | None = None
        self.blocks: list[Any] = []
        self._messages: list[anthropic.InputMessage] = []
        self._results: list[Any] = []  # of the last turn; they go to its head when it ends
        self._waiting: dict[str, deque[str]] = {}  # client's id -> upstream ids still without a result
        self._unanswered = 0  # how many those are together
        self._ids: set[str] = set()
        self._repeated: dict[str, int] = {}  # id -> the last number that told its repetitions apart

    def user(self, *blocks: Any) -> None:
        self._turn("user").extend(blocks)

    def assistant(self, *blocks: Any) -> None:
        self._turn("assistant").extend(blocks)

    def replied(self) -> None:
        """The model was asked with what stands here and answered, if only with nothing: what it saw is settled."""
        if self.role is None:
            self._begin()
        elif self.role == "user":
            self._answer_waiting()

    def system(self, *blocks: Any) -> bool:
        """A system turn, if one may stand here: after the user's, with no tool call left open. False if not."""
        if self.role not in ("user", "system") or self._unanswered:
            return False
        self._turn("system").extend(blocks)
        return True

    def call(self, original: str, name: str, value: dict[str, Any], where: str) -> None:
        """A tool call of the assistant. Ids are made valid and unique, as a function of what came before."""
        blocks = self._turn("assistant")
        legacy = original.startswith("function:")
        wanted = identifiers.clean(original) if original and not legacy else f"call_{len(self._ids)}"
        assigned, stem = wanted, wanted[:_STEM]
        while assigned in self._ids:
            self._repeated[stem] = self._repeated.get(stem, 1) + 1
            assigned = f"{stem}_{self._repeated[stem]}"
        if assigned != original and not legacy:
            self.ctx.notices.add("changed", f"{where}.id", "The id is empty, repeated or not valid upstream.")
        self._ids.add(assigned)
        self._waiting.setdefault(original, deque()).append(assigned)
        self._unanswered += 1
        blocks.append(anthropic.ToolUseBlock(assigned, name, value))

    def result(self, original: str, value: str | list[Any] | None, where: str) -> list[Any]:
        """A tool's result: to the front of the user turn that follows its call; as text where it has no call.

        :returns: the blocks it became.
        """
        waiting = self._waiting.get(original)
        if not waiting:
            self.ctx.notices.add("changed", where, "No open tool call has this id: the result is sent as text.")
            given = [anthropic.TextBlock(value)] if isinstance(value, str) else value or []
            blocks: list[Any] = [anthropic.TextBlock(_ORPHAN), *given]
            self.user(*blocks)
            return blocks
        self._unanswered -= 1
        return self._add_result(anthropic.ToolResultBlock(waiting.popleft(), value))

    def mark(self, marker: CacheControl | None) -> None:
        """Set a cache breakpoint on the last block so far that can hold one; there is one in every user turn."""
        if marker is None or mark_last(self.blocks, marker) or mark_last(self._results, marker):
            return
        any(mark_last(message.content, marker) for message in reversed(self._messages))

    def finish(self) -> list[anthropic.InputMessage]:
        """All turns; every call has a result, and there is at least one turn."""
        self._answer_waiting()
        if not self._messages:
            self._begin()
        self._end_turn()
        return self._messages

    def _begin(self) -> None:
        self.ctx.notices.add("added", "messages", "A conversation begins with the user; a turn was added.")
        self.user(anthropic.TextBlock(BEGIN))

    def _add_result(self, block: anthropic.ToolResultBlock) -> list[Any]:
        self._turn("user")
        self._results.append(block)
        return [block]

    def _turn(self, role: Role) -> list[Any]:
        """The blocks of the turn to write to, begun if the last one is another side's."""
        if self.role == role:
            return self.blocks
        self._end_turn()
        self.role, self.blocks = role, []
        self._messages.append(anthropic.InputMessage(role, self.blocks))
        return self.blocks

    def _end_turn(self) -> None:
        self.blocks[:0] = self._results
        self._results = []

    def _answer_waiting(self) -> None:
        """Give every call that was never answered an error result: Anthropic takes no call without one."""
        missing = [assigned for waiting in self._waiting.values() for assigned in waiting]
        self._waiting, self._unanswered = {}, 0
        for assigned in missing:
            self.ctx.notices.add("added", "messages", "A tool call without a result was given an error result.")
            self._add_result(anthropic.ToolResultBlock(assigned, NO_RESULT, is_error=True))
