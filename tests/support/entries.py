"""Rows of the ledger for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.uuid7 import uuid7

MODEL = "claude-opus-5-5"
_NUMBERS = iter(range(10**9))


def at(text: str) -> int:
    """``2026-11-20T12:00`` in UTC -> microseconds."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


def entry(when: str | int = "2026-11-20T12:00", **fields: Any) -> Entry:
    """A request with one token of input for a nano-USD, unless told otherwise; ids are made by number and time."""
    moment = at(when) if isinstance(when, str) else when
    plain = {"model": MODEL, "location": "global", "deployment": f"{MODEL}@global", "dialect": "openai_chat",
             "operation": "chat", "counts": TokenCounts(input=1), "cost": Cost(input=1),
             "price": f"{MODEL}/launch/global"}  # fmt: skip
    number = next(_NUMBERS)
    id = uuid7(moment, number.to_bytes(8))
    return Entry(**{"id": id, "at": moment, **plain, **fields})


#: Text as clients may send it.
texts = st.one_of(
    st.sampled_from(
        ["=1+1", "+1", "-2", "@x", "\t=1", "a,b", 'say "x"', "two\nlines", "名前", "'", "\0", " =1", "＝1"]
    ),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
)
_counts = st.builds(
    TokenCounts, **{name: st.integers(0, 3_000_000) for name in TokenCounts.__struct_fields__ if name != "thinking"}
)
_correction = st.builds(Cost, **{name: st.integers(-(10**12), 10**12) for name in Cost.__struct_fields__})
_tags = st.dictionaries(st.sampled_from(["app", "env", "other"]), texts, max_size=3).map(
    lambda d: tuple(sorted(d.items()))
)
_attempt = st.builds(
    AttemptEntry, deployment=texts, result=st.sampled_from(["ok", "overloaded"]), counts=st.none() | _counts
)


def _costs_of(counts: TokenCounts) -> st.SearchStrategy[Cost]:
    """Any cost that tokens may have; what was not used costs nothing."""
    used = {"web_search" if name == "web_searches" else name: count for name, count in _each(counts)}
    return st.builds(
        Cost, **{name: st.integers(0, 10**15) if used[name] else st.just(0) for name in Cost.__struct_fields__}
    )


def _each(counts: TokenCounts) -> list[tuple[str, int]]:
    return [(name, getattr(counts, name)) for name in counts.__struct_fields__]


@st.composite
def ledgers(draw: st.DrawFn, max_size: int = 6) -> list[Entry]:
    """Requests and corrections of some days, in the order of time."""
    start = at("2026-11-29T20:00")
    times = sorted(draw(st.lists(st.integers(0, 3 * 86_400_000_000), max_size=max_size)))
    entries = []
    for number, offset in enumerate(times):
        kind = draw(st.sampled_from(["usage", "usage", "rerate", "in_doubt"] if entries else ["usage"]))
        counts = TokenCounts() if kind == "rerate" else draw(_counts)
        cost = draw(_correction) if kind == "rerate" else draw(st.none() | _costs_of(counts))
        entries.append(
            entry(
                start + offset,
                kind=kind,
                corrects=entries[number // 2].id if kind == "rerate" else None,
                key=draw(st.sampled_from(["key_1", "key_2"])),
                team=draw(st.sampled_from(["", "a", "a/b"])),
                person=draw(st.none() | texts),
                end_user=draw(st.none() | texts),
                requested=draw(st.none() | texts),
                model=draw(st.sampled_from([MODEL, "claude-haiku-5-5"])),
                location=draw(st.sampled_from(["global", "eu", None])),
                tags=draw(_tags),
                counts=counts,
                cost=cost,
                price=draw(st.sampled_from([f"{MODEL}/launch/global", None])),
                outcome=draw(st.sampled_from(["ok", "upstream_error"])),
                attempts=tuple(draw(st.lists(_attempt, max_size=2))),
                agent=draw(st.none() | texts),
            )
        )
    return entries
