"""The error of every step that reads settings."""

from __future__ import annotations


class ConfigError(Exception):
    """Settings that cannot be used. ``problems`` lists what is wrong, one sentence each; ``hint`` is a remedy."""

    def __init__(self, problems: list[str], *, hint: str | None = None) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.hint = hint

    @property
    def sentences(self) -> list[str]:
        """The problems, for a log: the last one is followed by the remedy."""
        if self.hint is None or not self.problems:
            return self.problems
        return [*self.problems[:-1], f"{self.problems[-1].rstrip('.')}. {self.hint}"]
