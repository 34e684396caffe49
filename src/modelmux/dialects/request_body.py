"""The body of a request before it is decoded: lone surrogates are replaced, whatever the dialect.

A client that once cut a text in the middle of an emoji sends the half with every later turn, so a 400 would end its
session.
"""

from __future__ import annotations

from typing import Final

from modelmux.claude.notices import Notice
from modelmux.wire.lone_surrogates import places_of_surrogates, replace_lone_surrogates

HALF_A_CHARACTER: Final = "Half a surrogate pair is not a character; it was replaced by U+FFFD."


def legal_body(body: bytes) -> tuple[bytes, tuple[Notice, ...]]:
    """The body without lone surrogates, with a notice for each place that had one; the same object if none had.

    What is not JSON stays so.
    """
    replaced = replace_lone_surrogates(body)
    if replaced is body:
        return body, ()
    return replaced, tuple(Notice("changed", place, HALF_A_CHARACTER) for place in places_of_surrogates(body))
