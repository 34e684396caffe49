"""What principals with a scope see and change, and that nothing secret is in any reply."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.accounts.edits import save_team
from modelmux.accounts.records import Team
from support.admin import PEPPER, Admin, organisation, text_of


async def _names(admin: Admin, path: str, role: str, field: str = "name") -> set[str]:
    return {one[field] for one in (await admin.ok("GET", path, role=role))["data"]}


async def test_a42_lists_show_what_a_role_may_see(admin: Admin) -> None:
    await organisation(admin)
    everything = {"own", "service", "low", "top", "other", "free"}
    assert await _names(admin, "/keys", "owner") == await _names(admin, "/keys", "admin") == everything
    assert await _names(admin, "/keys", "team_admin") == {"own", "service", "low"}
    assert await _names(admin, "/keys", "member") == {"own"}  # not the service key of the team
    assert await _names(admin, "/teams", "team_admin") == {"own", "low"}
    assert await _names(admin, "/people", "team_admin", "email") == {"own@example.com"}


@pytest.mark.parametrize(
    ("team", "status"), [("team_own", 201), ("team_low", 201), ("team_top", 400), ("team_other", 400), (None, 400)]
)
async def test_s23_a_team_admin_creates_keys_in_its_teams_only(admin: Admin, team: str | None, status: int) -> None:
    await organisation(admin)
    response = await admin.call("POST", "/keys", {"name": "new", "team": team}, "team_admin")
    assert response.status == status, response.body
    if status == 400:
        assert response.json()["error"]["param"] == "team"
        assert b"team_top" not in response.body.replace(b"'team_top'", b"")


async def test_a_team_admin_moves_no_key_out_of_its_teams(admin: Admin) -> None:
    await organisation(admin)
    for team in ("team_other", "team_top", None):
        await admin.refused(400, "PATCH", "/keys/key_own", {"team": team}, role="team_admin")
    await admin.refused(400, "PATCH", "/keys/key_own", {"person": "usr_other"}, role="team_admin")
    await admin.ok("PATCH", "/keys/key_own", {"team": "team_low"}, role="team_admin")


async def test_s24_a_team_admin_does_not_lift_what_limits_its_own_team(admin: Admin) -> None:
    await organisation(admin)
    own = await admin.ok("POST", "/budgets", {"limit": "5", "applies_to": {"team": "team_own"}})
    all_of = await admin.ok("POST", "/budgets", {"limit": "5"})
    low = await admin.ok("POST", "/budgets", {"limit": "5", "applies_to": {"team": "team_low"}}, role="team_admin")
    for path, body in (("", {"limit": "500"}), ("", {"status": "disabled"}), ("/top-up", {"amount": "1"})):
        method = "POST" if path else "PATCH"
        await admin.refused(404, method, f"/budgets/{own['id']}{path}", body, role="team_admin")
        await admin.refused(404, method, f"/budgets/{all_of['id']}{path}", body, role="team_admin")
        await admin.ok(method, f"/budgets/{low['id']}{path}", body, role="team_admin")
    await admin.refused(400, "PATCH", f"/budgets/{low['id']}", {"applies_to": {"team": None}}, role="team_admin")
    await admin.refused(404, "PATCH", "/teams/team_own", {"limits": None}, role="team_admin")
    await admin.ok("PATCH", "/teams/team_low", {"limits": {"rpm": 5}}, role="team_admin")
    await admin.refused(400, "POST", "/budgets", {"limit": "5"}, role="team_admin")
    await admin.refused(400, "POST", "/limits", {"name": "a", "limits": {"rpm": 1}}, role="team_admin")
    read = await admin.ok("GET", "/keys/key_own", role="team_admin")
    assert {one["id"] for one in read["budgets"]} == {own["id"], all_of["id"]}  # the whole chain is shown


async def test_a_name_that_is_taken_does_not_tell_by_whom(admin: Admin) -> None:
    await organisation(admin)
    error = await admin.refused(409, "POST", "/keys", {"name": "other", "team": "team_own"}, role="team_admin")
    assert "key_other" not in error["message"]
    error = await admin.refused(409, "POST", "/keys", {"name": "other", "team": "team_own"}, role="admin")
    assert "key_other" in error["message"]


async def test_a_name_that_is_the_id_of_another_record_is_not_taken_for_it(admin: Admin) -> None:
    await organisation(admin)
    await admin.edit(lambda d: save_team(d, Team(id="team_0", name="team_other")))
    made = await admin.ok("POST", "/keys", {"name": "new", "team": "team_other"})
    assert made["team"] == "team_other"
    assert (await admin.ok("POST", "/keys", {"name": "next", "team": "LOW"}))["team"] == "team_low"


async def test_a_team_that_is_seen_and_not_changed_is_said_so(admin: Admin) -> None:
    await organisation(admin)
    error = await admin.refused(404, "PATCH", "/teams/team_own", {"name": "mine"}, role="team_admin")
    assert "that you may change" in error["message"]


async def test_a_member_uses_its_own_keys_only(admin: Admin) -> None:
    await organisation(admin)
    await admin.ok("POST", "/keys/key_own/rotate", role="member")
    for key in ("key_service", "key_other", "key_free"):
        await admin.refused(404, "POST", f"/keys/{key}/rotate", role="member")
        await admin.refused(404, "POST", f"/keys/{key}/revoke", role="member")
    await admin.refused(403, "PATCH", "/keys/key_own", {"limits": None}, role="member")
    await admin.ok("POST", "/keys/key_own/revoke", role="member")


@pytest.mark.parametrize("role", ["team_admin", "member", "viewer"])
async def test_no_reply_has_the_address_of_somebody_else(admin: Admin, role: str) -> None:
    await organisation(admin)
    for chosen in ({"person": "usr_other"}, {"key": "key_other"}, {"each": "person"}, {"team": "team_other"}):
        await admin.ok("POST", "/budgets", {"limit": "1", "applies_to": chosen})
        await admin.ok("POST", "/limits", {"name": str(chosen), "limits": {"rpm": 1}, "applies_to": chosen})
    paths = [f"/{kind}" for kind in ("keys", "teams", "people", "budgets", "limits", "audit")]
    seen = [*paths, "/keys/key_own", "/keys/key_other", "/teams/team_own", "/teams/team_top", "/people/usr_other"]
    for path in seen:
        assert "other@example.com" not in text_of(await admin.call("GET", path, role=role))


async def test_s6_no_reply_has_a_secret_a_hash_or_the_pepper(admin: Admin) -> None:
    await organisation(admin)
    made = await admin.ok("POST", "/keys", {"name": "canary", "team": "team_own"})
    rotated = await admin.ok("POST", f"/keys/{made['id']}/rotate")
    digests = [one.digest.hex() for one in (await admin.directory()).all_secrets()]
    peppers = {one.pepper for one in (await admin.directory()).all_secrets()}
    assert len(digests) == 2
    hidden = [made["secret"], rotated["secret"], PEPPER.decode(), PEPPER.hex(), *digests, *peppers]
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/keys", b""), ("GET", f"/keys/{made['id']}", b""), ("GET", "/audit", b""), ("GET", "/teams", b""),
        ("GET", "/people", b""), ("PATCH", f"/keys/{made['id']}", {"name": "other"}),
        ("POST", f"/keys/{made['id']}/revoke", b""), ("POST", "/keys", {"name": "own"}), ("GET", "/openapi.json", b""),
    ]  # fmt: skip
    for method, path, body in calls:
        text = text_of(await admin.call(method, path, body))
        assert not [one for one in hidden if one in text], path
