"""Risk: a session outlives its time, its role or its token; a page of another site writes with the cookie of a person.

The cookie authenticates the routes of the API, with the same roles.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.edits import save_person, set_member
from modelmux.accounts.records import Person
from modelmux.accounts.sign_ins import OWNER, Subject, subject_of
from modelmux.admin.operations import OPERATIONS
from modelmux.admin.sessions import Sessions, csrf_of, digest_of, session_token, set_cookie
from support.admin import Admin, organisation
from support.asgi import Response

SAME = {"host": "127.0.0.1:3001", "origin": "http://127.0.0.1:3001", "sec-fetch-site": "same-origin"}
HOUR = 3_600_000_000


async def subject(admin: Admin, person: str = "usr_own") -> Subject:
    found = subject_of(await admin.directory(), person)
    assert found is not None
    return found


async def get(admin: Admin, token: str, path: str = "/keys", cookie: str = "modelmux_session") -> Response:
    headers = {"cookie": f"{cookie}={token}", "host": "127.0.0.1:3001"}
    return await admin.call("GET", path, role=None, **headers)


async def write(admin: Admin, token: str, headers: dict[str, str], path: str = "/teams") -> Response:
    sent = {"cookie": f"a=b; modelmux_session={token}", "host": "127.0.0.1:3001"} | headers
    return await admin.call("POST", path, {"name": "new"}, role=None, **sent)


async def test_a_link_is_used_once(admin: Admin) -> None:
    link = admin.sessions.new_link(OWNER)
    directory = await admin.directory()
    assert len(link) == 43, "256 bits"
    assert await admin.sessions.subject_of_link(link, directory) == OWNER
    assert await admin.sessions.subject_of_link(link, directory) == OWNER, "looking does not use it up"
    token = await admin.sessions.sign_in(link, directory)
    assert token not in (None, link)
    assert await admin.sessions.sign_in(link, directory) is None
    assert await admin.sessions.subject_of_link(link, directory) is None
    stored = admin.sign_ins.path.read_text()
    assert token is not None
    assert token not in stored
    assert link not in stored
    assert digest_of(token) in stored


async def test_a_link_ends_after_ten_minutes(admin: Admin) -> None:
    link = admin.sessions.new_link(OWNER)
    admin.time += 600_000_000
    assert await admin.sessions.sign_in(link, await admin.directory()) is None


@pytest.mark.parametrize(
    "change",
    [lambda t: t[:-1], lambda t: t + "A", lambda t: ("B" if t[0] == "A" else "A") + t[1:], lambda t: "", str.upper],
)
async def test_a_changed_token_is_not_good(admin: Admin, change: Any) -> None:
    link, token = admin.sessions.new_link(OWNER), await admin.session()
    directory = await admin.directory()
    assert change(link) != link
    assert await admin.sessions.sign_in(change(link), directory) is None
    assert (await get(admin, change(token))).status == 401
    assert (await get(admin, link)).status == 401, "a link is not a session"
    assert await admin.sessions.sign_in(token, directory) is None, "a session is not a link"


async def test_a_session_has_the_role_of_its_person(admin: Admin) -> None:
    await organisation(admin)
    token = await admin.session(await subject(admin))
    rows = (await get(admin, token)).json()["data"]
    assert [one["name"] for one in rows] == ["own"]
    assert (await get(admin, token, "/people")).status == 403
    assert (await get(admin, await admin.session(), "/people")).status == 200


async def test_a_session_ends_after_twelve_hours(admin: Admin) -> None:
    token = await admin.session()
    admin.time += 12 * HOUR - 1_000_000
    assert (await get(admin, token)).status == 200
    admin.time += 1_000_000
    response = await get(admin, token)
    assert (response.status, response.json()["error"]["code"]) == (401, "session_over")
    assert "modelmux dashboard" in response.json()["error"]["message"]


async def test_a_session_ends_when_it_is_signed_out(admin: Admin) -> None:
    token, other = await admin.session(), await admin.session()
    await admin.sessions.sign_out(token)
    assert (await get(admin, token)).status == 401
    assert (await get(admin, other)).status == 200


@pytest.mark.parametrize("change", ["role", "team", "disabled"])
async def test_s7_a_session_and_a_link_end_when_the_role_changes(admin: Admin, change: str) -> None:
    await organisation(admin)
    await admin.edit(lambda d: set_member(d, "usr_own", "team_low", "team_admin"))
    before = await subject(admin)
    assert (before.role, before.teams) == ("team_admin", ("team_low",))
    token, link = await admin.session(before), admin.sessions.new_link(before)
    assert (await get(admin, token)).status == 200
    if change == "role":
        await admin.edit(lambda d: set_member(d, "usr_own", "team_low", "member"))
    elif change == "team":
        await admin.edit(lambda d: set_member(d, "usr_own", "team_own", "team_admin"))
    else:
        await admin.edit(lambda d: save_person(d, Person(id="usr_own", email="own@example.com", status="disabled")))
    assert (await get(admin, token)).status == 401
    assert await admin.sessions.sign_in(link, await admin.directory()) is None
    if change == "role":  # and does not come back with the role
        await admin.edit(lambda d: set_member(d, "usr_own", "team_low", "team_admin"))
        assert (await get(admin, token)).status == 401


async def test_another_token_of_the_owner_ends_the_sessions_of_the_owner(admin: Admin) -> None:
    await organisation(admin)
    token, other = await admin.session(), await admin.session(await subject(admin))
    changed = Sessions(admin.sign_ins, "another-token", admin._now)
    assert await changed.subject(other, admin.directory) is not None
    assert await changed.subject(token, admin.directory) is None
    assert await admin.sessions.subject(token, admin.directory) is None


async def test_a_token_takes_precedence_over_a_cookie(admin: Admin) -> None:
    token = await admin.session()
    headers = {"cookie": f"modelmux_session={token}", "host": "localhost"}
    assert (await admin.call("GET", "/people", role="member", **headers)).status == 403
    assert (await admin.call("GET", "/keys", role="nobody", **headers)).status == 401


async def test_elsewhere_than_on_loopback_only_the_protected_cookie_counts(admin: Admin) -> None:
    token = await admin.session()
    headers = {"host": "admin.example.com"}
    for cookie, status in (("modelmux_session", 401), ("__Host-modelmux_session", 200)):
        response = await admin.call("GET", "/keys", role=None, **headers, cookie=f"{cookie}={token}")
        assert response.status == status
    assert (await get(admin, token, cookie="__Host-modelmux_session")).status == 200


def test_the_cookie_has_what_protects_it() -> None:
    parts = set_cookie("t", is_secure=False).decode().split("; ")
    assert parts == ["modelmux_session=t", "Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"]
    parts = set_cookie("t", is_secure=True).decode().split("; ")
    assert parts[0] == "__Host-modelmux_session=t"
    assert parts[1:] == ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict", "Secure"]
    assert b"Max-Age=0" in set_cookie("", is_secure=True)


@pytest.mark.parametrize(
    "cookie", ["", "modelmux_session=", "modelmux_session", "x=1;;; =", f"modelmux_session={'A' * 65}"]
)
def test_no_session_is_read_from_other_cookies(cookie: str) -> None:
    assert session_token([(b"host", b"localhost"), (b"cookie", cookie.encode())]) is None


async def test_a_write_of_a_page_of_this_listener(admin: Admin) -> None:
    token = await admin.session()
    csrf = {"x-csrf-token": csrf_of(token)}
    for headers in (
        SAME, {"origin": "http://127.0.0.1:3001"}, {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "origin": "null"},
    ):  # fmt: skip
        response = await write(admin, token, csrf | headers)
        assert response.status in (201, 409), response.body


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"origin": "null"}, {"origin": "http://127.0.0.1:8000"}, {"origin": "http://localhost:3001"},
        {"origin": "https://evil.example"}, {"origin": "http://127.0.0.1:3001.evil.example"},
        {"origin": "http://127.0.0.1:3001", "sec-fetch-site": "cross-site"},
        {"origin": "http://127.0.0.1:3001", "sec-fetch-site": "same-site"},
        {"origin": "null", "sec-fetch-site": "cross-site"}, {"sec-fetch-site": "none"},
        {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"},
    ],
)  # fmt: skip
async def test_a_write_of_another_page_is_refused(admin: Admin, headers: dict[str, str]) -> None:
    token = await admin.session()
    response = await write(admin, token, {"x-csrf-token": csrf_of(token)} | headers)
    assert (response.status, response.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert not (await admin.directory()).teams


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.writes], ids=lambda one: one.name)
@pytest.mark.parametrize("csrf", [None, "", "wrong", "of another session"])
async def test_every_write_needs_the_csrf_token_of_its_session(admin: Admin, operation: Any, csrf: str | None) -> None:
    await organisation(admin)
    token = await admin.session()
    headers = SAME | {"cookie": f"modelmux_session={token}"}
    if csrf is not None:
        headers["x-csrf-token"] = csrf_of(await admin.session()) if csrf == "of another session" else csrf
    path = re.sub(r"{\w+}", "key_own", operation.path)
    before = (await admin.directory()).version
    response = await admin.call(operation.method, path, {}, role=None, **headers)
    assert (response.status, response.json()["error"]["code"]) == (403, "csrf_token")
    assert (await admin.directory()).version == before


async def test_who_wrote_is_in_the_audit_log_by_id(admin: Admin) -> None:
    await organisation(admin)
    await admin.edit(lambda d: set_member(d, "usr_own", "team_own", "team_admin"))
    token = await admin.session(await subject(admin))
    headers = SAME | {"cookie": f"modelmux_session={token}", "x-csrf-token": csrf_of(token)}
    made = await admin.call("POST", "/keys", {"name": "n", "team": "team_own"}, role=None, **headers)
    assert made.json()["created_by"] == "usr_own", "others see who made a key, and not the address"
    assert (await admin.ok("GET", "/audit"))["data"][0]["author"] == "usr_own"


async def test_sessions_that_cannot_be_read_are_an_error_and_let_nobody_in(admin: Admin) -> None:
    token = await admin.session()
    admin.sign_ins.path.write_text("damaged")
    assert (await get(admin, token)).status == 503
    assert (await admin.call("GET", "/keys")).status == 200, "tokens of the API go on"


def test_the_file_is_beside_the_database(admin: Admin, tmp_path: Path) -> None:
    assert admin.sign_ins.path == tmp_path / "accounts.db.sessions"
