"""Records and bodies of requests. Risk: somebody reads bodies of others, or reads them and nothing tells of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.roles import Role
from modelmux.accounts.uuid7 import format_id
from support.admin import Admin, organisation
from support.captures import keep_with_record
from support.directories import NOW
from support.entries import entry
from support.traces import trace, write

DAY = 86_400_000_000


async def requests(admin: Admin) -> dict[str, str]:
    """Ids of rows: one of each key of the organisation, and one of a static key."""
    await organisation(admin)
    rows = {
        "own": entry(NOW - 4, key="key_own", team="team_top/team_own", person="usr_own"),
        "low": entry(NOW - 3, key="key_low", team="team_top/team_own/team_low"),
        "other": entry(NOW - 2, key="key_other", team="team_top/team_other", person="usr_other"),
        "static": entry(NOW - 1, key="static_1"),
    }
    await admin.ledger.append(list(rows.values()))  # type: ignore[attr-defined]
    return {name: format_id(row.id) for name, row in rows.items()}


async def audited(admin: Admin) -> list[tuple[str, str, str]]:
    rows = (await admin.ok("GET", "/audit"))["data"]
    return [(row["author"], row["action"], row["subject"]) for row in rows if row["action"] == "bodies.read"]


@pytest.mark.parametrize(
    ("role", "whose"),
    [("owner", ("own", "low", "other", "static")), ("admin", ("own", "low", "other", "static")), ("member", ("own",))],
)
async def test_bodies_are_for_owners_admins_and_whose_key_it_is(
    role: Role, whose: tuple[str, ...], admin: Admin, tmp_path: Path
) -> None:
    ids = await requests(admin)
    for name, id in ids.items():
        keep_with_record(tmp_path, NOW - DAY, id, f"canary of {name}".encode(), request_id=f"req_{name}")
    for name, id in ids.items():
        if name in whose:
            bodies = await admin.ok("GET", f"/requests/{id}/bodies", role=role)
            assert bodies["request"]["text"] == f"canary of {name}"
            assert [one["number"] for one in bodies["attempts"]] == [1, 2]
        else:
            response = await admin.call("GET", f"/requests/{id}/bodies", role=role)
            assert (response.status, b"canary" in response.body) == (404, False)
    expected = [] if role == "member" else [(role, "bodies.read", ids[name]) for name in reversed(whose)]
    assert await audited(admin) == expected


async def test_a_request_whose_client_names_the_row_of_another_is_not_shown_as_it(admin: Admin, tmp_path: Path) -> None:
    """A client chooses its ``x-request-id``: by that of a row it would hide its bodies, or show those of others."""
    ids = await requests(admin)
    keep_with_record(tmp_path, NOW - DAY, ids["own"], b"canary of own")
    keep_with_record(tmp_path, NOW - DAY + 1, ids["other"], b"canary of other", request_id=ids["own"])
    bodies = await admin.ok("GET", f"/requests/{ids['own']}/bodies", role="member")
    assert bodies["request"]["text"] == "canary of own"
    shown = await admin.ok("GET", f"/requests/{ids['own']}/trace", role="member")
    assert shown["request"]["row_id"] == ids["own"]


@pytest.mark.parametrize("role", ["team_admin", "viewer", "auditor"])
async def test_other_roles_read_no_bodies(role: Role, admin: Admin, tmp_path: Path) -> None:
    """An admin of a team neither: it is not the key of its own."""
    for id in (await requests(admin)).values():
        keep_with_record(tmp_path, NOW - DAY, id, b"canary")
        response = await admin.call("GET", f"/requests/{id}/bodies", role=role)
        assert (response.status, b"canary" in response.body) == (403, False)
    assert await audited(admin) == []


async def test_a_row_of_the_audit_log_names_the_key_and_no_text(admin: Admin, tmp_path: Path) -> None:
    id = (await requests(admin))["own"]
    keep_with_record(tmp_path, NOW - DAY, id, b"canary")
    await admin.ok("GET", f"/requests/{id}/bodies")
    (row,) = (await admin.ok("GET", "/audit", query=f"subject={id}"))["data"]
    assert row["after"] == {id: {"key": "key_own", "person": "usr_own", "request_id": "req_1"}}
    assert "canary" not in str(row)


async def test_a_store_that_cannot_be_written_shows_no_bodies_of_others(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = (await requests(admin))["own"]
    keep_with_record(tmp_path, NOW - DAY, id, b"canary")

    async def fail(*arguments: Any) -> None:
        from modelmux.store.base import StoreFailed

        raise StoreFailed("disk is full")

    monkeypatch.setattr(type(admin.store), "note", fail)
    response = await admin.call("GET", f"/requests/{id}/bodies")
    assert (response.status, b"canary" in response.body) == (503, False)


async def test_a_trace_says_what_became_of_a_request_and_of_its_bodies(admin: Admin, tmp_path: Path) -> None:
    ids = await requests(admin)
    nothing = await admin.ok("GET", f"/requests/{ids['own']}/trace", role="member")
    assert nothing == {"request": None, "prompt": None, "bodies": "none"}
    keep_with_record(tmp_path, NOW - DAY, ids["own"], b"canary")
    shown = await admin.ok("GET", f"/requests/{ids['own']}/trace", role="member")
    assert shown["bodies"] == "kept"
    assert shown["request"]["attempts"][0]["result"] == "ok"
    assert shown["prompt"]["messages"] == 1
    assert "canary" not in str(shown)
    assert (await admin.call("GET", f"/requests/{ids['other']}/trace", role="member")).status == 404
    (tmp_path / "traces.db").unlink()
    assert (await admin.ok("GET", f"/requests/{ids['own']}/trace"))["bodies"] == "kept"  # bodies are kept longer
    admin.time += 3 * DAY
    assert (await admin.ok("GET", f"/requests/{ids['own']}/trace"))["bodies"] == "none"
    assert (await admin.call("GET", f"/requests/{ids['own']}/bodies")).status == 404
    gone = trace(2, at=NOW - DAY, row_id=ids["low"], is_captured=True)
    write(tmp_path / "traces.db", [gone], NOW)
    assert (await admin.ok("GET", f"/requests/{ids['low']}/trace"))["bodies"] == "gone"
    (tmp_path / "traces.db").write_bytes(b"x" * 4096)
    assert (await admin.call("GET", f"/requests/{ids['low']}/trace")).status == 503
