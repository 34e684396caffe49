"""Levels of reasoning."""

from __future__ import annotations

from typing import Any

from modelmux.claude.request import LEVELS, Level
from modelmux.errors import InvalidRequest


def read_level(value: Any, field: str) -> Level:
    """A level by its name.

    :raises InvalidRequest: an unknown one.
    """
    for level in LEVELS:
        if level == value:
            return level
    raise InvalidRequest(f"Invalid value for '{field}'.", param=field, hint=f"Use one of {', '.join(LEVELS)}.")
