"""One native request while the rules decide what changes for one deployment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from modelmux.catalog import ModelCard
from modelmux.claude.native import NativeRequest
from modelmux.claude.notices import Notices
from modelmux.claude.options import Options
from modelmux.claude.schema.work import request_work
from modelmux.errors import InvalidRequest
from modelmux.wire.json_edit import Path, dotted


class NativeDraft:
    """What a rule reads and changes.

    :param refused: betas that the deployment's location has refused lately.
    :param count_tokens: the request counts tokens, it generates nothing.
    """

    __slots__ = (
        "betas", "card", "content", "count_tokens", "edits", "native", "notices", "options",
        "property_names", "refused", "schema_work",
    )  # fmt: skip

    def __init__(
        self,
        native: NativeRequest,
        card: ModelCard,
        options: Options,
        *,
        refused: frozenset[str] = frozenset(),
        count_tokens: bool = False,
    ) -> None:
        self.native = native
        self.content = native.content
        self.card = card
        self.options = options
        self.refused = refused
        self.count_tokens = count_tokens
        self.betas = list(native.betas)
        self.edits: dict[Path, bytes | None] = {}
        self.notices = Notices()
        #: What is left for all schemas.
        self.schema_work = request_work()
        #: See ``ReplyPlan``.
        self.property_names: Mapping[str, Mapping[str, str]] = {}

    def value(self, *path: str | int) -> Any:
        """The client's value; None where a part of the path does not exist."""
        value: Any = self.content
        for key in path:
            if isinstance(value, dict):
                value = value.get(key)
            elif isinstance(value, list) and isinstance(key, int) and key < len(value):
                value = value[key]
            else:
                return None
        return value

    def remove(self, path: Path, reason: str) -> None:
        """Leave a value out, and say so."""
        self.edits[path] = None
        self.notices.add("dropped", dotted(path), reason)

    def set(self, path: Path, value: Any) -> None:
        """Set a value, which is encoded here."""
        self.edits[path] = msgspec.json.encode(value)


def refuse(
    path: Path, message: str, hint: str | None = None, *, details: Mapping[str, Any] | None = None
) -> InvalidRequest:
    """An error about one field, in the form of Anthropic's own."""
    return InvalidRequest(f"{dotted(path)}: {message}", param=dotted(path), hint=hint, details=details)


class NativeRule(NamedTuple):
    """One change, as the documentation shows it and as it is made.

    :param field: what it is about; ``header`` marks a header.
    :param change: what becomes of it.
    :param when: under which condition, as a sentence.
    :param source: why, by the tags of ``docs/compatibility.md``.
    """

    field: str
    change: Literal["moved", "set", "renamed", "removed", "inlined", "filtered", "rejected", "repaired"]
    when: str
    source: str
    apply: Callable[[NativeDraft], None]
