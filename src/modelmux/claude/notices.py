"""Notices: what the gateway changed about a request, so that no change goes unreported.

They reach the client in the ``x-modelmux-notices`` header and the operator in the log. A notice never holds what the
client sent, only the name of the field and a fixed sentence. The name of a field that no API has is the client's own:
the log only counts those, and the places whose paths may have such names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from modelmux.errors import InvalidRequest
from modelmux.wire.lone_surrogates import WHOLE_BODY

Action = Literal["ignored", "dropped", "clamped", "changed", "added"]

#: Above this number the header only gives a count, because a response header has to fit into every proxy's buffer.
MAX_HEADER_NOTICES: Final = 24
#: How many notices the error of strict mode quotes.
_MAX_QUOTED: Final = 10
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.\-\[\]$]")


class Notice(NamedTuple):
    """One change. ``field`` is a dotted path into the request, and never empty."""

    action: Action
    field: str
    reason: str


class UnknownField(Notice):
    """A field that is ignored because no API has it. Its name is the client's, and may be anything."""

    __slots__ = ()


class LoneSurrogate(Notice):
    """A string in which half a surrogate pair was replaced. Its path may have names of the client's own: it was found
    before anything was known about the fields."""

    __slots__ = ()


class Notices:
    """Collects the notices of one request in order, each one once. A second reason for the same field is a second
    notice."""

    __slots__ = ("_seen", "items")

    def __init__(self, items: Iterable[Notice] = ()) -> None:
        self.items: list[Notice] = list(items)
        self._seen: set[Notice] = set(self.items)

    def add(self, action: Action, field: str, reason: str) -> None:
        self.include(Notice(action, field or WHOLE_BODY, reason))

    def ignore_unknown(self, field: str, reason: str) -> None:
        """Report a field that no API has."""
        self.include(UnknownField("ignored", field or WHOLE_BODY, reason))

    def include(self, notice: Notice) -> None:
        """Report what was found elsewhere."""
        if notice not in self._seen:
            self._seen.add(notice)
            self.items.append(notice)


def header_value(notices: Sequence[Notice]) -> str:
    """The notices as a header value: ``dropped=temperature, clamped=max_tokens``. Reasons are left out, so notices that
    differ only in these are listed once."""
    entries = list(dict.fromkeys(f"{n.action}={_UNSAFE.sub('_', n.field)[:80]}" for n in notices))
    shown = entries[:MAX_HEADER_NOTICES]
    if len(entries) > MAX_HEADER_NOTICES:
        shown.append(f"more={len(entries) - MAX_HEADER_NOTICES}")
    return ", ".join(shown)


def log_value(notices: Sequence[Notice]) -> str:
    """The notices for the log: as in the header, but what may have a name of the client's own is counted, not named."""
    named = [notice for notice in notices if not isinstance(notice, (UnknownField, LoneSurrogate))]
    if len(named) == len(notices):
        return header_value(notices)
    unknown = {notice.field for notice in notices if isinstance(notice, UnknownField)}
    surrogates = {notice.field for notice in notices if isinstance(notice, LoneSurrogate)}
    counts = (("unknown_fields", unknown), ("lone_surrogates", surrogates))
    return ", ".join(filter(None, (header_value(named), *(f"{name}={len(of)}" for name, of in counts if of))))


def reject_notices(notices: Sequence[Notice]) -> None:
    """Strict mode: raise an error instead of reporting notices.

    :raises InvalidRequest: with the first field as its param, and the others in the message.
    """
    if notices:
        changes = " ".join(f"'{n.field}' would be {n.action}: {n.reason}" for n in notices[:_MAX_QUOTED])
        raise InvalidRequest(
            f"Strict mode allows no changes. {changes}",
            param=notices[0].field,
            code="strict_mode",
            hint="Change the request, or turn strict mode off.",
        )
