"""Numbers of the texts that rows of the ledger refer to, in PostgreSQL: many at once, within one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from modelmux.accounts.entry import Entry
from modelmux.store.ledger.rollups import MOST_CONTEXTS, MOST_TAG_SETS, OTHER, Series, remember
from modelmux.store.ledger.slots import DAY
from modelmux.store.ledger.sqlite_rows import Context, context_bytes, context_fields, tags_text
from modelmux.store.ledger.sqlite_rows import clean as clean_surrogates
from modelmux.store.postgres.session import Session
from modelmux.store.postgres.text import clean

_KEYS: Final = "SELECT name, number FROM ledger_key WHERE name = ANY($1::text[])"
_ADD_KEYS: Final = (
    "INSERT INTO ledger_key (name) SELECT name FROM unnest($1::text[]) AS new (name) ORDER BY name "
    "ON CONFLICT DO NOTHING"
)
_GROUPS: Final = "SELECT digest, number FROM ledger_group WHERE digest = ANY($1::bytea[])"
_ADD_GROUPS: Final = (
    "INSERT INTO ledger_group (digest, team, model, tags) SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], "
    "$4::text[]) ORDER BY 1 ON CONFLICT DO NOTHING"
)
_SERIES: Final = "SELECT digest, number FROM ledger_series WHERE digest = ANY($1::bytea[])"
_ADD_SERIES: Final = (
    'INSERT INTO ledger_series (digest, key, person, team, model, tags, "group") SELECT * FROM unnest($1::bytea[], '
    "$2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[]) ORDER BY 1 ON CONFLICT DO NOTHING"
)
_CONTEXTS: Final = "SELECT digest, number FROM ledger_context WHERE digest = ANY($1::bytea[])"
_ADD_CONTEXTS: Final = (
    "INSERT INTO ledger_context (digest, outcome, data) SELECT * FROM unnest($1::bytea[], $2::text[], $3::bytea[]) "
    "ORDER BY 1 ON CONFLICT DO NOTHING"
)
_COUNT_CONTEXTS: Final = "SELECT count(*) FROM (SELECT 1 FROM ledger_context LIMIT $1) AS c"
_TAG_SETS: Final = "SELECT digest FROM ledger_tag_set WHERE day = $1"
_ADD_TAG_SET: Final = "INSERT INTO ledger_tag_set (day, digest) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_OUTCOME: Final = Context.__struct_fields__.index("outcome")
_encode: Final = msgspec.msgpack.Encoder().encode

#: What a series is found by in memory: fields of an entry, and the day, if it has tags.
Dimensions = tuple[object, ...]


class Numbers:
    """Remembers numbers from one transaction to the next: ``forget`` after one that failed.

    :param tags: the names of the tags that usage is reported by.
    """

    def __init__(self, tags: Iterable[str]) -> None:
        self._reported = frozenset(tags)
        self._series: dict[Dimensions, Series] = {}
        self._contexts: dict[tuple[object, ...], int] = {}
        #: Series -> its group.
        self.groups: dict[int, int] = {}

    def forget(self) -> None:
        self._series.clear()
        self._contexts.clear()
        self.groups.clear()

    async def series_of(self, session: Session, entries: Sequence[Entry]) -> list[Series]:
        """Of each entry; new ones are added."""
        every = [_dimensions(entry) for entry in entries]
        known = {dimensions: self._series[dimensions] for dimensions in every if dimensions in self._series}
        new = {dimensions: entry for dimensions, entry in zip(every, entries, strict=True) if dimensions not in known}
        if new:
            known |= await self._find_series(session, new)
            for dimensions in new:
                remember(self._series, dimensions, known[dimensions])
        return [known[dimensions] for dimensions in every]

    async def contexts_of(self, session: Session, entries: Sequence[Entry]) -> list[tuple[int, bool]]:
        """Of each entry: the number of its context, and whether that has what the client chose."""
        every = [context_fields(entry) for entry in entries]
        known = {fields: (self._contexts[fields], True) for fields in every if fields in self._contexts}
        new = [fields for fields in dict.fromkeys(every) if fields not in known]
        if new:
            known |= await self._find_contexts(session, new)
            for fields in new:
                number, is_complete = known[fields]
                if is_complete:
                    remember(self._contexts, fields, number)
        return [known[fields] for fields in every]

    async def _find_series(self, session: Session, new: dict[Dimensions, Entry]) -> dict[Dimensions, Series]:
        tags = await self._tags_of(session, new)
        names = {dimensions: _text(entry.key) for dimensions, entry in new.items()}
        keys = await numbers_of(session, _KEYS, _ADD_KEYS, dict.fromkeys(names.values(), ()))
        group_rows = {
            dimensions: (_text(entry.team), _text(entry.model), tags[dimensions]) for dimensions, entry in new.items()
        }
        groups = await numbers_of(session, _GROUPS, _ADD_GROUPS, by_digest(group_rows.values()))
        rows = {}
        for dimensions, entry in new.items():
            group_row = group_rows[dimensions]
            key, group = keys[names[dimensions]], groups[digest(group_row)]
            rows[dimensions] = (key, _text(entry.person), *group_row, group)
        numbers = await numbers_of(session, _SERIES, _ADD_SERIES, by_digest(rows.values()))
        series = {}
        for dimensions, entry in new.items():
            row, all_tags = rows[dimensions], tags_text(entry.tags)
            number = numbers[digest(row)]
            remember(self.groups, number, row[-1])
            series[dimensions] = Series(row[0], number, None if tags[dimensions] == all_tags else all_tags)
        return series

    async def _tags_of(self, session: Session, new: dict[Dimensions, Entry]) -> dict[Dimensions, str]:
        """The tags that each is reported by. Nodes that add sets at the same moment may pass the bound by a few."""
        tags = {
            dimensions: tags_text(tuple(tag for tag in entry.tags if tag[0] in self._reported))
            for dimensions, entry in new.items()
        }
        by_day: dict[int, set[str]] = {}
        for dimensions, entry in new.items():
            if tags[dimensions]:
                by_day.setdefault(entry.at // DAY, set()).add(tags[dimensions])
        for day in sorted(by_day):
            present = {row[0] for row in await session.fetch(_TAG_SETS, day)}
            for text in sorted(by_day[day]):
                one = digest((text,))
                if one not in present and len(present) < MOST_TAG_SETS:
                    await session.execute(_ADD_TAG_SET, day, one)
                    present.add(one)
            for dimensions, entry in new.items():
                text = tags[dimensions]
                if text and text != OTHER and entry.at // DAY == day and digest((text,)) not in present:
                    tags[dimensions] = OTHER
        return tags

    async def _find_contexts(
        self, session: Session, new: Sequence[tuple[Any, ...]]
    ) -> dict[tuple[Any, ...], tuple[int, bool]]:
        texts = {fields: context_bytes(fields, with_choices=True) for fields in new}
        digests = {fields: digest((data,)) for fields, data in texts.items()}
        known = dict(await _fetch(session, _CONTEXTS, list(digests.values())))
        room = MOST_CONTEXTS - await session.fetchval(_COUNT_CONTEXTS, MOST_CONTEXTS)
        rows: dict[bytes, tuple[Any, ...]] = {}
        complete = {}
        for fields in new:
            is_complete = digests[fields] in known or digests[fields] in rows or len(rows) < room
            if not is_complete:
                texts[fields] = context_bytes(fields, with_choices=False)
                digests[fields] = digest((texts[fields],))
            rows[digests[fields]] = (_text(str(fields[_OUTCOME])), texts[fields])
            complete[fields] = is_complete
        numbers = await numbers_of(session, _CONTEXTS, _ADD_CONTEXTS, rows)
        return {fields: (numbers[digests[fields]], is_complete) for fields, is_complete in complete.items()}


async def numbers_of(session: Session, find: str, add: str, rows: dict[Any, tuple[Any, ...]]) -> dict[Any, int]:
    """The numbers of rows, which are added if there are none. What others add at the same time is waited for.

    :param rows: what they are found by -> their other columns.
    """
    numbers = dict(await _fetch(session, find, list(rows)))
    missing = sorted(rows.keys() - numbers.keys())
    if missing:
        columns = list(zip(*((id, *rows[id]) for id in missing), strict=True))
        await session.execute(add, *map(list, columns))
        numbers |= dict(await _fetch(session, find, missing))
    return numbers


async def _fetch(session: Session, find: str, ids: list[Any]) -> list[tuple[Any, int]]:
    return [(id, number) for id, number in await session.fetch(find, ids)]


def _dimensions(entry: Entry) -> Dimensions:
    day = entry.at // DAY if entry.tags else None
    return entry.key, entry.person, entry.team, entry.model, entry.tags, day


def by_digest(rows: Iterable[tuple[Any, ...]]) -> dict[bytes, tuple[Any, ...]]:
    return {digest(row): row for row in rows}


def digest(row: tuple[Any, ...]) -> bytes:
    return hashlib.sha256(_encode(row)).digest()


def _text(text: str | None) -> str:
    return clean(clean_surrogates(text) or "")
