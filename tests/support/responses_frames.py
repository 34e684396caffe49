"""Events of a streamed response as they are read from its bytes, one after the other, and what may be wrong with one.

Part of ``responses_grammar.py``, which says what it is for.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from msgspec import Struct

Json = dict[str, Any]


class GrammarError(AssertionError):
    """A stream is not in the language; the text says where and why."""


class Failed(Exception):
    """The stream ends with ``response.failed``, whatever is open."""


class Rules(Struct, frozen=True):
    """Where OpenAI's own streams differ from what this project sends. The defaults are the project's.

    :param ends_with_done: ``data: [DONE]`` follows the last event.
    :param partial_responses: response objects may lack keys: OpenAI adds some over the years. ``service_tier`` changes
        from what was asked for to what was given.
    :param openai_reasoning: reasoning items have no status, and may have an empty ``content``.
    :param error_events: an event of type ``error`` may precede ``response.failed``, whose code may be any.
    :param uncompared: keys that may be absent or have another value each time they are sent.
    :param hosted: items of hosted tools, which are only opened and closed here: their own events are not looked at.
    """

    ends_with_done: bool = False
    partial_responses: bool = False
    openai_reasoning: bool = False
    error_events: bool = False
    uncompared: frozenset[str] = frozenset()
    hosted: frozenset[str] = frozenset()


OURS: Final = Rules()
_HOSTED: Final = (
    "apply_patch_call", "code_interpreter_call", "file_search_call", "image_generation_call", "mcp_approval_request",
    "mcp_call", "mcp_list_tools", "program", "program_output",
)  # fmt: skip
#: OpenAI seals reasoning anew each time, and leaves ``logprobs`` out of some parts.
OPENAI: Final = Rules(
    partial_responses=True,
    openai_reasoning=True,
    error_events=True,
    uncompared=frozenset(("encrypted_content", "logprobs")),
    hosted=frozenset(_HOSTED),
)


def frames(raw: bytes, rules: Rules = OURS) -> tuple[list[Json], int]:
    """The events of a stream, and how many comments it has."""
    *blocks, rest = raw.decode().split("\n\n")
    expect(not rest, f"the stream ends inside a frame: {rest[:80]!r}")
    comments = [block for block in blocks if block.startswith(":")]
    expect(not any("\n" in block for block in comments), "a comment shares its frame with something else")
    blocks = [block for block in blocks if not block.startswith(":")]
    if rules.ends_with_done:
        expect(bool(blocks) and blocks.pop() == "data: [DONE]", "the stream does not end with [DONE]")
    return [_frame(block) for block in blocks], len(comments)


def _frame(block: str) -> Json:
    """One event: a line with its name and one with its data, in this order, and no other."""
    lines = block.split("\n")
    expect(len(lines) == 2, f"a frame has two lines, this one {len(lines)}: {block[:80]!r}")
    name, data = lines
    expect(name.startswith("event: "), f"a frame begins with its event's name, not with {name[:40]!r}")
    expect(data.startswith("data: {"), f"the second line of a frame is its data, not {data[:40]!r}")
    event = json.loads(data.removeprefix("data: "))
    type = event.get("type")
    expect(name == f"event: {type}", f"the frame is named {name.removeprefix('event: ')!r}, its data {type!r}")
    expect(type == "error" or not event.get("error"), f"{type} has an error at its top level, on which SDKs raise")
    return event  # type: ignore[no-any-return]


def expect(right: bool, sentence: str) -> None:
    if not right:
        raise GrammarError(sentence)


class Cursor:
    """Reads events from left to right."""

    def __init__(self, events: list[Json], rules: Rules) -> None:
        self.events = events
        self.rules = rules
        self.at = 0
        #: Whether the two events that every stream begins with were read: from then on it may fail at any place.
        self.begun = False

    # -- events

    def take(self, *types: str) -> Json:
        """The next event, which is one of ``types``; repetitions of ``in_progress`` are read on the way."""
        while True:
            if self.at == len(self.events):
                self.fail(f"the stream ends where {' or '.join(types)} is due")
            event = self.events[self.at]
            type = event.get("type")
            skipped = type not in types and self.skip(event)
            if type == "response.failed" and type not in types and self.begun:
                raise Failed
            if type not in types and not skipped:
                self.fail(f"{type} stands where {' or '.join(types)} is due")
            self.equal(event.get("sequence_number"), self.at, "sequence_number")
            self.at += 1
            if not skipped:
                return event

    def skip(self, event: Json) -> bool:
        """Whether an event may stand anywhere; raises if it is wrong itself."""
        return self.rules.error_events and event.get("type") == "error"

    def next(self) -> str:
        """The type of the event after repetitions of ``in_progress``; "" at the end."""
        at = self.at
        while at < len(self.events) and self.events[at].get("type") == "response.in_progress":
            at += 1
        return str(self.events[at].get("type")) if at < len(self.events) else ""

    # -- findings

    def field(self, holder: Any, name: str) -> Any:
        """A field that has to be there."""
        if not isinstance(holder, dict) or name not in holder:
            self.fail(f"there is no {name} in {json.dumps(holder)[:80]}")
        return holder[name]

    def same(self, value: Any, want: Any, what: str) -> None:
        """As ``equal``, apart from keys that are not compared."""
        self.equal(self._compared(value), self._compared(want), what)

    def equal(self, value: Any, want: Any, what: str) -> None:
        self.true(value == want, f"{what} is {value!r}, not {want!r}")

    def true(self, right: bool, sentence: str) -> None:
        if not right:
            self.fail(sentence)

    def fail(self, sentence: str) -> NoReturn:
        before = self.events[self.at - 1].get("type") if self.at else "the beginning"
        raise GrammarError(f"Near event {self.at}, after {before}: {sentence}.")

    def _compared(self, value: Any) -> Any:
        if not self.rules.uncompared:
            return value
        if isinstance(value, dict):
            return {n: self._compared(inner) for n, inner in value.items() if n not in self.rules.uncompared}
        return [self._compared(inner) for inner in value] if isinstance(value, list) else value
