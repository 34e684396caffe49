"""Reports in pages: in which order groups come, and where a page ends."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from modelmux.accounts.fields import FieldError
from modelmux.accounts.usage_query import Group, UsageRow, by_name

#: Dimensions that may have very many values: pages are in the order of the first of them that a report is by.
MANY: Final = ("key", "person")
#: A group, or the first values of one, by the dimensions of ``page_order``. What comes up to it, and what begins with
#: it, is on the pages before. Nothing is, before an empty one.
Position = Group
_SHOWN: Final = 40


class UsagePage(Struct, frozen=True):
    """Some of the groups of a report, each with all of its buckets.

    :param next: where the next page begins; None on the last one. A page without rows may have one, too.
    """

    rows: list[UsageRow]
    next: Position | None = None


def page_order(group_by: Sequence[str]) -> tuple[str, ...]:
    """The dimensions of a report as pages are sorted by them: keys first, else people, else as they are asked for."""
    first = next((name for name in MANY if name in group_by), None)
    return tuple(sorted(group_by, key=lambda name: name != first))


def is_after(group: Group, position: Position) -> bool:
    """Whether a group is on a later page. :param group: by the dimensions of ``page_order``."""
    return not position or by_name(group[: len(position)]) > by_name(position)


def write_position(position: Position) -> str:
    """As clients send it back: they need not know what it says."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def read_position(text: str, group_by: Sequence[str]) -> Position:
    """The inverse of ``write_position``; an empty text is the beginning.

    :raises FieldError: it is not of a report by as many dimensions.
    """
    if not text:
        return ()
    try:
        encoded = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        position = tuple(msgspec.json.decode(encoded, type=list[str | None]))
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        position = ()
    if not 0 < len(position) <= len(group_by):
        raise FieldError("after", f"{text[:_SHOWN]!r} is not a place in this report", "expected next of a page")
    return position
