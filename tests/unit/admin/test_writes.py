"""Writes: what was set reads back, records that changed meanwhile, workers, the audit log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import save_key, save_team
from modelmux.accounts.records import Key, Team
from modelmux.admin.app import AdminApp
from modelmux.server.refused import RefusedRequests
from modelmux.store.base import StoreFailed
from support import asgi
from support.admin import Admin, organisation
from support.directories import NOW


async def test_null_clears_and_what_is_not_named_stays(admin: Admin) -> None:
    await organisation(admin)
    form = {
        "name": "ci", "team": "team_own", "person": "usr_own", "models": ["fast"], "apis": ["chat"],
        "addresses": ["10.0.0.0/8"], "tags": {"app": "ci"}, "limits": {"tpm": 5, "rpm": 1},
        "expires_at": "2027-01-01T00:00:00Z",
    }  # fmt: skip
    path = f"/keys/{(await admin.ok('POST', '/keys', form))['id']}"
    before = await admin.ok("GET", path)
    assert await admin.ok("PATCH", path, {}) == before
    assert (await admin.ok("PATCH", path, {"limits": {"tpm": None}}))["limits"] == {"rpm": 1}
    nothing = {
        "team": None, "person": None, "models": [], "apis": [], "addresses": [], "tags": {}, "limits": {},
        "expires_at": None,
    }  # fmt: skip
    after = await admin.ok("PATCH", path, dict.fromkeys(nothing))
    assert {name: after[name] for name in nothing} == nothing
    assert after["name"] == "ci"
    error = await admin.refused(400, "PATCH", path, {"name": None})
    assert error["param"] == "name"


async def test_a_record_that_was_changed_meanwhile_is_not_overwritten(admin: Admin) -> None:
    await organisation(admin)
    bodies: dict[str, dict[str, Any]] = {
        "/keys/key_own": {"models": ["a"]}, "/teams/team_own": {"contact": "a"}, "/people/usr_own": {"name": "a"},
    }  # fmt: skip
    made = await admin.ok("POST", "/budgets", {"limit": "5"})
    bodies[f"/budgets/{made['id']}"] = {"limit": "6"}
    made = await admin.ok("POST", "/limits", {"name": "l", "limits": {"rpm": 1}})
    bodies[f"/limits/{made['id']}"] = {"limits": {"rpm": 2}}
    for path, body in bodies.items():
        etag = (await admin.call("GET", path)).headers["etag"]
        assert (await admin.call("GET", path)).headers["etag"] == etag
        answers = await asyncio.gather(*(admin.call("PATCH", path, body, if_match=etag) for _ in range(3)))
        assert sorted(one.status for one in answers) == [200, 412, 412]
        new = next(one.headers["etag"] for one in answers if one.status == 200)
        assert new != etag
        assert (await admin.call("PATCH", path, {}, if_match=f'"x", {new}')).status == 200
        assert (await admin.call("PATCH", path, {}, if_match="*")).status == 200


async def test_a_rotation_changes_the_etag(admin: Admin) -> None:
    await organisation(admin)
    etag = (await admin.call("GET", "/keys/key_own")).headers["etag"]
    await admin.ok("POST", "/keys/key_own/rotate", if_match=etag)
    await admin.refused(412, "POST", "/keys/key_own/rotate", if_match=etag)


async def test_a_rotation_leaves_the_old_secret_valid_for_a_while(admin: Admin) -> None:
    made = await admin.ok("POST", "/keys", {"name": "laptop"})
    path = f"/keys/{made['id']}"
    await admin.ok("POST", f"{path}/rotate")
    old, new = (await admin.ok("GET", path))["secrets"]
    assert old["valid_until"].startswith("2026-11-30T12:00")
    assert new["valid_until"] is None
    await admin.ok("POST", f"{path}/rotate", {"grace": 0})
    assert [one["valid_until"] for one in (await admin.ok("GET", path))["secrets"]] == [None]
    assert (await admin.refused(400, "POST", f"{path}/rotate", {"grace": -1}))["param"] == "grace"


async def test_a_revoked_key_stays_revoked(admin: Admin) -> None:
    await organisation(admin)
    for _ in range(2):
        revoked = await admin.ok("POST", "/keys/key_own/revoke")
        assert revoked["status"] == "revoked"
    assert not (await admin.directory()).keys["key_own"].ends_requests
    await admin.ok("POST", "/keys/key_own/revoke", {"now": True})
    assert (await admin.directory()).keys["key_own"].ends_requests
    rows = (await admin.store.audit()).rows
    assert len([row for row in rows if row.action == "key.revoke"]) == 2, "one row for each change"
    for path, body in (("", {"status": "active"}), ("/rotate", {})):
        error = await admin.refused(409, "POST" if path else "PATCH", f"/keys/key_own{path}", body)
        assert error["code"] == "revoked"


async def test_managed_records_are_edited_in_the_file(admin: Admin) -> None:
    await admin.edit(lambda d: save_key(d, Key(id="key_m", name="m", created=NOW), by_config=True))
    await admin.edit(lambda d: save_team(d, Team(id="team_m", name="m"), by_config=True))
    for path, body in (("/keys/key_m", {"name": "n"}), ("/teams/team_m", {"name": "n"})):
        error = await admin.refused(409, "PATCH", path, body)
        assert error["code"] == "managed"
        assert "configuration file" in error["message"]
    await admin.refused(409, "POST", "/keys/key_m/rotate")
    await admin.refused(409, "POST", "/keys/key_m/revoke")


async def test_a_name_is_taken_once(admin: Admin) -> None:
    await organisation(admin)
    error = await admin.refused(409, "POST", "/keys", {"name": "OWN"})
    assert (error["param"], error["code"]) == ("name", "taken")


async def test_a_write_waits_for_the_workers(admin: Admin) -> None:
    made = await admin.ok("POST", "/keys", {"name": "a"})
    assert "pending_workers" not in made
    assert admin.awaited == [(await admin.directory()).version]
    admin.pending = 2
    assert (await admin.ok("PATCH", f"/keys/{made['id']}", {"name": "b"}))["pending_workers"] == 2
    assert "pending_workers" not in await admin.ok("GET", f"/keys/{made['id']}")
    assert len(admin.awaited) == 2


async def test_each_write_leaves_a_row_with_its_author(admin: Admin) -> None:
    await organisation(admin)
    calls: list[tuple[str, str, Any, str]] = [
        ("POST", "/keys", {"name": "a"}, "key.create"), ("PATCH", "/keys/key_own", {"models": ["a"]}, "key.edit"),
        ("POST", "/keys/key_own/rotate", {}, "key.rotate"), ("POST", "/keys/key_own/revoke", {}, "key.revoke"),
        ("POST", "/teams", {"name": "t"}, "team.create"), ("PATCH", "/teams/team_own", {"zone": "UTC"}, "team.edit"),
        ("POST", "/teams/team_own/members", {"person": "other@example.com", "role": "team_admin"}, "team.member"),
        ("DELETE", "/teams/team_own/members/usr_other", b"", "team.leave"),
        ("POST", "/people", {"email": "p@example.com"}, "person.create"),
        ("PATCH", "/people/usr_own", {"status": "disabled"}, "person.edit"),
        ("POST", "/budgets", {"limit": "1", "name": "b"}, "budget.create"),
        ("POST", "/limits", {"name": "l", "limits": {"rpm": 1}}, "limit.create"),
    ]  # fmt: skip
    for method, path, body, action in calls:
        await admin.ok(method, path, body, role="admin")
        row = (await admin.ok("GET", "/audit", role="auditor", query="limit=1"))["data"][0]
        assert (row["action"], row["author"], row["origin"]) == (action, "admin", "127.0.0.1")
    page = await admin.ok("GET", "/audit", query="limit=2")
    rest = await admin.ok("GET", "/audit", query=f"limit=1000&after={page['next']}")
    ids = [int(row["id"]) for row in page["data"] + rest["data"]]
    assert ids == list(range(len(ids), 0, -1))
    assert not rest["has_more"]
    of_key = await admin.ok("GET", "/audit", query="subject=key_own")
    assert [row["action"] for row in of_key["data"]] == ["key.revoke", "key.rotate", "key.edit", "key.create"]
    assert (await admin.refused(400, "GET", "/audit", query="after=x"))["param"] == "after"


class Lines:
    """A log."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def debug(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    info = warning = error = debug


async def test_calls_that_are_refused_are_logged(admin: Admin) -> None:
    log = Lines()
    app = AdminApp(admin.backend, lambda _: None, refused=RefusedRequests(log, lambda: 0.0))
    await asgi.request(app, "GET", "/admin/v1/keys/key_secret", headers={"authorization": "Bearer canary"})
    ((event, fields),) = log.lines
    assert (event, fields["status"], fields["path"], fields["client"]) == (
        "request_refused", 401, "/admin/v1/keys/{id}", "127.0.0.1",
    )  # fmt: skip
    assert "canary" not in str(fields)


async def test_the_store_may_fail(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(known: Directory) -> Directory:
        raise StoreFailed("/secret/path: disk full")

    monkeypatch.setattr(admin.store, "read", fail)
    response = await admin.call("GET", "/keys")
    assert (response.status, response.json()["error"]["code"]) == (503, "accounts_unavailable")
    assert response.headers["retry-after"] == "2"
    assert b"secret" not in response.body


async def test_an_unexpected_failure_tells_the_request_id_alone(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(known: Directory) -> Directory:
        raise KeyError("canary")

    monkeypatch.setattr(admin.store, "read", fail)
    log = Lines()
    monkeypatch.setattr(admin.app.dispatcher, "log", log)
    response = await admin.call("GET", "/keys", x_request_id="mine")
    assert (response.status, response.headers["x-request-id"]) == (500, "mine")
    assert b"canary" not in response.body
    ((event, fields),) = log.lines
    assert (event, fields["request_id"]) == ("internal_error", "mine")
    assert "KeyError" in fields["traceback"]
    assert b"mine" in response.body


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400), (b"[]", 400), (b"\xff", 400), (b"[" * 100_000, 400), (b"null", 400), (b"", 400),
        (b'{"name": "' + b"x" * (1 << 20) + b'"}', 413),
    ],
    ids=["cut", "list", "bytes", "nested", "null", "empty", "large"],
)  # fmt: skip
async def test_bodies_that_are_no_use(admin: Admin, body: bytes, status: int) -> None:
    await admin.refused(status, "POST", "/keys", body)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": 10**400}, "name"), ({"name": "a", "limits": {"rpm": 10**400}}, "limits.rpm"),
        ({"name": "\ud800"}, None),
        ({"name": "a\u0000"}, "name"), ({"name": "a", "expires_at": "0001-01-01"}, "expires_at"),
        ({"name": "a", "expires_at": "0001-01-01T00:00:00+23:59"}, "expires_at"),
        ({"name": "a", "tags": {"app": 5}}, "tags"), ({"name": "a", "tags": {"a b": "c"}}, "tags"),
        ({"name": "a", "models": ["a", 5]}, "models.1"), ({"name": "a", "models": ["a b"]}, "models"),
        ({"name": "a", "apis": ["soap"]}, "apis"), ({"name": "a", "addresses": ["10.0.0.1/8"]}, "addresses"),
        ({"name": "a", "limits": {"rpm": True}}, "limits.rpm"), ({"name": "a", "limits": {"rpn": 1}}, "limits.rpn"),
        ({"name": "a", "team": "nothing"}, "team"), ({"name": "a", "person": ""}, "person"), ({"name": " "}, "name"),
    ],
)  # fmt: skip
async def test_values_that_cannot_be_used_are_named(admin: Admin, body: dict[str, Any], param: str | None) -> None:
    assert (await admin.refused(400, "POST", "/keys", body))["param"] == param


@pytest.mark.parametrize("digit", ["²", "٣", "0"])
async def test_the_name_of_an_unknown_field_may_look_like_a_path(admin: Admin, digit: str) -> None:
    error = await admin.refused(400, "POST", "/keys", {"name": "a", "models": ["fast"], f"models.{digit}": 1})
    assert (error["param"], error["code"]) == (f"models.{digit}", "unknown_parameter")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"name": "a", "models": ["fast"], "models": []}', "models"),
        (b'{"name": "a", "limits": {"rpm": 5, "rpm": null}}', "rpm"),
        (b'{"name": "a", "tags": {"app": "b", "\\u0061pp": "c"}}', "app"),
        (b'{"name": "a", "' + b"x" * 5000 + b'": 1, "' + b"x" * 5000 + b'": 1}', "x" * 60),
    ],
)
async def test_a_field_that_comes_twice_is_refused(admin: Admin, body: bytes, param: str) -> None:
    """Whichever of the two counts, another reader of the body takes the other one."""
    error = await admin.refused(400, "POST", "/keys", body)
    assert error["param"] == param
    assert "comes twice" in error["message"]


async def test_paths_may_be_anything(admin: Admin) -> None:
    for id in ("\ud800", "\x00", "..", "%2e%2e", "a" * 128, "' OR 1=1 --"):
        await admin.refused(404, "GET", f"/keys/{id}")


async def test_a_body_is_json_and_not_compressed(admin: Admin) -> None:
    await admin.refused(415, "POST", "/keys", b'{"name": "a"}', content_type="text/plain")
    await admin.refused(415, "POST", "/keys", b'{"name": "a"}', content_encoding="gzip")
