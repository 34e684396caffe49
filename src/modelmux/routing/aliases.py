"""Aliases: further names for what is served, and who takes a name over on a day. Pure: the day is an argument.

An alias stands for a configured name, another alias, or a Claude model of the catalog. One that bears the name of what
it stands for means the model of the catalog: so a model's own name can pass to its successor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date

from msgspec import Struct


class Alias(Struct, frozen=True):
    """A further name.

    :param model: what it stands for.
    :param successor: what it stands for from the day ``since`` on.
    """

    name: str
    model: str
    successor: str | None = None
    since: date | None = None

    def meant(self, day: date) -> str:
        """What it stands for on a day."""
        return self.successor if self.successor is not None and self.since is not None and day >= self.since else (
            self.model
        )  # fmt: skip

    @property
    def targets(self) -> tuple[str, ...]:
        """All it ever stands for."""
        return (self.model,) if self.successor is None else (self.model, self.successor)


def by_name(aliases: Iterable[Alias]) -> dict[str, Alias]:
    """Aliases by their name in lower case; the first of a name counts."""
    found: dict[str, Alias] = {}
    for alias in aliases:
        found.setdefault(alias.name.lower(), alias)
    return found


def follow(alias: Alias, aliases: Mapping[str, Alias], day: date) -> str:
    """The name at the end of a chain of aliases on a day: no alias, or an alias's own name.

    ``aliases`` holds no loops (``loops`` finds them).
    """
    while True:
        target = alias.meant(day)
        further = aliases.get(target.lower())
        if further is None or further is alias:
            return target
        alias = further


def loops(aliases: Mapping[str, Alias], is_route: Callable[[str], bool]) -> list[list[str]]:
    """The loops among aliases, over everything they ever stand for, each as the names along it."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
            return
        if name in done or name not in aliases or is_route(name):
            return
        for target in aliases[name].targets:
            if target.lower() != name:
                walk(target.lower(), [*path, name])
        done.add(name)

    for name in aliases:
        walk(name, [])
    return found
