"""A log for the gateway that records what is logged."""

from __future__ import annotations

from typing import Any


class Lines:
    """Records every line as (event, fields), and those of warnings a second time."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.warnings: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    debug = error = info

    def warning(self, event: str, **fields: Any) -> None:
        self.warnings.append((event, fields))
        self.lines.append((event, fields))
