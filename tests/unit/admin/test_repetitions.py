"""Calls that are repeated with an Idempotency-Key: nothing is made twice, and no reply that was lost strands a key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from support.admin import Admin, organisation

HOUR = 3_600_000_000


async def _current(admin: Admin, key: str) -> list[str]:
    return [one["hint"] for one in (await admin.ok("GET", f"/keys/{key}"))["secrets"]]


async def test_a_repeated_create_makes_one_key_whose_secret_is_new(admin: Admin, tmp_path: Path) -> None:
    first = await admin.ok("POST", "/keys", {"name": "ci"}, idempotency_key="one")
    await admin.aclose()
    again = Admin(tmp_path)  # another process, after a restart
    try:
        second = await again.ok("POST", "/keys", {"name": "ci"}, idempotency_key="one")
        third = await again.ok("POST", "/keys", {"name": "ci"}, idempotency_key="one")
        assert first["id"] == second["id"] == third["id"]
        assert len({one["secret"] for one in (first, second, third)}) == 3
        assert await _current(again, first["id"]) == [third["hint"]]  # the others are not valid any more
        assert len((await again.ok("GET", "/keys"))["data"]) == 1
    finally:
        await again.aclose()


async def test_a40_a_repeated_rotation_replaces_the_secret_that_was_lost(admin: Admin) -> None:
    made = await admin.ok("POST", "/keys", {"name": "ci"})
    path = f"/keys/{made['id']}/rotate"
    await admin.ok("POST", path, idempotency_key="one")
    second = await admin.ok("POST", path, idempotency_key="one")
    assert await _current(admin, made["id"]) == [made["hint"], second["hint"]]  # the old one has its grace as it was
    other = await admin.ok("POST", path, idempotency_key="two")
    error = await admin.refused(409, "POST", path, idempotency_key="one")
    assert error["code"] == "rotated"
    assert (await _current(admin, made["id"]))[-1] == other["hint"]


async def test_nothing_is_made_twice(admin: Admin) -> None:
    await organisation(admin)
    budget = await admin.ok("POST", "/budgets", {"limit": "5", "name": "b"})
    calls: list[tuple[str, dict[str, Any]]] = [
        ("/teams", {"name": "t"}), ("/people", {"email": "p@example.com"}), ("/budgets", {"limit": "5"}),
        ("/limits", {"name": "l", "limits": {"rpm": 1}}), (f"/budgets/{budget['id']}/top-up", {"amount": "1"}),
        ("/teams/team_own/members", {"person": "usr_other"}), ("/keys/key_low/revoke", {}),
    ]  # fmt: skip
    for number, (path, body) in enumerate(calls):
        first = await admin.ok("POST", path, body, idempotency_key=str(number))
        version = (await admin.directory()).version
        assert await admin.ok("POST", path, body, idempotency_key=str(number)) == first
        assert (await admin.directory()).version == version
    (window,) = (await admin.ok("GET", f"/budgets/{budget['id']}/windows"))["data"]
    assert window["limit"] == "6"


async def test_a_key_stands_for_one_request_of_one_principal(admin: Admin) -> None:
    await admin.ok("POST", "/teams", {"name": "a"}, idempotency_key="one")
    for path, body in (("/teams", {"name": "b"}), ("/people", {"email": "a@example.com"})):
        error = await admin.refused(409, "POST", path, body, idempotency_key="one")
        assert error["code"] == "idempotency_key_reused"
    await admin.ok("POST", "/teams", {"name": "b"}, role="admin", idempotency_key="one")


async def test_a_request_that_failed_may_be_sent_again(admin: Admin) -> None:
    await admin.refused(400, "POST", "/teams", {"name": ""}, idempotency_key="one")
    await admin.ok("POST", "/teams", {"name": "a"}, idempotency_key="one")


async def test_it_is_forgotten_after_a_day(admin: Admin) -> None:
    await admin.ok("POST", "/teams", {"name": "a"}, idempotency_key="one")
    admin.time += 23 * HOUR
    await admin.refused(409, "POST", "/teams", {"name": "b"}, idempotency_key="one")
    admin.time += HOUR
    await admin.ok("POST", "/teams", {"name": "b"}, idempotency_key="one")


async def test_at_once_it_is_made_once(admin: Admin) -> None:
    answers = await asyncio.gather(
        *(admin.ok("POST", "/teams", {"name": "a"}, idempotency_key="one") for _ in range(5))
    )
    assert len({one["id"] for one in answers}) == 1


async def test_who_may_not_see_the_record_any_more_gets_nothing_of_it(admin: Admin) -> None:
    await organisation(admin)
    form = {"name": "new", "team": "team_own"}
    made = await admin.ok("POST", "/keys", form, role="team_admin", idempotency_key="one")
    await admin.ok("PATCH", f"/keys/{made['id']}", {"team": "team_other"})
    await admin.refused(404, "POST", "/keys", form, role="team_admin", idempotency_key="one")


async def test_a_key_that_cannot_be_used_is_refused(admin: Admin) -> None:
    for key in ("", "x" * 129, "\xe9"):
        error = await admin.refused(400, "POST", "/teams", {"name": "a"}, idempotency_key=key)
        assert error["param"] == "Idempotency-Key"
