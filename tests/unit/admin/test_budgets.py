"""Budgets and limits over the admin API."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from modelmux.accounts.budget_windows import WindowState
from modelmux.accounts.windows import Window
from support.admin import Admin, organisation

FORM = {
    "name": "data", "applies_to": {"team": "team_own", "each": "person"}, "limit": "0.25", "unit": "usd",
    "window": {"every": "week", "zone": "Europe/Berlin", "starts": "sunday", "hour": 6}, "mode": "soft",
    "alerts": [0.5, 1.0], "on_short": "wait", "reserve": "expected",
}  # fmt: skip


async def test_a16_what_was_set_reads_back(admin: Admin) -> None:
    await organisation(admin)
    made = await admin.ok("POST", "/budgets", FORM)
    read = await admin.ok("GET", f"/budgets/{made['id']}")
    assert {name: read[name] for name in FORM} == FORM
    assert (await admin.ok("GET", "/budgets"))["data"][0]["name"] == "data"


async def test_a_budget_needs_its_limit_alone(admin: Admin) -> None:
    await organisation(admin)
    made = await admin.ok("POST", "/budgets", {"limit": {"amount": "50", "currency": "USD"}})
    assert (made["limit"], made["unit"], made["window"], made["mode"]) == ("50", "usd", "month", "hard")
    assert made["name"] == "all"
    assert (await admin.ok("POST", "/budgets", {"limit": 50}))["name"] == "all-2"
    assert (await admin.ok("POST", "/budgets", {"limit": "5", "applies_to": {"key": "key_own"}}))["name"] == "own"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"limit": "x"}, "limit"), ({"limit": "-1"}, "limit"), ({"limit": "1.5", "unit": "tokens"}, "limit"),
        ({"limit": {"amount": "1", "currency": "EUR"}}, "limit.currency"),
        ({"limit": "1", "window": "fortnight"}, "window"),
        ({"limit": "1", "window": {"every": "day", "zone": "Mars"}}, "window.zone"),
        ({"limit": "1", "window": {"every": "day", "hour": "six"}}, "window.hour"),
        ({"limit": "1", "alerts": [0.555]}, "alerts"), ({"limit": "1", "mode": "firm"}, "mode"),
        ({"limit": "1", "applies_to": {"team": "nothing"}}, "applies_to.team"),
        ({"limit": "1", "applies_to": {"teem": "x"}}, "applies_to.teem"),
    ],
)  # fmt: skip
async def test_values_that_cannot_be_used_are_named(admin: Admin, body: dict[str, object], param: str) -> None:
    error = await admin.refused(400, "POST", "/budgets", body)
    assert error["param"] == param
    assert error["message"].startswith(f"{param}: ")


async def test_a19_a_key_shows_the_tightest_budget_of_its_chain_first(admin: Admin) -> None:
    await organisation(admin)
    for limit, chosen in (
        ("50", {}),
        ("2", {"team": "team_top"}),
        ("7", {"key": "key_own"}),
        ("1", {"key": "key_low"}),
    ):
        await admin.ok("POST", "/budgets", {"limit": limit, "applies_to": chosen, "name": f"b{limit}"})
    budgets = (await admin.ok("GET", "/keys/key_own"))["budgets"]
    assert {one["name"] for one in budgets} == {"b50", "b2", "b7"}
    assert all((one["spent"], one["held"]) == ("0", "0") for one in budgets)
    assert all(one["resets_at"] == "2026-12-01T00:00:00Z" for one in budgets)


async def test_what_is_spent_is_shown_exactly(admin: Admin) -> None:
    await organisation(admin)
    ids = [
        (await admin.ok("POST", "/budgets", {"limit": limit, "mode": mode, "applies_to": {"key": "key_own"}}))["id"]
        for limit, mode in (("50", "hard"), ("10", "hard"), ("1", "soft"))
    ]
    start = 1_793_491_200_000_000  # 2026-11-01 in UTC
    with contextlib.closing(sqlite3.connect(admin.path)) as connection, connection:
        connection.executemany(
            "INSERT INTO budget_window VALUES (?, '', ?, ?, ?, 0)",
            [(ids[0], start, 49_000_000_001, 500_000_000), (ids[1], start, 1, 0), (ids[2], start, 2_000_000_000, 0)],
        )
    shown = (await admin.ok("GET", "/keys/key_own"))["budgets"]
    assert [(one["id"], one["limit"], one["spent"], one["held"]) for one in shown] == [
        (ids[0], "50", "49.000000001", "0.5"), (ids[1], "10", "0.000000001", "0"), (ids[2], "1", "2", "0"),
    ]  # fmt: skip
    assert (await admin.ok("GET", f"/budgets/{ids[0]}"))["windows"][0]["spent"] == "49.000000001"
    rows = {one["id"]: one["tightest_budget"] for one in (await admin.ok("GET", "/keys"))["data"]}
    assert rows == dict.fromkeys(rows, None) | {"key_own": shown[0]}


async def test_a_budget_is_edited_disabled_and_enabled(admin: Admin) -> None:
    path = f"/budgets/{(await admin.ok('POST', '/budgets', {'limit': '5', 'name': 'b'}))['id']}"
    after = await admin.ok("PATCH", path, {"limit": "6", "window": "lifetime", "alerts": []})
    assert (after["limit"], after["window"], after["alerts"]) == ("6", "lifetime", [])
    assert (await admin.ok("PATCH", path, {"status": "disabled"}))["status"] == "disabled"
    assert (await admin.ok("PATCH", path, {"status": "active"}))["status"] == "active"
    actions = [row["action"] for row in (await admin.ok("GET", "/audit"))["data"]]
    assert actions == ["budget.enable", "budget.disable", "budget.edit", "budget.create"]
    assert (await admin.refused(400, "PATCH", path, {"unit": "tokens", "limit": 5}))["param"] == "unit"


async def test_a20_top_ups_and_overrides_change_the_limit_for_a_while(admin: Admin) -> None:
    path = f"/budgets/{(await admin.ok('POST', '/budgets', {'limit': '5'}))['id']}"
    made = await admin.ok(
        "POST", f"{path}/top-up", {"amount": "2.5", "reason": "sale", "until": "2026-12-02T00:00:00Z"}
    )
    assert (made["kind"], made["amount"], made["author"], made["reason"]) == ("top_up", "2.5", "owner", "sale")
    (window,) = (await admin.ok("GET", f"{path}/windows"))["data"]
    assert (window["limit"], window["spent"], window["held"]) == ("7.5", "0", "0")
    await admin.ok("POST", f"{path}/override", {"limit": "1"})
    read = await admin.ok("GET", path)
    assert (read["limit"], read["windows"][0]["limit"]) == ("5", "1")
    assert [one["kind"] for one in read["adjustments"]] == ["top_up", "override"]
    for body, param in (({"amount": "0"}, "amount"), ({"amount": "1", "until": "x"}, "until"),
                        ({"amount": "1", "until": "2020-01-01T00:00:00Z"}, "until"),
                        ({"amount": "1", "subject": "x"}, "subject")):  # fmt: skip
        assert (await admin.refused(400, "POST", f"{path}/top-up", body))["param"] == param


async def test_a_window_of_each_is_topped_up_alone(admin: Admin) -> None:
    await organisation(admin)
    path = f"/budgets/{(await admin.ok('POST', '/budgets', {'limit': '5', 'applies_to': {'each': 'person'}}))['id']}"
    await admin.ok("POST", f"{path}/top-up", {"amount": "1", "subject": "own@example.com"})
    (window,) = (await admin.ok("GET", f"{path}/windows", query="subject=usr_own"))["data"]
    assert (window["subject"], window["limit"]) == ("usr_own", "6")
    (window,) = (await admin.ok("GET", f"{path}/windows", query="subject=usr_other"))["data"]
    assert window["limit"] == "5"


async def test_a_viewer_sees_numbers_and_not_whose_they_are(tmp_path: Path) -> None:
    """End users may be stored as they were sent, which is often an e-mail address."""
    admin = Admin(tmp_path, {"end_user": "plain"})
    await organisation(admin)
    for each, subject in (("end_user", "client@example.org"), ("person", "own@example.com"), ("key", "own")):
        path = f"/budgets/{(await admin.ok('POST', '/budgets', {'limit': '5', 'applies_to': {'each': each}}))['id']}"
        made = await admin.ok("POST", f"{path}/top-up", {"amount": "1", "subject": subject, "reason": "for a client"})
        query = f"subject={subject}"
        assert (await admin.ok("GET", f"{path}/windows", query=query))["data"][0]["limit"] == "6"
        error = await admin.refused(400, "GET", f"{path}/windows", query=query, role="viewer")
        assert error["param"] == "subject"
        assert (await admin.ok("GET", path))["adjustments"] == [made]
        assert (await admin.ok("GET", path, role="viewer"))["adjustments"] == []
    await admin.aclose()


async def test_windows_have_their_subjects_for_those_who_may_know_them(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = [WindowState(window=Window(0, 1), subject="client@example.org", limit=5, spent=1, held=0)]

    async def states_from(*_: object) -> list[list[WindowState]]:
        return [states]

    path = f"/budgets/{(await admin.ok('POST', '/budgets', {'limit': '5', 'applies_to': {'each': 'end_user'}}))['id']}"
    monkeypatch.setattr("modelmux.admin.spending.states_from", states_from)
    for shown in (path, f"{path}/windows", "/budgets"):
        assert "client@example.org" in (await admin.call("GET", shown)).body.decode()
        assert "client@example.org" not in (await admin.call("GET", shown, role="viewer")).body.decode()


async def test_limits_of_selected_requests(admin: Admin) -> None:
    await organisation(admin)
    form = {"name": "slow", "limits": {"rpm": 5}, "applies_to": {"team": "team_own"}}
    made = await admin.ok("POST", "/limits", form)
    path = f"/limits/{made['id']}"
    assert {name: (await admin.ok("GET", path))[name] for name in form} == form
    after = await admin.ok("PATCH", path, {"limits": {"tpm": 9}, "applies_to": {"team": None, "each": "key"}})
    assert (after["limits"], after["applies_to"]) == ({"rpm": 5, "tpm": 9}, {"each": "key"})
    assert (await admin.ok("PATCH", path, {"status": "disabled"}))["status"] == "disabled"
    assert (await admin.refused(400, "POST", "/limits", {"name": "x", "limits": {}}))["param"] == "limits.rpm"
    assert (await admin.refused(400, "POST", "/limits", {"name": "x", "limits": {"rpm": 0}}))["param"] == "limits.rpm"
