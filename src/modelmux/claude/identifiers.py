"""Tool names and tool call ids: renames deterministically what Vertex AI does not accept.

The replacement is a pure function of the name, so that a later turn of the same conversation sends the same bytes
(prompt caches and thinking signatures depend on it).
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from modelmux.claude.notices import Notices

#: Anthropic enforces this pattern on tool names, and its alphabet on tool call ids.
_VALID: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_INVALID_CHARACTER: Final = re.compile(r"[^a-zA-Z0-9_-]")
_MAX: Final = 128
_HASH_LENGTH: Final = 8


def to_valid_identifier(name: str) -> str:
    """A name Vertex AI accepts: a valid one unchanged, another one cleaned, with a hash of the original appended so
    that two names never become one."""
    if _VALID.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{_INVALID_CHARACTER.sub('_', name)[: _MAX - _HASH_LENGTH - 1]}_{digest}"


class ToolNames:
    """The upstream names of one request's tools.

    ``originals`` maps an upstream name back to the client's own, for renamed tools only.
    """

    __slots__ = ("_notices", "originals")

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self.originals: dict[str, str] = {}

    def upstream(self, name: str, field: str) -> str:
        """The upstream name of a tool; ``field`` is the path of its name, for the notice."""
        valid = to_valid_identifier(name)
        if valid != name:
            self.originals[valid] = name
            self._notices.add(
                "changed", field, "The name holds characters Vertex AI does not accept; replies use the original."
            )
        return valid
