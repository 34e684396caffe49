"""The error of every step that reads settings."""

from __future__ import annotations


class ConfigError(Exception):
    """Settings that cannot be used. ``problems`` lists what is wrong, one sentence each; ``hint`` is a remedy."""

    def __init__(self, problems: list[str], *, hint: str | None = None) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.hint = hint
