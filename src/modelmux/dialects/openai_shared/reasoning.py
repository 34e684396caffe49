"""Levels of reasoning."""

from __future__ import annotations

from typing import Any

from modelmux.claude.request import LEVELS, Level
from modelmux.dialects.openai_shared.foreign.rewrite import unknown_value


def read_level(value: Any, field: str) -> Level:
    """A level by its name.

    :raises InvalidRequest: an unknown one.
    """
    for level in LEVELS:
        if level == value:
            return level
    raise unknown_value(value, field, LEVELS)
