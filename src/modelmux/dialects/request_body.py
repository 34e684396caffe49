"""Decodes the body of a request without its lone surrogates, whatever the dialect.

A client that once cut a text in the middle of an emoji sends the half with every later turn, so a 400 would end its
session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from modelmux.claude.notices import LoneSurrogate, Notice
from modelmux.errors import InvalidRequest
from modelmux.wire.lone_surrogates import has_surrogate_bytes, positions_of_surrogates, replace_lone_surrogates

T = TypeVar("T")

HALF_A_CHARACTER: Final = "Half a surrogate pair is not a character; it was replaced by U+FFFD."


class LegalBody(NamedTuple):
    """A body without lone surrogates.

    :param notices: one for each place that had some.
    """

    data: bytes
    notices: tuple[Notice, ...] = ()


def decode_legal(body: bytes, decode: Callable[[bytes], T]) -> tuple[T, LegalBody]:
    """What ``decode`` makes of the body without lone surrogates, and that body; the same object if it has none.

    It is searched only where it cannot be decoded as it is: the usual request pays nothing.

    :raises InvalidRequest: of ``decode``; what is not JSON stays so.
    """
    if not has_surrogate_bytes(body):
        try:
            return decode(body), LegalBody(body)
        except InvalidRequest:
            legal = replace_lone_surrogates(body)
            if legal is body:
                raise
    else:
        legal = replace_lone_surrogates(body)
    notices = tuple(LoneSurrogate("changed", position, HALF_A_CHARACTER) for position in positions_of_surrogates(body))
    return decode(legal), LegalBody(legal, notices)
