"""Checks a value against a JSON Schema, as far as that can be told with a bounded amount of work.

A client may send any schema, in any draft; ``keywords.py`` says what is read of it.
"""

from __future__ import annotations

from typing import Any

from modelmux.claude.schema.keywords import KEYWORDS, UNREAD, Step, Verdict
from modelmux.claude.schema.reader import dict_in, resolve_ref
from modelmux.claude.schema.work import MAX_LEVELS, TooMuchWork, Work


class SchemaChecker:
    """Checks values against one schema."""

    def __init__(self, schema: Any, work: Work) -> None:
        self._root = schema
        self.work = work
        self._enums: dict[int, frozenset[Any]] = {}
        self._targets: dict[str, Any] = {}

    def check(self, value: Any) -> Verdict:
        """Whether the value fits the schema; None where it cannot be told.

        :raises TooMuchWork: nothing is known.
        """
        return self.fits(self._root, value, 0)

    def fits(self, schema: Any, value: Any, level: int) -> Verdict:
        """Whether the value fits a part of the schema."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            return None
        if level > MAX_LEVELS:
            raise TooMuchWork
        self.work.charge(1 + len(schema))
        if value is None and schema.get("nullable") is True:  # OpenAPI 3.0
            return True
        certain: Verdict = True
        for keyword, argument in schema.items():
            apply = KEYWORDS.get(keyword)
            if apply is None:
                certain = None if keyword in UNREAD else certain
                continue
            verdict = apply(Step(self, schema, argument, value, level + 1))
            if verdict is False:
                return False
            certain = certain and verdict
        return certain

    def target(self, reference: str) -> Any:
        """See ``target_of``."""
        if reference not in self._targets:
            self._targets[reference] = target_of(self._root, reference)
        return self._targets[reference]

    def values_of(self, enum: list[Any]) -> frozenset[Any]:
        """The values of a list in the form of ``comparable``."""
        if id(enum) not in self._enums:
            self._enums[id(enum)] = frozenset(self.comparable(value) for value in enum)
        return self._enums[id(enum)]

    def comparable(self, value: Any, level: int = 0) -> Any:
        """A hashable value that equals another one's if JSON Schema calls the two equal: 1 and 1.0, not 1 and true."""
        if level > MAX_LEVELS:
            raise TooMuchWork
        self.work.charge(1)
        if isinstance(value, bool):
            return (bool, value)
        if isinstance(value, list):
            return (list, tuple(self.comparable(part, level + 1) for part in value))
        if isinstance(value, dict):
            return (dict, frozenset((key, self.comparable(part, level + 1)) for key, part in value.items()))
        return value


def target_of(root: Any, reference: Any) -> Any:
    """The schema that a reference points to; None for nothing, for one in another document, and for no reference."""
    if not isinstance(reference, str):
        return None
    return root if reference == "#" else resolve_ref(dict_in(root), reference)
