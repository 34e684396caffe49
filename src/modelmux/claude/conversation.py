"""Building the turns of a conversation: alternating, tool results first, every tool call answered, ids unique.

A state machine: what a message becomes depends on what came before it, never on what follows. A closed turn never
changes again, and ``ConversationState`` is all that the builder needs to know of the closed turns in order to continue.
So a prefix that was translated once can be cached: its turns, notices and state.

Two decisions need the next message and are pending in the state: whether a late system message may be a system turn (it
may before the assistant's turn and at the end), and whether a tool call has a result.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from modelmux.claude.caching import set_on_last
from modelmux.claude.identifiers import to_valid_identifier
from modelmux.claude.notices import Notices
from modelmux.claude.open_calls import LEGACY_PREFIX, OpenCall, OpenCalls
from modelmux.claude.part_paths import PartPaths
from modelmux.claude.request import LateSystem
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import CacheControl, InputMessage, TextBlock, ToolResultBlock, ToolUseBlock

#: Sent where the client has nothing and Anthropic requires something.
BEGIN: Final = "Begin."
NO_CONTENT: Final = "(no content)"
NO_RESULT: Final = "No result: the tool call was not answered."
#: Around a system message in the user's turn.
_BEFORE: Final = "<system_message>\n"
_AFTER: Final = "\n</system_message>"
#: Length to which an id is cut before a number is appended: 128 characters are allowed.
_STEM: Final = 120
_ORPHAN_RESULT: Final = "Result of a tool call that is not part of this conversation:"

Role = Literal["user", "assistant", "system"]


class PendingSystem(Struct, frozen=True):
    """A late system message that waits for what follows it. ``field`` is the path of its role."""

    blocks: tuple[TextBlock, ...]
    field: str


class ConversationState(Struct, frozen=True):
    """What the builder knows after a message. Immutable, and free of the closed turns themselves.

    :param closed: number of closed turns.
    :param role: role of the open turn.
    :param blocks: those of the open turn, without its tool results.
    :param results: tool results of the open turn, which come first when it closes.
    :param pending: late system messages at the end.
    :param waiting: calls without a result.
    :param ids: all upstream ids of tool calls.
    :param repeated: id -> the last number appended to it.
    """

    closed: int = 0
    role: Role | None = None
    blocks: tuple[Any, ...] = ()
    results: tuple[ToolResultBlock, ...] = ()
    pending: tuple[PendingSystem, ...] = ()
    waiting: tuple[OpenCall, ...] = ()
    ids: frozenset[str] = frozenset()
    repeated: tuple[tuple[str, int], ...] = ()


START: Final = ConversationState()


class ConversationBuilder:
    """Adds messages to a conversation, from its start or from a remembered state.

    Every step takes the same time, however long the conversation is and whatever ids it repeats.

    ``turns``, ``late_system`` and ``client_ids`` grow only, and hold what was added since ``state``: closed turns, the
    system turns inside the conversation, and the client's own id of each tool call whose id had to be changed.
    ``origins`` has the path of the client's part or message for each block: by default ``path`` as it was when the
    block was added. Blocks inside of a tool's result have the call's id and their index in the place of the block.

    :param field: the client's field that holds the conversation, for notices.
    :param parts: which part of a message a block is; any other one is the message's own.
    """

    def __init__(
        self,
        notices: Notices,
        state: ConversationState = START,
        field: str = "messages",
        parts: PartPaths | None = None,
    ) -> None:
        self.turns: list[InputMessage] = []
        self.late_system: list[LateSystem] = []
        self.client_ids: dict[str, str] = {}
        self.origins: list[tuple[Any, str]] = []
        self.path = ""
        self._notices = notices
        self._field = field
        self._parts = PartPaths() if parts is None else parts
        self._closed_before = state.closed
        self._role = state.role
        self._blocks: list[Any] = list(state.blocks)
        self._results: list[Any] = list(state.results)
        self._pending = list(state.pending)
        self._waiting = OpenCalls(state.waiting)
        self._ids = set(state.ids)
        self._repeated = dict(state.repeated)

    @property
    def state(self) -> ConversationState:
        """The state after the messages added so far."""
        return ConversationState(
            closed=self._closed_before + len(self.turns),
            role=self._role,
            blocks=tuple(self._blocks),
            results=tuple(self._results),
            pending=tuple(self._pending),
            waiting=self._waiting.calls,
            ids=frozenset(self._ids),
            repeated=tuple(self._repeated.items()),
        )

    @property
    def has_open_calls(self) -> bool:
        """Whether a tool call has no result yet."""
        return len(self._waiting) > 0

    def add_user(self, *blocks: Any) -> None:
        self._turn("user").extend(blocks)
        self._add_origins(blocks, self.path)

    def close_user_turn(self) -> None:
        """Complete the user's turn: the model replied to the messages so far, possibly with an empty reply."""
        self._add_pending_system(before_reply=True)
        if self._role is None:
            self._begin()
        elif self._role == "user":
            self._answer_waiting()

    def add_assistant(self, *blocks: Any) -> None:
        self._turn("assistant").extend(blocks)
        self._add_origins(blocks, self.path)

    def end_reply(self) -> None:
        """Complete a reply. An empty one needs a block only after a system turn, where a reply has to follow."""
        if self._role == "system":
            self.add_assistant(TextBlock(NO_CONTENT))
            self.late_system[-1] = replace(self.late_system[-1], placeholder=True)

    def add_system(self, blocks: list[TextBlock], field: str) -> None:
        """A system message inside the conversation."""
        self._pending.append(PendingSystem(tuple(blocks), field))

    def add_tool_use(self, client_id: str, name: str, value: dict[str, Any], path: str) -> None:
        """A tool call of the assistant. Its id is made valid and unique, as a function of what came before."""
        blocks = self._turn("assistant")
        legacy = client_id.startswith(LEGACY_PREFIX)
        wanted = to_valid_identifier(client_id) if client_id and not legacy else f"call_{len(self._ids)}"
        assigned, stem = wanted, wanted[:_STEM]
        while assigned in self._ids:
            self._repeated[stem] = self._repeated.get(stem, 1) + 1
            assigned = f"{stem}_{self._repeated[stem]}"
        if assigned != client_id:
            self.client_ids[assigned] = client_id
            if not legacy:
                self._notices.add("changed", f"{path}.id", "The id is empty, repeated or not valid upstream.")
        self._ids.add(assigned)
        self._waiting.add(OpenCall(assigned, client_id, name))
        blocks.append(ToolUseBlock(assigned, name, value))
        self.origins.append((blocks[-1], path))

    def add_tool_result(
        self,
        client_id: str | None,
        value: str | list[Any] | None,
        marker: CacheControl | None,
        field: str,
        *,
        name: str | None = None,
        is_error: bool = False,
    ) -> None:
        """A tool's result: at the start of the user turn after its call, or as text if there is no such call.

        :param client_id: of the call; None if the result does not say it.
        :param marker: a cache breakpoint after the result.
        :param field: path of the client's field that names the call.
        :param name: of the tool, upstream, if the result says it.
        :raises InvalidRequest: the result does not say which call it belongs to, and nothing else does.
        """
        call = self._answered(client_id, name, field)
        if call is not None:
            self._add_result(ToolResultBlock(call, value, is_error, marker))
            return
        self._notices.add("changed", field, "No open tool call has this id: the result is sent as text.")
        blocks: list[Any] = [TextBlock(value)] if isinstance(value, str) else value or []
        blocks = [TextBlock(_ORPHAN_RESULT), *blocks]
        set_on_last(blocks, marker)
        self.add_user(*blocks)

    def _answered(self, client_id: str | None, name: str | None, field: str) -> str | None:
        """The upstream id of the call that a result belongs to; None if there is no such call.

        A call or a result that has no id belongs to the only other one that it can belong to.
        """
        call = self._waiting.take_first(name) if client_id == "" and name is not None else None
        if call is None and client_id is not None:
            call = self._waiting.take(client_id)
        if call is not None:
            return call
        legacy = client_id is not None and client_id.startswith(LEGACY_PREFIX)
        if legacy or not client_id:
            call = self._waiting.take_only(name, with_ids=True)
        elif to_valid_identifier(client_id) not in self._ids:  # else it is a second result of the same call
            call = self._waiting.take_only(name, with_ids=False)
        if call is not None:
            self._notices.add("changed", field, "The result is that of the only open tool call it can belong to.")
        elif client_id is None:
            raise InvalidRequest(
                f"Missing required parameter: '{field}'.",
                param=field,
                code="missing_required_parameter",
                hint="Send the id of the tool call: it is not clear which one this is the result of.",
            )
        return call

    def set_cache_breakpoint(self, marker: CacheControl | None) -> None:
        """Set a breakpoint after what was added so far: on the last block of the open turn that can hold one."""
        if marker is None:
            return
        if self._pending:
            last = self._pending[-1]
            blocks = list(last.blocks)
            set_on_last(blocks, marker)
            self._pending[-1] = PendingSystem(tuple(blocks), last.field)
        elif not set_on_last(self._blocks, marker):
            set_on_last(self._results, marker)

    def finish(self) -> list[InputMessage]:
        """The turns added since the state the builder began with, all closed; every call has a result, and the
        conversation has at least one turn."""
        self._add_pending_system(before_reply=True)
        self._answer_waiting()
        if self._role is None:
            self._begin()
        self._close()
        return self.turns

    def _begin(self) -> None:
        self._notices.add("added", self._field, "A conversation begins with the user; a turn was added.")
        self.add_user(TextBlock(BEGIN))

    def _turn(self, role: Role) -> list[Any]:
        """The blocks of the turn to write to."""
        if self._pending:
            self._add_pending_system(before_reply=role == "assistant")
        return self._open(role)

    def _open(self, role: Role) -> list[Any]:
        """The open turn's blocks, after closing a turn of another role."""
        if self._role != role:
            self._close()
            self._role = role
        return self._blocks

    def _close(self) -> None:
        if self._role is not None:
            self.turns.append(InputMessage(self._role, self._results + self._blocks))
            self._role, self._blocks, self._results = None, [], []

    def _add_pending_system(self, *, before_reply: bool) -> None:
        """Add pending system messages as a system turn where that is legal (after the user's turn, with no tool call
        open, and before a reply), else to the user's turn."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        fields: list[str] = []  # of the open system turn
        for message in pending:
            self._add_origins(message.blocks, message.field.removesuffix(".role"))
            if not before_reply or self._role == "assistant" or self._role is None or self._waiting:
                note_system_in_user_turn(self._notices, message.field)
                self._open("user").extend(map(as_user_text, message.blocks))
            elif self._role == "system":
                self._blocks += message.blocks
                fields.append(message.field)
            else:
                self._waiting = OpenCalls()
                self._open("system").extend(message.blocks)
                self.late_system.append(LateSystem(self._closed_before + len(self.turns), ()))
                fields.append(message.field)
        if fields:
            last = self.late_system[-1]
            self.late_system[-1] = replace(last, fields=(*last.fields, *fields))

    def _add_result(self, block: ToolResultBlock) -> None:
        self._turn("user")
        self._results.append(block)
        self.origins.append((block, self.path))
        if isinstance(block.content, list):
            inner = enumerate(block.content)
            self.origins += [(("part", block.tool_use_id, at), self._parts.of(part, self.path)) for at, part in inner]

    def _add_origins(self, blocks: Iterable[Any], path: str) -> None:
        """:param path: of the message."""
        self.origins += [(block, self._parts.of(block, path)) for block in blocks]

    def _answer_waiting(self) -> None:
        """Add an error result to every call that has no result: Anthropic requires one."""
        if not self._waiting:
            return
        missing, self._waiting = self._waiting.calls, OpenCalls()
        for call in missing:
            self._notices.add("added", self._field, "A tool call without a result was given an error result.")
            self._add_result(ToolResultBlock(call.id, NO_RESULT, is_error=True))


def as_user_text(block: TextBlock) -> TextBlock:
    """A block of a system message as it is sent in the user's turn."""
    return TextBlock(f"{_BEFORE}{block.text}{_AFTER}", block.cache_control)


def note_system_in_user_turn(notices: Notices, field: str) -> None:
    notices.add("changed", field, "A later system message is sent in place, as a user turn.")


def without_wrapper(text: str) -> str:
    """The text of a system message that may have gone through ``as_user_text``."""
    return text.removeprefix(_BEFORE).removesuffix(_AFTER) if text.startswith(_BEFORE) else text
