"""Patterns of names of routes and models: ``*`` stands for any characters, everything else for itself, in any case."""

from __future__ import annotations

from fnmatch import fnmatchcase


def matches(name: str, pattern: str) -> bool:
    """Whether a name fits."""
    return fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]").replace("?", "[?]"))


def matches_model(model: str, pattern: str) -> bool:
    """The same for a Vertex id, whose version after ``@`` may be left out."""
    return matches(model, pattern) or matches(model.partition("@")[0], pattern)
