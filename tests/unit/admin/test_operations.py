"""Every operation: who may call it, and what it refuses. What is enumerated here comes from the table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest

from modelmux.accounts.roles import PERMISSIONS, ROLES, Permission, Role
from modelmux.accounts.uuid7 import format_id
from modelmux.admin.operation import Operation
from modelmux.admin.operations import OPERATIONS
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support.admin import Admin, live_request, organisation
from support.ledgers import entry

_IDS = {"keys": "key_own", "teams": "team_own", "people": "usr_own", "budgets": "bud_none", "limits": "lim_none"}


def path_of(operation: Operation) -> str:
    path = operation.path.replace("{id}", _IDS.get(operation.tag, "x")).replace("{person}", "usr_other")
    assert "{" not in path
    return path


def minimal_body(operation: Operation) -> dict[str, Any]:
    """The fields that a body has to have."""
    values: dict[str, Any] = {"limits": {"rpm": 1}, "person": "usr_own", "valid_from": "2027-01-01"}
    fields = msgspec.structs.fields(operation.body) if operation.body else ()
    return {one.encode_name: values.get(one.encode_name, "1") for one in fields if one.required}


def name_of(operation: Any) -> str:
    return f"{operation.method} {operation.path}" if isinstance(operation, Operation) else str(operation)


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
async def test_no_operation_answers_without_a_token(admin: Admin, operation: Operation) -> None:
    error = await admin.refused(401, operation.method, path_of(operation), b"{}", role=None)
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    for wrong in ("Bearer x", "Bearer ", "Basic eA==", "token-owner", f"Bearer sk-mmx-{'a' * 49}"):
        assert (await admin.call(operation.method, path_of(operation), authorization=wrong)).status == 401


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
async def test_each_role_may_what_the_table_says(admin: Admin, operation: Operation, role: Role) -> None:
    response = await admin.call(operation.method, path_of(operation), b"[]", role)
    if operation.permission in PERMISSIONS[role]:
        assert response.status != 403
        assert response.status < 500
    else:
        assert response.status == 403
        assert response.json()["error"]["code"] == "role_not_allowed"


def test_every_write_needs_a_permission_to_write() -> None:
    for operation in OPERATIONS:
        assert operation.permission in get_args(Permission)
        assert operation.permission.endswith((".write", ".use")) == operation.writes, operation.path


def test_names_are_unique() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)


def _fields() -> Iterator[Any]:
    for operation in OPERATIONS:
        if operation.body is not None:
            for field in msgspec.structs.fields(operation.body):
                yield pytest.param(operation, field.encode_name, id=f"{name_of(operation)} {field.encode_name}")


@pytest.mark.parametrize(("operation", "field"), list(_fields()))
async def test_every_field_names_itself_if_its_type_is_wrong(admin: Admin, operation: Operation, field: str) -> None:
    body = minimal_body(operation)
    error = await admin.refused(400, operation.method, path_of(operation), body | {field: [[]]})
    assert error["param"].split(".")[0] == field
    assert error["message"].startswith(field)
    assert "[[]]" in error["message"] or "[]" in error["message"]
    assert re.search(r"[Ee]xpected \w", error["message"])


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.body is not None], ids=name_of)
async def test_a16_unknown_fields_are_named(admin: Admin, operation: Operation) -> None:
    body = minimal_body(operation)
    error = await admin.refused(400, operation.method, path_of(operation), body | {"budgte": 50})
    assert (error["param"], error["code"]) == ("budgte", "unknown_parameter")
    assert "50" in error["message"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
async def test_unknown_parameters_are_named(admin: Admin, operation: Operation) -> None:
    error = await admin.refused(400, operation.method, path_of(operation), b"{}", query="limti=5")
    assert (error["param"], error["code"]) == ("limti", "unknown_parameter")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=", "limit=5&limit=6", "limit=1.5", "limit=1e2", "limit=2.0"]
)
async def test_a_limit_of_a_page_is_checked(admin: Admin, query: str) -> None:
    for operation in OPERATIONS:
        if operation.method == "GET" and operation.params.__name__.endswith("ListParams"):
            error = await admin.refused(400, "GET", path_of(operation), query=query)
            assert error["param"] == "limit"


async def request_of_others(admin: Admin) -> str:
    ledger = SqliteLedger(admin.path)
    one = entry(1, key="key_other", team="team_top/team_other", person="usr_other")
    await ledger.append([one])
    await ledger.aclose()
    return format_id(one.id)


def _by_id() -> list[Operation]:
    return [one for one in OPERATIONS if "{id}" in one.path]


@pytest.mark.parametrize("operation", _by_id(), ids=name_of)
async def test_s37_records_of_others_do_not_exist(admin: Admin, operation: Operation) -> None:
    """For a principal with a scope, the id of a record of others is the same as one that there is not."""
    await organisation(admin)
    theirs = {"key": "key_other", "person": "usr_other", "team": "team_top/team_other"}
    admin.live = {1: [live_request("live_1_a_1", **theirs)]}
    other = {
        "keys": "key_other", "teams": "team_other", "people": "usr_other", "requests": await request_of_others(admin),
        "live": "live_1_a_1", "traces": "req_of_others",
    }.get(operation.tag)  # fmt: skip
    if operation.tag == "webhooks":
        hook = await admin.ok("POST", "/webhooks", {"name": "w", "url": "https://hooks.example.com"})
        other = hook["id"]
    if other is None:
        budget = await admin.ok("POST", "/budgets", {"limit": "5", "applies_to": {"team": "team_other"}})
        limit = await admin.ok(
            "POST", "/limits", {"name": "o", "limits": {"rpm": 1}, "applies_to": {"team": "team_other"}}
        )
        other = {"budgets": budget["id"], "limits": limit["id"]}[operation.tag]
    body = minimal_body(operation)
    for role in ("team_admin", "member"):
        if operation.permission not in PERMISSIONS[role]:
            continue
        answers = []
        for id in (other, f"{operation.tag}_nothing"):
            path = operation.path.replace("{id}", id).replace("{person}", "usr_own")
            response = await admin.call(operation.method, path, body, role)
            assert response.status == 404, response.body
            answers.append(response.body.replace(id.encode(), b"ID"))
        assert answers[0] == answers[1]


async def test_the_document_is_made_once(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await admin.call("GET", "/openapi.json", role="viewer")

    def again(*_: object) -> None:
        raise AssertionError("it takes as long as a hundred other calls")

    monkeypatch.setattr("modelmux.admin.operations.openapi", again)
    assert (await admin.call("GET", "/openapi.json", role="owner")).body == first.body


async def test_the_document_has_all_of_it(admin: Admin) -> None:
    document = await admin.ok("GET", "/openapi.json", role="viewer")
    assert document["openapi"] == "3.1.0"
    for operation in OPERATIONS:
        entry = document["paths"][f"/admin/v1{operation.path}"][operation.method.lower()]
        assert entry["security"] == [{"token": []}]
        assert set(entry["responses"]) >= {str(operation.status), "400", "401", "403", "404", "429", "500", "503"}
        assert ("requestBody" in entry) == (operation.body is not None)
        assert set(re.findall(r"{(\w+)}", operation.path)) == {
            one["name"] for one in entry["parameters"] if one["in"] == "path"
        }
        for field in msgspec.structs.fields(operation.params):
            assert field.encode_name in [one["name"] for one in entry["parameters"] if one["in"] == "query"]
    references = set(re.findall(r'"#/components/schemas/([^"]*)"', msgspec.json.encode(document).decode()))
    assert references <= set(document["components"]["schemas"])


async def test_methods_and_paths(admin: Admin) -> None:
    response = await admin.call("DELETE", "/keys")
    assert (response.status, response.headers["allow"]) == (405, "GET, HEAD, POST")
    assert (await admin.call("GET", "/nothing")).status == 404
    assert (await admin.call("GET", "/keys/a/b/c")).status == 404
    assert (await admin.call("GET", "/nothing", role=None)).status == 401  # paths are not told to strangers
    head, get = await admin.call("HEAD", "/keys"), await admin.call("GET", "/keys")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(get.body))
