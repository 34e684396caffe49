"""What series are of, packed by blocks of their numbers: a series never changes, and there are very many."""

from __future__ import annotations

import sqlite3
import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from modelmux.store.ledger.base import Difference

#: Series of a block.
SIZE: Final = 4_096
_BYTES: Final = 4
_COLUMNS: Final = ("keys", "people", "groups")
_OF: Final = {
    "keys": "s.key",
    "people": "(SELECT min(p.number) FROM ledger_series AS p WHERE p.person = s.person)",
    "groups": (
        "(SELECT g.number FROM ledger_group AS g WHERE g.team = s.team AND g.model = s.model AND g.tags = s.tags)"
    ),
}
_SERIES: Final = "SELECT s.number, {} FROM ledger_series AS s WHERE s.number >= ? AND s.number < ?"
_BLOCKS: Final = "SELECT first, {} FROM series_block ORDER BY first"
_NEWEST: Final = "SELECT max(first) FROM series_block"
_LAST: Final = "SELECT coalesce(max(number), 0) FROM ledger_series"
_WRITE: Final = "INSERT INTO series_block (first, keys, people, groups) VALUES (?, ?, ?, ?)"
_FORGET: Final = "DELETE FROM series_block"
_DAMAGED: Final = "what series are of is damaged: modelmux usage verify --repair makes it anew"


class Values(NamedTuple):
    """By number of a series; 0 where there is none, and nothing of what was not asked for.

    :param keys: numbers of keys. :param people: of each, the number of the first series with the same person.
    :param groups: numbers of ``ledger_group``.
    """

    keys: array[int] = array("I")
    people: array[int] = array("I")
    groups: array[int] = array("I")


def last(connection: sqlite3.Connection) -> int:
    """The highest number of a series."""
    (number,) = connection.execute(_LAST).fetchone()
    return int(number)


def read(connection: sqlite3.Connection, columns: Sequence[str]) -> Values:
    """Within a transaction. :param columns: fields of ``Values``. :raises sqlite3.DatabaseError: a block is damaged."""
    values, after = {name: array("I") for name in columns}, 0
    for first, *packed in connection.execute(_BLOCKS.format(", ".join(columns))):
        if first != after or any(len(one) != SIZE * _BYTES for one in packed):
            raise sqlite3.DatabaseError(_DAMAGED)
        for numbers, one in zip(values.values(), packed, strict=True):
            numbers.frombytes(one)
        after += SIZE
    if sys.byteorder == "big":  # pragma: no cover - which no machine of the tests has
        for numbers in values.values():
            numbers.byteswap()
    rest = _read(connection, columns, after, last(connection) + 1)
    for numbers, more in zip(values.values(), rest, strict=True):
        numbers.extend(more)
    return Values(**values)


def make_next(connection: sqlite3.Connection) -> bool:
    """Within a write transaction: make the next block. :returns: whether there was one."""
    first = _next(connection)
    if last(connection) < first + SIZE:  # others may be added to it
        return False
    connection.execute(_WRITE, (first, *_packed(connection, first)))
    return True


def differences(connection: sqlite3.Connection) -> Iterator[Difference]:
    """Of the blocks and the series themselves."""
    end = _next(connection)
    blocks = {first: packed for first, *packed in connection.execute(_BLOCKS.format(", ".join(_COLUMNS)))}
    for first in sorted({*range(0, end, SIZE), *blocks}):
        wanted = _packed(connection, first)
        for name, before, after in zip(_COLUMNS, blocks.get(first, [b""] * len(wanted)), wanted, strict=True):
            if before != after:
                yield Difference(f"{name} of series {first} to {first + SIZE - 1}", len(before), len(after))


def repair(connection: sqlite3.Connection) -> None:
    """Within a write transaction: make all blocks anew that differ."""
    if any(differences(connection)):
        connection.execute(_FORGET)
        while make_next(connection):
            pass


def _next(connection: sqlite3.Connection) -> int:
    """The first number that no block has."""
    (first,) = connection.execute(_NEWEST).fetchone()
    return 0 if first is None else int(first) + SIZE


def _packed(connection: sqlite3.Connection, first: int) -> list[bytes]:
    return [struct.pack(f"<{SIZE}I", *numbers) for numbers in _read(connection, _COLUMNS, first, first + SIZE)]


def _read(connection: sqlite3.Connection, columns: Sequence[str], first: int, end: int) -> list[list[int]]:
    """Of each column, the numbers of some series. :param end: not included."""
    found = [[0] * (end - first) for _ in columns]
    for number, *values in connection.execute(_SERIES.format(", ".join(_OF[name] for name in columns)), (first, end)):
        for numbers, value in zip(found, values, strict=True):
            numbers[number - first] = value or 0
    return found
