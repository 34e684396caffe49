"""Aliases: additional model names, which may switch to a successor on a date. Pure: the day is an argument.

The target of an alias is a configured name, another alias, or a Claude model of the catalog. An alias with the same
name as its target refers to the model of the catalog, so that a model's own name can switch to its successor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date

from msgspec import Struct


class Alias(Struct, frozen=True):
    """An additional name.

    :param model: its target.
    :param successor: its target from the day ``from_date`` on.
    """

    name: str
    model: str
    successor: str | None = None
    from_date: date | None = None

    def target_on(self, day: date) -> str:
        """The target on a day."""
        if self.successor is not None and self.from_date is not None and day >= self.from_date:
            return self.successor
        return self.model

    @property
    def all_targets(self) -> tuple[str, ...]:
        """The targets of every day."""
        return (self.model,) if self.successor is None else (self.model, self.successor)


def by_name(aliases: Iterable[Alias]) -> dict[str, Alias]:
    """Aliases by their name in lower case; the first one wins if a name occurs twice."""
    table: dict[str, Alias] = {}
    for alias in aliases:
        table.setdefault(alias.name.lower(), alias)
    return table


def follow(alias: Alias, aliases: Mapping[str, Alias], day: date) -> str:
    """The name at the end of a chain of aliases on a day: either not an alias, or the name of the last alias itself.

    :param aliases: without cycles, see ``find_cycles``.
    """
    while True:
        target = alias.target_on(day)
        next_alias = aliases.get(target.lower())
        if next_alias is None or next_alias is alias:
            return target
        alias = next_alias


def find_cycles(aliases: Mapping[str, Alias], is_route: Callable[[str], bool]) -> list[list[str]]:
    """The cycles among aliases, over the targets of every day, each as the list of names along it."""
    cycles: list[list[str]] = []
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> None:
        if name in path:
            cycles.append([*path[path.index(name) :], name])
            return
        if name in done or name not in aliases or is_route(name):
            return
        for target in aliases[name].all_targets:
            if target.lower() != name:
                walk(target.lower(), [*path, name])
        done.add(name)

    for name in aliases:
        walk(name, [])
    return cycles
