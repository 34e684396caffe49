"""Notices: what the gateway changed about a request, so that nothing vanishes without a word.

They reach the client in the ``x-modelmux-notices`` header and the operator in the log. A notice never holds what the
client sent, only the name of the field and a fixed sentence.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

Action = Literal["ignored", "dropped", "clamped", "changed", "added"]

#: A response header has to fit into every proxy's buffer; past this the header says how many more there are.
MAX_HEADER_NOTICES: Final = 24
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.\-\[\]$]")


class Notice(NamedTuple):
    """One change. ``field`` is a dotted path into the request."""

    action: Action
    field: str
    reason: str


class Notices:
    """Collects the notices of one request, each one once, in order. Another reason is another notice."""

    __slots__ = ("_seen", "items")

    def __init__(self) -> None:
        self.items: list[Notice] = []
        self._seen: set[Notice] = set()

    def add(self, action: Action, field: str, reason: str) -> None:
        notice = Notice(action, field, reason)
        if notice not in self._seen:
            self._seen.add(notice)
            self.items.append(notice)


def header_value(notices: list[Notice]) -> str:
    """The notices as a header value: ``dropped=temperature, clamped=max_tokens``. It has no reasons, so notices that
    differ only there are one."""
    said = list(dict.fromkeys(f"{n.action}={_UNSAFE.sub('_', n.field)[:80]}" for n in notices))
    shown = said[:MAX_HEADER_NOTICES]
    if len(said) > MAX_HEADER_NOTICES:
        shown.append(f"more={len(said) - MAX_HEADER_NOTICES}")
    return ", ".join(shown)
