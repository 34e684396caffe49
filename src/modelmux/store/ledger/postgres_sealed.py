"""Sums of days that are over in PostgreSQL: see ``sqlite_sealed``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modelmux.store.ledger.postgres_numbers import by_digest, digest, numbers_of
from modelmux.store.ledger.postgres_sums import upsert
from modelmux.store.ledger.rollups import Rollup, coarser, of_slices
from modelmux.store.ledger.slots import QUARTERS, SliceKind, SliceTable
from modelmux.store.postgres.session import Session

_BEFORE: Final = "SELECT before FROM ledger_sealed"
_NEXT_GROUPS_OF_DAY: Final = "SELECT series FROM group_day WHERE slot = $1 AND series > $2 ORDER BY series LIMIT $3"
_GROUPS: Final = "SELECT number, team, model, tags FROM ledger_group WHERE number = ANY($1::bigint[])"
_SLICES: Final = "SELECT digest, number FROM ledger_slice WHERE digest = ANY($1::bytea[])"
_ADD_SLICES: Final = (
    "INSERT INTO ledger_slice (digest, kind, value) SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[]) "
    "ORDER BY 1 ON CONFLICT DO NOTHING"
)
#: Groups whose slices are in memory, and added in one transaction, when a day is repaired.
GROUPS_AT_ONCE: Final = 1_000
_KINDS: Final[tuple[SliceKind, ...]] = ("all", "team", "model", "tags")


async def sealed_before(session: Session) -> int:
    """Days since 1970: of those before, there are sums by hour and slices."""
    before: int = await session.fetchval(_BEFORE)
    return before


async def add_sealed(session: Session, quarters: Rollup, groups: Rollup) -> None:
    """Within the transaction of rows: add them to the sums of their days, as far as those are sealed.

    :param quarters, groups: of the rows, by series and by group.
    """
    before = await sealed_before(session) * QUARTERS
    late = {key: sums for key, sums in groups.items() if key[0] < before}
    if not late:
        return
    of_series = {key: sums for key, sums in quarters.items() if key[0] < before}
    await upsert(session, "usage_hour", coarser(of_series, "usage_hour"))
    await upsert(session, "group_hour", coarser(late, "usage_hour"))
    for table, rollup in (await _sliced(session, late)).items():
        await upsert(session, table, rollup)


async def add_slices(session: Session, day: int, after: int) -> int | None:
    """Those of the next groups of a day that are not there yet.

    :param after: a group. :returns: the last one of these, if there may be more.
    """
    groups = [group for (group,) in await session.fetch(_NEXT_GROUPS_OF_DAY, day, after, GROUPS_AT_ONCE)]
    await slices_of(session, groups)
    return groups[-1] if len(groups) == GROUPS_AT_ONCE else None


async def _sliced(session: Session, groups: Rollup) -> dict[SliceTable, Rollup]:
    """Table -> its sums of slices, from sums by quarter and group."""
    return of_slices(groups, await slices_of(session, {group for _, group in groups}))


async def slices_of(session: Session, groups: Iterable[int]) -> dict[int, list[int]]:
    """Group -> the numbers of its slices. A group that is not there, as in a damaged database, has none."""
    wanted = sorted(groups)
    slices: dict[int, list[int]] = {group: [] for group in wanted}
    rows = {
        number: list(zip(_KINDS, ("", *values), strict=True))
        for number, *values in await session.fetch(_GROUPS, wanted)
    }
    every = by_digest(row for some in rows.values() for row in some)
    numbers = await numbers_of(session, _SLICES, _ADD_SLICES, every)
    for group, some in rows.items():
        slices[group] = [numbers[digest(row)] for row in some]
    return slices
