"""Imports over the API. Risk: a role gives itself keys, or a body without an end is read."""

from __future__ import annotations

import json

import pytest

from modelmux.accounts.roles import ROLES
from modelmux.admin.imports import MAX_IMPORT
from modelmux.admin.operation import MAX_BODY
from support.admin import Admin

KEY = {"token": "ab" * 32, "key_alias": "theirs", "models": ["fast"]}


async def test_keys_come_with_their_hashes_and_once(admin: Admin) -> None:
    dry = await admin.ok("POST", "/imports/litellm", {"keys": [KEY], "dry_run": True})
    assert (await admin.ok("GET", "/keys"))["data"] == []
    first = await admin.ok("POST", "/imports/litellm", {"keys": [KEY]}, idempotency_key="one")
    assert first == dry == {"keys": 1, "teams": 0, "people": 0, "notices": [], "left_out": []}
    again = await admin.ok("POST", "/imports/litellm", {"keys": [KEY]}, idempotency_key="one")
    assert again["keys"] == 0
    assert (await admin.directory()).secret(bytes.fromhex("ab" * 32)) is not None
    (log,) = (await admin.ok("GET", "/audit"))["data"]
    assert (log["action"], log["author"]) == ("accounts.import", "owner")
    assert "ab" * 32 not in json.dumps(log)


async def test_what_is_left_out_is_named(admin: Admin) -> None:
    answer = await admin.ok("POST", "/imports/litellm", {"keys": [{"token": "x", "key_alias": "bad"}]})
    assert answer["keys"] == 0
    assert "bad" in answer["left_out"][0]


async def test_only_owners_and_admins_import(admin: Admin) -> None:
    for role in ROLES:
        response = await admin.call("POST", "/imports/litellm", {"keys": []}, role)
        assert response.status == (200 if role in ("owner", "admin") else 403)


@pytest.mark.parametrize(("path", "size"), [("/imports/litellm", MAX_IMPORT), ("/teams", MAX_BODY)])
async def test_a_body_has_a_bound(admin: Admin, path: str, size: int) -> None:
    body = b'{"keys": [' + b" " * (MAX_BODY + 10) + b"]}"
    assert (await admin.call("POST", path, body)).status == (200 if size > MAX_BODY else 413)
    assert (await admin.call("POST", path, b" " * (size + 1))).status == 413
