"""The tool calls of a conversation that have no result yet, and which of them a result belongs to.

Every step takes the same time, however many calls are open: queues keep the ids of calls that were answered by another
way, and skip them when they are reached.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

#: Prefix of client ids for calls in the legacy form, which has no ids; the name of the function follows.
LEGACY_PREFIX: Final = "function:"


class OpenCall(Struct, frozen=True):
    """One call.

    :param id: upstream.
    :param client_id: the client's; empty if it has none.
    :param name: of the tool, upstream.
    """

    id: str
    client_id: str
    name: str

    @property
    def has_id(self) -> bool:
        """Whether the client gave it an id."""
        return bool(self.client_id) and not self.client_id.startswith(LEGACY_PREFIX)


#: Whether the calls have ids, and their name; without a name all of them.
_Group = tuple[bool, str | None]


class OpenCalls:
    """Open calls in the order of the conversation."""

    __slots__ = ("_first", "_groups", "_later", "_open", "_sizes", "_ungrouped")

    def __init__(self, calls: Iterable[OpenCall] = ()) -> None:
        self._open: dict[str, OpenCall] = {}
        #: Client id -> its first call; most ids are unique, and a queue for each would take most of the time.
        self._first: dict[str, str] = {}
        self._later: dict[str, deque[str]] = {}
        #: Made when a result without an id asks for them.
        self._groups: dict[_Group, deque[str]] = {}
        self._sizes: dict[_Group, int] = {}
        self._ungrouped: list[OpenCall] = []
        for call in calls:
            self.add(call)

    def __len__(self) -> int:
        return len(self._open)

    @property
    def calls(self) -> tuple[OpenCall, ...]:
        return tuple(self._open.values())

    def add(self, call: OpenCall) -> None:
        self._open[call.id] = call
        self._ungrouped.append(call)
        if self._first.setdefault(call.client_id, call.id) != call.id:
            self._later.setdefault(call.client_id, deque()).append(call.id)

    def take(self, client_id: str) -> str | None:
        """The first open call with this id, which is open no longer."""
        while (id := self._first.pop(client_id, None)) is not None:
            later = self._later.get(client_id)
            if later:
                self._first[client_id] = later.popleft()
            if self._close(id):
                break
        return id

    def take_only(self, name: str | None, *, with_ids: bool) -> str | None:
        """The only open call of this name, which is open no longer; None if there are more, or none.

        :param name: upstream; None for any.
        :param with_ids: calls with ids count, too.
        """
        self._group()
        groups = [(False, name), *([(True, name)] if with_ids else [])]
        if sum(self._sizes.get(group, 0) for group in groups) != 1:
            return None
        return self._take(self._groups[next(group for group in groups if self._sizes.get(group))])

    def take_first(self, name: str) -> str | None:
        """The first open call of this name that has no id, which is open no longer."""
        self._group()
        return self._take(self._groups.get((False, name)))

    def _take(self, queue: deque[str] | None) -> str | None:
        while queue:
            id = queue.popleft()
            if self._close(id):
                return id
        return None

    def _close(self, id: str) -> bool:
        """Whether the call was open until now."""
        if self._sizes:
            self._group()
        call = self._open.pop(id, None)
        if call is None:
            return False
        if self._sizes:
            for group in _groups(call):
                self._sizes[group] -= 1
        return True

    def _group(self) -> None:
        """Add the calls that are not in groups yet."""
        ungrouped, self._ungrouped = self._ungrouped, []
        for call in ungrouped:
            if call.id in self._open:
                for group in _groups(call):
                    self._groups.setdefault(group, deque()).append(call.id)
                    self._sizes[group] = self._sizes.get(group, 0) + 1


def _groups(call: OpenCall) -> tuple[_Group, _Group]:
    return (call.has_id, call.name), (call.has_id, None)
