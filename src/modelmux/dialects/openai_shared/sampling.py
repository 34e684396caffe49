"""Ranges of sampling parameters."""

from __future__ import annotations

from modelmux.errors import InvalidRequest


def check_range(name: str, value: float | None, high: float) -> None:
    """:raises InvalidRequest: below 0 or above ``high``."""
    if value is not None and not 0.0 <= value <= high:
        raise InvalidRequest(f"Invalid value for '{name}': it must be between 0 and {high:g}.", param=name)
