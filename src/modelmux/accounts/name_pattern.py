"""Patterns of names of routes and models: ``*`` stands for any characters, everything else for itself, in any case."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from modelmux.catalog import normalise


def matches(name: str, pattern: str) -> bool:
    """Whether a name fits."""
    return fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]").replace("?", "[?]"))


def matches_model(model: str, pattern: str) -> bool:
    """The same for a Vertex id, whose version after ``@`` may be left out. Both are compared as ``normalise`` writes
    names of models."""
    normal = normalise(pattern)
    return matches(normalise(model), normal) or matches(normalise(model.partition("@")[0]), normal)


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of the patterns."""
    return any(matches(name, pattern) for pattern in patterns)
