"""Risk: a budget that others' gateways pass or refuse wrongly: in the first requests of a stranger, after a window has
ended, within one, after a key was rotated, of one level of several.

With the real store in a file. The numbers are those of docs/lessons.md.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from behaviour.test_budgets_are_never_passed import NANO, World
from modelmux.accounts.budget_edits import save_budget
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.edits import Edit, rotate_key, save_key, save_person, save_team
from modelmux.accounts.records import Key, Person, Team
from modelmux.accounts.windows import WindowRule
from support.clock import NOW, Clock, use_runtime
from support.fakes import error_reply, message_reply
from support.work import CountedCalls

#: The end of the day on which tests run, in UTC.
MIDNIGHT = datetime(2026, 12, 2, tzinfo=UTC).timestamp()


async def test_a2_the_first_requests_of_an_unknown_end_user_have_its_budget(tmp_path: Path) -> None:
    world = World(tmp_path, *(message_reply() for _ in range(20)))
    await world.begin(2, unit="requests", applies_to=Selector(each="end_user"))
    for stranger in ("ada", "grace"):
        replies = await asyncio.gather(*(world.ask(user=stranger) for _ in range(8)))
        assert sorted(one.status for one in replies) == [200] * 2 + [429] * 6
    await world.end()
    assert world.windows() == [(2, 0), (2, 0)]


@pytest.mark.parametrize(("unit", "limit"), [("requests", 2), ("tokens", 2_000), ("usd", 4_000_000)])
async def test_a6_a10_a_window_gives_nothing_back_and_the_next_one_has_spent_nothing(
    unit: Any, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No bucket that fills up within the day, and no counter of yesterday that still refuses after it."""
    clock = Clock(NOW)
    use_runtime(monkeypatch, now=clock)
    world = World(tmp_path, *(message_reply() for _ in range(1_000)))
    await world.begin(limit, unit=unit, window=WindowRule(every="day"))
    passed = 0
    while (await world.ask()).status == 200:
        passed += 1
    assert 0 < passed < 1_000
    for clock.now in (NOW + 3600, MIDNIGHT - 1):
        assert (await world.ask()).status == 429, "nothing comes with time"
    clock.now = MIDNIGHT + 60  # a request began when it came, a moment before the clock is read
    last = await world.ask()
    assert last.status == 200, last.body
    await world.end()
    of_first, of_next = (row[0] for row in world.windows())
    assert of_first == passed * of_next > 0


async def test_a11_a_rotated_key_has_spent_what_it_had(tmp_path: Path) -> None:
    world = World(tmp_path, *(message_reply() for _ in range(5)))
    await world.begin(2, unit="requests")
    assert [(await world.ask()).status for _ in range(3)] == [200, 200, 429]
    text, secret = world.issuer.secret("key_a")
    await world.change(lambda d: rotate_key(d, "key_a", secret, 0))
    world.headers = {"authorization": f"Bearer {text}"}
    assert (await world.ask()).status == 429
    await world.end()
    assert world.windows() == [(2, 0)]


LEVELS = {
    "key": Selector(key="key_a"),
    "team": Selector(team="team_a"),
    "the team above": Selector(team="team_top"),
    "person": Selector(person="usr_a"),
    "each person": Selector(each="person"),
    "tag": Selector(tag="app=chat"),
    "all": Selector(),
}


@pytest.mark.parametrize("tight", LEVELS)
async def test_a18_every_level_refuses_however_much_the_others_have(tight: str, tmp_path: Path) -> None:
    world = World(tmp_path, *(message_reply() for _ in range(5)))
    await world.begin(1_000, unit="requests")
    await world.change(lambda d: save_team(d, Team(id="team_top", name="top")))
    await world.change(lambda d: save_team(d, Team(id="team_a", name="data", parent="team_top")))
    await world.change(lambda d: save_person(d, Person(id="usr_a", email="ann@example.com")))
    owned = Key(id="key_a", name="laptop", team="team_a", person="usr_a", tags=(("app", "chat"),))
    await world.change(lambda d: save_key(d, owned))
    for number, (level, selector) in enumerate(LEVELS.items()):
        budget = Budget(
            id=f"bud_{number}", name=level, unit="requests", limit=1 if level == tight else 1_000,
            window=WindowRule(every="month"), applies_to=selector,
        )  # fmt: skip
        await world.change(lambda d, budget=budget: save_budget(d, budget))  # type: ignore[misc]
    first, second = await world.ask(), await world.ask()
    assert (first.status, second.status) == (200, 429)
    assert f"'{tight}'" in second.json()["error"]["message"]
    await world.end()
    assert [row[0] for row in world.windows()] == [1] * (len(LEVELS) + 1), "all of them were charged, and only once"


async def test_a21_keys_that_send_nothing_cost_a_request_nothing(tmp_path: Path) -> None:
    """A request, its exchange with the store and its row, beside one key and beside hundreds with budgets."""
    calls = []
    for others in (0, 300):
        folder = tmp_path / str(others)
        folder.mkdir()
        world = World(folder, *(message_reply() for _ in range(9)))
        await world.begin(1_000 * NANO, applies_to=Selector(each="key"))
        records = tuple(Key(id=f"key_{n}", name=f"k{n}") for n in range(others))
        await world.change(lambda d, records=records: Edit(action="key.create", subject="key_0", keys=records))  # type: ignore[misc]
        for _ in range(3):
            assert (await world.ask()).status == 200
        with CountedCalls() as work:
            for _ in range(5):
                assert (await world.ask()).status == 200
        calls.append(work.calls)
        await world.end()
    assert calls[1] < 1.2 * calls[0], calls


async def test_a29_every_request_that_was_admitted_is_a_row_or_runs(tmp_path: Path, no_waiting: None) -> None:
    refused = error_reply(400, {"error": {"type": "invalid_request_error", "message": "no"}})
    seen: list[int] = []

    def running(_: Any) -> Any:
        counts = world.app.metering.counts()
        seen.append(counts.written + counts.notes)
        return message_reply()

    world = World(tmp_path, message_reply(), refused, running)
    await world.begin(NANO)
    assert [(await world.ask()).status for _ in range(3)] == [200, 400, 200]
    assert seen == [3], "one runs; those before it are rows, or noted until they are"
    await world.end()
    counts = world.app.metering.counts()
    assert (counts.written, counts.waiting, counts.lost, counts.notes) == (3, 0, 0, 0)
