"""Usage over the admin API. Risk: a role sees what others used, a day begins at the wrong hour, a sum is not exact."""

from __future__ import annotations

import asyncio
import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.cost import Cost
from modelmux.accounts.usage_pages import read_position, write_position
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support.admin import Admin, organisation
from support.cli import run
from support.ledgers import at, entry

KEYS = {
    "key_own": ("team_top/team_own", "usr_own"), "key_service": ("team_top/team_own", None),
    "key_low": ("team_top/team_own/team_low", None), "key_top": ("team_top", None),
    "key_other": ("team_top/team_other", "usr_other"), "static_1": ("", None),
}  # fmt: skip
DAY = "start=2026-11-10&end=2026-11-11"


async def used(admin: Admin, *, hour: str = "2026-11-10T12:30Z", tags: Any = (("app", "chat"),)) -> None:
    """One request of each key, each of another cost."""
    ledger = SqliteLedger(admin.path, ("app",))
    await ledger.append([
        entry(number, at(hour), key=key, team=team, person=person, tags=tags, cost=Cost(input=10**number))
        for number, (key, (team, person)) in enumerate(KEYS.items())
    ])  # fmt: skip
    await ledger.aclose()


async def keys_of(admin: Admin, role: str, query: str = "") -> set[str]:
    page = await admin.ok("GET", "/usage", role=role, query=f"{DAY}&bucket=all&group_by=key&{query}")
    return {one["key"] for one in page["data"][0]["results"]}


async def test_roles_see_what_was_used_in_their_scope(admin: Admin) -> None:
    await organisation(admin)
    await used(admin)
    assert await keys_of(admin, "owner") == await keys_of(admin, "admin") == set(KEYS)
    assert await keys_of(admin, "team_admin") == {"key_own", "key_service", "key_low"}
    assert await keys_of(admin, "member") == {"key_own"}
    total = (await admin.ok("GET", "/usage", role="viewer", query=f"{DAY}&group_by=team"))["total"]
    assert (total["requests"], total["cost"]) == (6, {"amount": "0.000111111", "currency": "USD"})


async def test_a_viewer_gets_numbers_without_people(admin: Admin) -> None:
    await organisation(admin)
    await used(admin)
    for query in ("group_by=person", "group_by=key", "person=usr_own", "key=key_own"):
        await admin.refused(400, "GET", "/usage", role="viewer", query=query)
    page = await admin.ok("GET", "/usage", role="viewer", query=f"{DAY}&group_by=team&team=team_other")
    (one,) = page["data"][0]["results"]
    assert (one["team"], one["team_path"], one["team_name"]) == ("team_other", ["team_top", "team_other"], "other")


async def test_a_model_is_found_by_the_name_that_clients_send(admin: Admin) -> None:
    ledger = SqliteLedger(admin.path, ("app",))
    await ledger.append([entry(1, at("2026-11-10T12:30Z"), model="claude-haiku-4-5@20251001")])
    await ledger.aclose()
    page = await admin.ok("GET", "/usage", query=f"{DAY}&model=claude-haiku-4-5")
    assert page["total"]["requests"] == 1
    assert len((await admin.ok("GET", "/requests", query="model=claude-haiku-4-5"))["data"]) == 1


@pytest.mark.parametrize("role", ["team_admin", "member"])
@pytest.mark.parametrize(
    "query", ["key=key_other", "key=other", "team=team_other", "person=usr_other", "person=other@example.com",
              "key=static_1", "team=team_top", "key=nothing"]
)  # fmt: skip
async def test_names_of_others_are_as_unknown_as_any(admin: Admin, role: str, query: str) -> None:
    await organisation(admin)
    await used(admin)
    for path in ("/usage", "/requests"):
        error = await admin.refused(400, "GET", path, role=role, query=query)
        name, _, value = query.partition("=")
        assert error["param"] == name
        assert error["message"].startswith(f"{name}: there is no '{value}' that you may see")


async def test_groups_have_names_and_filters_take_them(admin: Admin) -> None:
    await organisation(admin)
    await used(admin)
    query = f"{DAY}&group_by=key,person,team,tag:app&key=own,other&bucket=1d"
    (bucket,) = (await admin.ok("GET", "/usage", query=query))["data"]
    first, second = bucket["results"]
    assert first == first | {
        "key": "key_other", "key_name": "other", "person": "usr_other", "person_email": "other@example.com",
        "team": "team_other", "team_path": ["team_top", "team_other"], "team_name": "other", "tag:app": "chat",
        "requests": 1, "cost": {"amount": "0.00001", "currency": "USD"},
    }  # fmt: skip
    assert second["key_name"] == "own"
    assert await keys_of(admin, "owner", "team=own") == {"key_own", "key_service", "key_low"}, "with those below"
    assert await keys_of(admin, "owner", "key=static_1") == {"static_1"}


@pytest.mark.parametrize(
    ("zone", "day", "begins", "ends"),
    [
        ("Europe/Berlin", "2026-10-25", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        ("America/New_York", "2026-11-01", "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"),
        ("Asia/Kolkata", "2026-10-25", "2026-10-25T00:00:00+05:30", "2026-10-26T00:00:00+05:30"),
    ],
)
async def test_days_are_those_of_the_zone_also_where_clocks_change(
    admin: Admin, zone: str, day: str, begins: str, ends: str
) -> None:
    edges = [begins, ends]
    ledger = SqliteLedger(admin.path)
    first, last = (at(text) for text in edges)
    for number, when in enumerate((first - 1, first, last - 1, last)):
        await ledger.append([entry(number, when)])
    await ledger.aclose()
    following = ends[:10]
    page = await admin.ok("GET", "/usage", query=f"start={day}&end={following}&zone={zone}")
    (bucket,) = page["data"]
    assert (bucket["start"], bucket["end"], page["zone"]) == (begins, ends, zone)
    assert bucket["results"][0]["requests"] == 2
    assert len(
        (await admin.ok("GET", "/usage", query=f"start={day}&end={following}&zone={zone}&bucket=1h"))["data"]
    ) == (24 if zone == "Asia/Kolkata" else 25)


async def test_numbers_are_those_of_the_command(admin: Admin, tmp_path: Path) -> None:
    await used(admin)
    page = await admin.ok("GET", "/usage", query=f"{DAY}&bucket=all&group_by=model,key")
    result = await asyncio.to_thread(
        run, "usage", "--by", "model,key", "--period", "2026-11-10", "--json", "--set", "accounts.enabled=true",
        "--set", f"accounts.store=sqlite:{admin.path}", "--set", "vertex.project=p", home=tmp_path,
    )  # fmt: skip
    report = json.loads(result.stdout)
    assert page["total"] == report["total"]
    assert [one["cost"] for one in page["data"][0]["results"]] == [one["cost"] for one in report["rows"]]


async def test_an_answer_has_a_bounded_number_of_results(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelmux.admin.usage.MOST_RESULTS", 5)
    await used(admin)
    error = await admin.refused(400, "GET", "/usage", query=f"{DAY}&group_by=key")
    assert "there would be more than 5 results" in error["message"]
    monkeypatch.setattr("modelmux.admin.usage.MOST_RESULTS", 6)
    assert len((await admin.ok("GET", "/usage", query=f"{DAY}&group_by=key"))["data"][0]["results"]) == 6


async def test_pages_together_are_the_whole_report(admin: Admin) -> None:
    await organisation(admin)
    await used(admin)
    await used(admin, hour="2026-11-10T13:30Z", tags=())
    query = f"{DAY}&bucket=1h&group_by=team,key,tag:app"
    whole = await admin.ok("GET", "/usage", query=query)
    assert (whole["has_more"], whole["next"]) == (False, None)
    results: list[list[Any]] = [[] for _ in whole["data"]]
    totals, keys, after = list[Any](), list[list[str]](), ""
    while after is not None:
        page = await admin.ok("GET", "/usage", query=f"{query}&limit=5&after={after}")
        assert {**page, "data": [], "total": {}, "has_more": False, "next": None} == {**whole, "data": [], "total": {}}
        for bucket, of_bucket, of_whole in zip(page["data"], results, whole["data"], strict=True):
            assert (bucket["start"], bucket["end"]) == (of_whole["start"], of_whole["end"])
            of_bucket += bucket["results"]
        totals.append(page["total"])
        keys.append(sorted(one["key"] for bucket in page["data"] for one in bucket["results"]))
        assert page["has_more"] == (page["next"] is not None)
        after = page["next"]
    assert [len(page) for page in keys] == [5, 5, 2]
    assert list(itertools.chain.from_iterable(keys)) == sorted(2 * list(KEYS)), "in the order of keys"
    for of_bucket, bucket in zip(results, whole["data"], strict=True):
        assert sorted(of_bucket, key=repr) == sorted(bucket["results"], key=repr)
    assert sum(one["requests"] for one in totals) == whole["total"]["requests"]
    amount = sum(Decimal(one["cost"]["amount"]) for one in totals)
    assert amount == Decimal(whole["total"]["cost"]["amount"])


async def test_pages_have_what_the_principal_sees(admin: Admin) -> None:
    await organisation(admin)
    await used(admin)
    seen, after = [], ""
    while after is not None:
        page = await admin.ok(
            "GET", "/usage", role="team_admin", query=f"{DAY}&bucket=all&group_by=key&limit=1&after={after}"
        )
        seen += [one["key"] for one in page["data"][0]["results"]]
        after = page["next"]
        assert not after or read_position(after, ("key",)) == (seen[-1],)
    assert seen == ["key_low", "key_own", "key_service"]
    first = await admin.ok("GET", "/usage", role="member", query=f"{DAY}&group_by=key&after={write_position(('a',))}")
    assert [one["key"] for one in first["data"][0]["results"]] == ["key_own"], "a cursor opens nothing"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("limit=5&top=2", "top"),
        ("after=W251bGxd&top=2&group_by=key", "top"),
        ("after=nonsense&group_by=key", "after"),
        ("after=W251bGwsbnVsbF0&group_by=key", "after"),
        ("limit=5&after=W251bGxd", "after"),
    ],
)
async def test_pages_that_there_cannot_be_are_refused(admin: Admin, query: str, param: str) -> None:
    assert (await admin.refused(400, "GET", "/usage", query=f"{DAY}&{query}"))["param"] == param
    assert (await admin.ok("GET", "/usage", query=f"{DAY}&limit=5"))["next"] is None
    assert (await admin.ok("GET", "/usage", query=f"{DAY}&group_by=key&after=W251bGxd"))["next"] is None


async def test_many_results_are_made_beside_the_event_loop(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelmux.store.ledger.usage_report._FEW", 0)
    await used(admin)
    assert len((await admin.ok("GET", "/usage", query=f"{DAY}&group_by=key"))["data"][0]["results"]) == 6


async def test_injected_names_are_values(admin: Admin) -> None:
    nasty = "x'); DROP TABLE ledger; --"
    ledger = SqliteLedger(admin.path)
    await ledger.append([entry(1, at("2026-11-10T12:30Z"), model=nasty), replace(entry(2), tags=(("app", nasty),))])
    await ledger.aclose()
    page = await admin.ok("GET", "/usage", query=f"{DAY}&group_by=model&model=x')%3B DROP TABLE ledger%3B --")
    assert page["data"][0]["results"][0]["model"] == nasty
    await admin.refused(400, "GET", "/usage", query="group_by=tag:a'b")
    await admin.refused(400, "GET", "/usage", query="tag=a'b=1")
    assert (await admin.ok("GET", "/requests", query="tag=app=x')%3B DROP TABLE ledger%3B --"))["data"][0]["tags"]


async def test_the_most_expensive_groups_and_the_sum_of_the_others(admin: Admin) -> None:
    await organisation(admin)
    await used(admin)
    page = await admin.ok("GET", "/usage", query=f"{DAY}&group_by=key&top=2&bucket=1h")
    buckets = {bucket["start"]: bucket for bucket in page["data"]}
    bucket = buckets["2026-11-10T12:00:00Z"]
    assert [one["key"] for one in bucket["results"]] == ["static_1", "key_other"]
    others = bucket["others"]
    assert (others["groups"], others["requests"], others["cost"]["amount"]) == (4, 4, "0.000001111")
    assert page["total"]["cost"]["amount"] == "0.000111111"
    assert all(one["others"] is None for start, one in buckets.items() if one is not bucket)
    page = await admin.ok("GET", "/usage", query=f"{DAY}&group_by=key&top=6")
    assert page["data"][0]["others"] is None
    for wrong in ("-1", "10001", "x", "1.0"):
        assert (await admin.refused(400, "GET", "/usage", query=f"{DAY}&top={wrong}"))["param"] == "top"
