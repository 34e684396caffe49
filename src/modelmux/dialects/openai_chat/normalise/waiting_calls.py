"""The calls of an assistant message that have no result yet. Every step takes the same time, however many there are."""

from __future__ import annotations


class WaitingCalls:
    """Calls by id and by name. Several may have the same id, or none."""

    __slots__ = ("_by_name", "_names", "_number")

    def __init__(self) -> None:
        self._number = 0
        self._names: dict[str, list[str]] = {}  # by id
        self._by_name: dict[str, dict[str, int]] = {}  # name -> id -> number of calls

    def add(self, id: str, name: str) -> None:
        self._number += 1
        self._names.setdefault(id, []).append(name)
        ids = self._by_name.setdefault(name, {})
        ids[id] = ids.get(id, 0) + 1

    def answer(self, id: str) -> None:
        """All calls with this id have a result."""
        for name in self._names.pop(id, ()):
            self._number -= 1
            self._by_name[name].pop(id, None)

    def only(self, name: str | None) -> str | None:
        """The id of the only call, or of the only one of that name; None if there are several, or if it has none."""
        if name is None:
            return next(iter(self._names)) or None if self._number == 1 else None
        ids = self._by_name.get(name, {})
        return next(iter(ids)) or None if len(ids) == 1 and 1 in ids.values() else None
