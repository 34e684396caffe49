"""Pages of entries, in the order of their ids: the same in every engine.

A period is one of ``at``, while pages follow the ids. Both agree up to a few seconds, except in *displaced* rows (a
correction that was made later, a clock that was wrong). So a page walks through up to three ranges of ids: that of the
period with all its rows, and those before and after it with displaced rows alone, which have an index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from modelmux.store.ledger.base import MOST_RETURNED, EntryQuery
from modelmux.store.ledger.sqlite_rows import FINE, KINDS, SLACK, clean, first_id, pack, tags_text

_FIRST_ID: Final = b""
_AFTER_LAST_ID: Final = b"\xff" * 17
_TAG: Final = "tag:"
#: What entries are chosen by, beside tags.
FIELDS: Final = ("key", "person", "team", "model", "outcome", "end_user", "kind")


class Range(NamedTuple):
    """Ids between two, which are not included."""

    low: bytes
    high: bytes
    displaced: bool


def check_query(query: EntryQuery) -> None:
    """:raises ValueError: the ledger cannot answer it; the message names the parameter and what is expected."""
    for name, values in query.where:
        if name not in FIELDS and not (name.startswith(_TAG) and name != _TAG):
            raise ValueError(f"expected one of {', '.join(FIELDS)} or tag:NAME, got {name!r}")
        if name == "kind" and (unknown := set(values).difference(KINDS)):
            raise ValueError(f"kind: expected some of {', '.join(KINDS)}, got {min(unknown)!r}")
    if not 1 <= query.limit <= MOST_RETURNED:
        raise ValueError(f"limit: expected 1 to {MOST_RETURNED}, got {query.limit}")


def ranges_of(query: EntryQuery) -> Iterator[Range]:
    """Those that may have rows of the period after the cursor, in the order of the pages."""
    low = _FIRST_ID if query.start is None else first_id(query.start - SLACK - 1000)[:6]  # shorter than any id
    high = _AFTER_LAST_ID if query.end is None else first_id(query.end + SLACK + 1000)[:6]
    ranges = [Range(_FIRST_ID, low, True), Range(low, high, False), Range(high, _AFTER_LAST_ID, True)]
    for one in reversed(ranges) if query.newest_first else ranges:
        if query.after is not None:
            one = (
                one._replace(high=min(one.high, query.after))
                if query.newest_first
                else one._replace(low=max(one.low, query.after))
            )
        if one.low < one.high:
            yield one


def stored_value(name: str, value: str) -> Any:
    """A value of a filter as the column has it."""
    if name not in FIELDS:
        return tags_text(((name.removeprefix(_TAG), value),))[1:-1]
    if name == "kind":
        return KINDS.index(value)  # which was checked
    return pack(value) if name == "end_user" else clean(value)


def are_errors(name: str, values: Sequence[str]) -> bool:
    """Whether rows that a filter lets through count as errors, or are corrections: a row says so by itself, so most
    need not be looked into."""
    return name == "outcome" and FINE.isdisjoint(values)


def id_before(id: bytes) -> bytes:
    """A text of bytes that is below an id of 16 bytes, and above all such ids below it."""
    number = int.from_bytes(id)
    return b"" if number == 0 else (number - 1).to_bytes(16)
