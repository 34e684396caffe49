"""Risk: who may change people becomes an owner, by the address of one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.roles import ROLES, Principal, may_give
from modelmux.config.admin_schema import AdminRoleConfig
from support.admin import Admin, organisation


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    """In it, ``own`` is an owner, and ``other`` an admin; an owner without a person is ``new``."""
    one = Admin(tmp_path)
    await organisation(one)
    one.backend.config.admin.roles = [
        AdminRoleConfig(email="Own@example.com ", role="owner"), AdminRoleConfig(email="new@example.com", role="owner"),
        AdminRoleConfig(email="other@example.com", role="admin"),
    ]  # fmt: skip
    yield one
    await one.aclose()


async def refused(admin: Admin, method: str, path: str, body: Any) -> None:
    before = (await admin.directory()).version
    error = await admin.refused(403, method, path, body, role="admin")
    assert error["code"] == "role_not_allowed"
    assert "admin.roles makes" in error["message"]
    assert (await admin.directory()).version == before


@pytest.mark.parametrize("body", [{"email": "gone@example.com"}, {"name": "x"}, {"status": "disabled"}])
async def test_the_person_of_an_owner_is_changed_by_owners_alone(admin: Admin, body: dict[str, str]) -> None:
    await refused(admin, "PATCH", "/people/usr_own", body)
    await admin.ok("PATCH", "/people/usr_own", body)


@pytest.mark.parametrize("email", ["new@example.com", " NEW@Example.com"])
async def test_the_address_of_an_owner_is_given_by_owners_alone(admin: Admin, email: str) -> None:
    await refused(admin, "PATCH", "/people/usr_other", {"email": email})
    await refused(admin, "POST", "/people", {"email": email})
    await admin.ok("POST", "/people", {"email": email})


async def test_an_admin_changes_people_of_other_roles(admin: Admin) -> None:
    await admin.ok("PATCH", "/people/usr_other", {"name": "x"}, "admin")
    await admin.ok("POST", "/people", {"email": "more@example.com"}, "admin")


async def test_an_import_adds_no_owner(admin: Admin) -> None:
    team = {
        "team_id": "t",
        "team_alias": "theirs",
        "members_with_roles": [{"user_email": "new@example.com", "role": "user"}],
    }
    for more in ({"dry_run": True}, {}):
        await refused(admin, "POST", "/imports/litellm", {"teams": [team], **more})
    assert (await admin.ok("POST", "/imports/litellm", {"teams": [team]}))["people"] == 1


def test_who_gives_a_role_may_do_all_that_it_may() -> None:
    given = {
        by: {role for role in ROLES if may_give(Principal(name="x", role=by), role)} for by in ROLES
    }  # fmt: skip
    assert given["owner"] == set(ROLES)
    assert given["admin"] == set(ROLES) - {"owner"}
    assert given["team_admin"] == {"team_admin"}
    assert given["member"] == {"member"}
