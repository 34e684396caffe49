"""Pages of entries (see ``entry_pages``) in PostgreSQL, and what corrects an entry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from modelmux.accounts.entry import Entry
from modelmux.store.ledger.base import MOST_READ, EntryPage, EntryQuery
from modelmux.store.ledger.entry_pages import Range, are_errors, id_before, ranges_of, stored_value
from modelmux.store.ledger.postgres_append import day_of
from modelmux.store.ledger.postgres_partitions import AT_ONCE, MOST, Partition, cuts, last_day, partitions
from modelmux.store.ledger.sqlite_rows import COSTS, COUNTS, to_entry
from modelmux.store.postgres import text
from modelmux.store.postgres.session import Session

#: Rows of the first steps of a search, which doubles them.
_FIRST_STEP: Final = 2_000
_LARGEST_STEP: Final = 20_000
#: Displaced rows that are asked for at once.
_LOOKED_UP: Final = 1_000
_EVER: Final = (-(2**63), 2**63 - 1)
Read = Callable[[Callable[[Session], Awaitable[Any]]], Awaitable[Any]]
_COLUMNS: Final = (
    "l.id, l.at, l.kind, l.corrects, k.name, s.person, s.team, s.model, coalesce(l.tags, s.tags), l.end_user, c.data, "
    "l.rest, " + ", ".join(f"l.{name}" for name in (*COUNTS, *COSTS))
)
_END_USER: Final = 9
_JOINS: Final = (
    "JOIN ledger_series AS s ON s.number = l.series JOIN ledger_key AS k ON k.number = l.key "
    "JOIN ledger_context AS c ON c.number = l.context"
)
#: Condition and the type of the values, of which there may be several.
_CONDITIONS: Final = {
    "key": ("k.name = ANY({})", "text"),
    "person": ("s.person = ANY({})", "text"),
    "team": ("EXISTS (SELECT 1 FROM unnest({}) AS w WHERE strpos('/' || s.team || '/', '/' || w || '/') > 0)", "text"),
    "model": ("s.model = ANY({})", "text"),
    "outcome": ("c.outcome = ANY({})", "text"),
    "end_user": ("l.end_user = ANY({})", "bytea"),
    "kind": ("l.kind = ANY({})", "smallint"),
}
#: See ``are_errors``.
_ERRORS: Final = "(l.failed OR l.corrects IS NOT NULL)"
_HAS_TAG: Final = ("EXISTS (SELECT 1 FROM unnest({}) AS w WHERE strpos(coalesce(l.tags, s.tags), w) > 0)", "text")
#: The days are there for the planner, which leaves out the partitions of all others.
_BY_ID: Final = (
    f"SELECT {_COLUMNS} FROM unnest($1::integer[], $2::bytea[]) WITH ORDINALITY AS w (day, id, number) "
    f"JOIN ledger AS l ON l.day = w.day AND l.id = w.id {_JOINS} WHERE l.day = ANY($1::integer[]) ORDER BY w.number"
)
_CORRECTIONS: Final = (
    "SELECT id FROM ledger_lookup WHERE corrects IS NOT NULL AND corrects = ANY($1::bytea[]) ORDER BY day, id"
)
_KEY: Final = "SELECT number FROM ledger_key WHERE name = $1"
_RANGE: Final = (
    "l.day >= $1::integer AND l.day <= $3::integer "
    "AND (l.day, l.id) > ($1::integer, $2::bytea) AND (l.day, l.id) < ($3::integer, $4::bytea)"
)
#: Parameters of ``_RANGE``.
_RANGE_VALUES: Final = 4


class _Filter(NamedTuple):
    """:param key: if one key is asked for, and an index has its rows. :param is_selective: rows may fail it."""

    key: int | None
    condition: str
    values: list[Any]
    is_selective: bool


class Part(NamedTuple):
    """What one transaction has read of a page.

    :param read: rows that it looked at, at most. :param following: where the next one goes on; None at the end.
    """

    rows: list[Entry]
    read: int
    following: bytes | None


async def entries(read: Read, query: EntryQuery) -> EntryPage:
    """:param read: runs something in a transaction of its own. A page may need more partitions than one may lock."""
    rows: list[Entry] = []
    count, following = 0, query.after
    while True:
        wanted, rest = query.limit + 1 - len(rows), MOST_READ - count
        at = replace(query, after=following)
        part = await read(partial(_part, query=at, wanted=wanted, most=rest))
        rows, count, following = [*rows, *part.rows], count + part.read, part.following
        if len(rows) > query.limit:
            return EntryPage(rows[: query.limit], rows[query.limit - 1].id)
        if following is None or count >= MOST_READ:
            return EntryPage(rows, None if following is None else following.ljust(16, b"\0"))


async def by_id(session: Session, ids: Sequence[bytes]) -> list[Entry]:
    """Within a transaction: the rows with these ids, in their order."""
    return [_entry(row) for row in await session.fetch(_BY_ID, [day_of(id) for id in ids], list(ids))]


async def corrections(session: Session, ids: Sequence[bytes]) -> list[Entry]:
    """Within a transaction: all rows that correct these, by id."""
    return await by_id(session, await ids_of_corrections(session, ids))


async def ids_of_corrections(session: Session, ids: Sequence[bytes]) -> list[bytes]:
    """Within a transaction, in their order."""
    return [id for (id,) in await session.fetch(_CORRECTIONS, list(ids))]


async def all_by_id(read: Read, ids: Sequence[bytes]) -> list[Entry]:
    """As ``by_id``, of any number of days. :param read: see ``entries``."""
    positions: dict[bytes, list[int]] = {}
    for index, id in enumerate(ids):
        positions.setdefault(id, []).append(index)
    entries_by_index: dict[int, Entry] = {}
    for some in _by_days(sorted(positions), MOST):
        for row in await read(partial(by_id, ids=some)):
            entries_by_index |= dict.fromkeys(positions[row.id], row)
    return [entries_by_index[index] for index in sorted(entries_by_index)]


def _by_days(ids: Sequence[bytes], most: int) -> list[list[bytes]]:
    """Ids, in their order, each part of which is of a number of days at most."""
    parts: list[list[bytes]] = []
    days: set[int] = set()
    for id in ids:
        day = day_of(id)
        if not parts or len(days | {day}) > most:
            parts.append([])
            days = set()
        days.add(day)
        parts[-1].append(id)
    return parts


async def _part(session: Session, query: EntryQuery, wanted: int, most: int) -> Part:
    """Within a transaction. :param wanted: rows at most. :param most: rows to look at, at most."""
    matching = await _filter(session, query)
    if matching is None:
        return Part([], 0, None)
    parts = await partitions(session)
    search = _Search(session, query, matching, wanted, most)
    for ids in ranges_of(query):
        if ids.displaced:
            following = await search.displaced(ids)
        else:
            following = await search.pieces(ids, parts)
        if following is not None or search.wanted <= 0:
            return Part(search.rows, search.read, following)
    return Part(search.rows, search.read, None)


class _Search:
    """One transaction of a page. Its methods return where the next one goes on, None if all of the range was read."""

    def __init__(self, session: Session, query: EntryQuery, matching: _Filter, wanted: int, most: int) -> None:
        self._session, self._query, self._matching = session, query, matching
        self.rows: list[Entry] = []
        self.wanted, self.read = wanted, 0
        self._most = most
        self._partitions = 0
        self._step = _FIRST_STEP

    async def pieces(self, ids: Range, parts: Sequence[Partition]) -> bytes | None:
        """A range of which all rows may count."""
        newest_first = self._query.newest_first
        for low, high in cuts(ids.low, ids.high, parts, newest_first=newest_first):
            if not self._has_room(AT_ONCE):
                return high if newest_first else low
            following = await self._piece(Range(low, high, False))
            if following is not None or self.wanted <= 0:
                return following
        return None

    async def displaced(self, ids: Range) -> bytes | None:
        """A range of which displaced rows count: they are in days anywhere, so each is asked for by its id."""
        newest_first = self._query.newest_first
        while True:
            size = min(_LOOKED_UP, self._most - self.read)
            keys = await self._keys(ids, size)
            done = ids.high if newest_first else ids.low
            for some in _by_days(keys, AT_ONCE):
                if not self._has_room(len(set(map(day_of, some)))):
                    return done
                self._add(await self._by_ids(some))
                self.read += len(some)
                done = some[-1]
                if self.wanted <= 0:
                    return None
            if len(keys) < size:
                return None
            if self.read >= self._most:
                return done
            ids = ids._replace(high=done) if newest_first else ids._replace(low=done)

    async def _piece(self, ids: Range) -> bytes | None:
        at: Range | None = ids
        while at is not None:
            size = min(self._step, self._most - self.read)
            if size == 0:
                return at.high if self._query.newest_first else at.low
            chunk, following, count = await _chunk(self._session, self._query, self._matching, at, size)
            self.read += count
            self._add(await _matching(self._session, self._query, self._matching, chunk, self.wanted))
            if self.wanted <= 0:
                return None
            self._step, at = min(2 * self._step, _LARGEST_STEP), following
        return None

    def _has_room(self, count: int) -> bool:
        """Whether so many more partitions may be locked; they are counted."""
        self._partitions += count
        return self._partitions <= MOST

    def _add(self, rows: Sequence[Entry]) -> None:
        self.rows += rows
        self.wanted -= len(rows)

    async def _keys(self, ids: Range, size: int) -> list[bytes]:
        query, order = self._query, "DESC" if self._query.newest_first else "ASC"
        return [
            id
            for (id,) in await self._session.fetch(
                f"SELECT l.id FROM ledger_lookup AS l WHERE {_RANGE} AND l.displaced AND l.at >= $5 AND l.at < $6 "
                f"ORDER BY l.day {order}, l.id {order} LIMIT $7",
                *_bounds(ids), _EVER[0] if query.start is None else query.start,
                _EVER[1] if query.end is None else query.end, size,
            )
        ]  # fmt: skip

    async def _by_ids(self, ids: Sequence[bytes]) -> list[Entry]:
        order = "DESC" if self._query.newest_first else "ASC"
        number = len(self._matching.values) + _RANGE_VALUES + 1
        rows = await self._session.fetch(
            f"SELECT {_COLUMNS} FROM ledger AS l {_JOINS} WHERE {_RANGE} AND l.day = ANY(${number}::integer[]) "
            f"AND l.id = ANY(${number + 1}::bytea[]) AND {self._matching.condition} "
            f"ORDER BY l.day {order}, l.id {order} LIMIT ${number + 2}",
            *_bounds(Range(min(ids)[:6], max(ids) + b"\0", True)), *self._matching.values,
            sorted(set(map(day_of, ids))), list(ids), self.wanted,
        )  # fmt: skip
        return [_entry(row) for row in rows]


async def _filter(session: Session, query: EntryQuery) -> _Filter | None:
    """None if no row can match. The values follow those of the range."""
    key = None
    conditions, values = [], list[Any]()

    def add(form: str, kind: str, value: object) -> None:
        values.append(value)
        conditions.append(form.format(f"${_RANGE_VALUES + len(values)}::{kind}"))

    for name, wanted in query.where:
        if name == "key" and len(wanted) == 1 and key is None:
            key = await session.fetchval(_KEY, _stored("key", wanted[0]))
            if key is None:
                return None
            add("l.key = {}", "bigint", key)
            continue
        form, kind = _CONDITIONS.get(name, _HAS_TAG)
        add(form, f"{kind}[]", [_stored(name, value) for value in wanted])
        conditions += [_ERRORS] if are_errors(name, wanted) else []
    is_selective = len(values) > (key is not None)
    for form, value in (
        (f"{' + '.join(f'l.{name}' for name in COSTS)} >= {{}}", query.min_cost),
        ("l.at >= {}", query.start),
        ("l.at < {}", query.end),
    ):
        if value is not None:
            is_selective = True
            add(form, "bigint", value)
    return _Filter(key, " AND ".join(["TRUE", *conditions]), values, is_selective)


def _stored(name: str, value: str) -> Any:
    """A value of a filter as the column has it."""
    stored = stored_value(name, value)
    if name == "end_user":
        return b"t" + stored.encode() if isinstance(stored, str) else stored
    return text.clean(stored) if isinstance(stored, str) else stored


def _bounds(ids: Range) -> list[Any]:
    """The parameters of ``_RANGE``."""
    return [day_of(ids.low[:16].ljust(16, b"\0")), ids.low, last_day(ids.high), ids.high]


async def _chunk(
    session: Session, query: EntryQuery, matching: _Filter, ids: Range, size: int
) -> tuple[Range, Range | None, int]:
    """The next rows of a range, what follows them, and how many they are at most."""
    if not matching.is_selective:
        return ids, None, query.limit + 1
    source, values = f"ledger AS l WHERE {_RANGE}", _bounds(ids)
    if matching.key is not None:
        source, values = f"{source} AND l.key = $5", [*values, matching.key]
    order = "DESC" if query.newest_first else "ASC"
    # The array has the order of what it is made of. No aggregate of all supported versions has the last id alone.
    count, last = await session.fetchrow(
        f"SELECT count(*), (array_agg(c.id))[${len(values) + 1}::integer] "
        f"FROM (SELECT l.id FROM {source} ORDER BY l.day {order}, l.id {order} LIMIT ${len(values) + 1}::integer) AS c",
        *values, size,
    )  # fmt: skip
    if last is None:
        return ids, None, count
    if query.newest_first:
        return ids._replace(low=id_before(last)), ids._replace(high=last), size
    return ids._replace(high=last + b"\0"), ids._replace(low=last), size


async def _matching(session: Session, query: EntryQuery, matching: _Filter, ids: Range, limit: int) -> list[Entry]:
    order = "DESC" if query.newest_first else "ASC"
    rows = await session.fetch(
        f"SELECT {_COLUMNS} FROM ledger AS l {_JOINS} WHERE {_RANGE} AND {matching.condition} "
        f"ORDER BY l.day {order}, l.id {order} LIMIT ${_RANGE_VALUES + len(matching.values) + 1}",
        *_bounds(ids), *matching.values, limit,
    )  # fmt: skip
    return [_entry(row) for row in rows]


def _entry(row: Any) -> Entry:
    values = tuple(row)
    end_user = values[_END_USER]
    if end_user is not None and end_user[:1] == b"t":
        end_user = end_user[1:].decode()
    return to_entry((*values[:_END_USER], end_user, *values[_END_USER + 1 :]))
