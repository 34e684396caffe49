"""The admin API of a gateway without accounts.

Risk: an operation fails in the middle because there is no store, answers as if nothing had ever been used, or makes a
file of accounts; a request is ended and nothing tells of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.admin.errors import AccountsOff
from modelmux.admin.no_directory import NoDirectory
from modelmux.admin.operation import Operation
from modelmux.admin.operations import OPERATIONS
from modelmux.store.directory.base import Author
from modelmux.telemetry.counted import Counted, TokenSums
from support.admin import Admin, live_request
from support.captures import keep_with_record
from support.directories import NOW
from support.log_lines import Lines
from support.traces import trace, write

#: What needs no accounts: a list of its own, so that a new operation is thought about.
WORK = {
    "GET /openapi.json", "GET /live", "GET /live/{id}", "POST /live/{id}/end", "GET /traces", "GET /traces/{id}",
    "GET /traces/{id}/bodies", "GET /status", "GET /workers", "GET /counters", "GET /deployments",
    "GET /models", "GET /settings",
}  # fmt: skip


def name_of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Admin]:
    admin = Admin(tmp_path, {"enabled": False})
    yield admin
    await admin.aclose()


def test_what_works_without_accounts() -> None:
    assert {name_of(one) for one in OPERATIONS if one.without_accounts} == WORK


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if not one.without_accounts], ids=name_of)
async def test_what_needs_accounts_says_what_to_set(plain: Admin, operation: Operation) -> None:
    path = operation.path.replace("{id}", "x_1").replace("{person}", "usr_1")
    error = await plain.refused(404, operation.method, path, {})
    assert error["code"] == "accounts_off"
    assert "accounts.enabled = true" in error["message"]
    assert "docs/accounts.md" in error["message"]
    response = await plain.call(operation.method, path, {}, role=None)
    assert response.status == 401, "strangers learn nothing"


@pytest.mark.parametrize("name", sorted(name for name in WORK if name.startswith("GET") and "{id}" not in name))
async def test_what_needs_none_answers_and_leaves_no_file(plain: Admin, name: str, tmp_path: Path) -> None:
    assert await plain.ok("GET", name.removeprefix("GET "))
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


async def test_a_role_that_may_not_is_told_that_first(plain: Admin) -> None:
    assert (await plain.refused(403, "GET", "/keys", role="viewer"))["code"] == "role_not_allowed"
    assert (await plain.refused(403, "GET", "/traces", role="viewer"))["code"] == "role_not_allowed"


async def test_the_status_has_no_ledger(plain: Admin) -> None:
    status = await plain.ok("GET", "/status")
    assert (status["ledger"], status["directory_version"]) == (None, 0)


async def test_counters_are_those_of_the_workers(plain: Admin) -> None:
    plain.counted = Counted(requests=3, errors=1, tokens=TokenSums(output=7))
    shown = await plain.ok("GET", "/counters", role="viewer")
    assert (shown["requests"], shown["errors"], shown["tokens"]["output"], shown["routes"]) == (3, 1, 7, [])


async def test_an_end_is_told_in_the_log_before_it_happens(plain: Admin) -> None:
    plain.live = {1: [live_request("live_1_a_1", key="", person=None, team="")]}
    assert (await plain.ok("POST", "/live/live_1_a_1/end"))["ended"]
    ((event, fields),) = plain.log.lines
    assert event == "accounts"
    assert "owner" in fields["message"]
    assert "request.end live_1_a_1" in fields["message"]


def keep(folder: Path, count: int = 5, **fields: Any) -> None:
    requests = [trace(number, outcome="ok" if number % 2 else "upstream_error") for number in range(count)]
    write(folder / "traces.db", [*requests, trace(count, **fields)], NOW)


@pytest.mark.parametrize("accounts", [True, False])
async def test_records_are_listed_page_by_page(tmp_path: Path, accounts: bool) -> None:
    admin = Admin(tmp_path, {"enabled": accounts})
    keep(tmp_path, row_id="req_row", key="key_a", cost="0.25")
    admin.wrong_by = 0
    first = await admin.ok("GET", "/traces", query="limit=2")
    newest = first["data"][0]
    assert (newest["id"], newest["request"], newest["key"], newest["cost"]["amount"]) == (
        "req_5", "req_row", "key_a", "0.25"
    )  # fmt: skip
    assert newest["tokens"] == {"input": 10, "cache_read": 20, "cache_write": 30, "output": 4}
    assert (first["has_more"], first["recorded"]) == (True, True)
    second = await admin.ok("GET", "/traces", query=f"limit=10&after={first['next']}")
    assert [one["id"] for one in second["data"]] == ["req_3", "req_2", "req_1", "req_0"]
    assert (second["has_more"], second["next"]) == (False, None)
    await admin.aclose()


async def test_records_are_chosen_by_model_and_outcome(plain: Admin, tmp_path: Path) -> None:
    keep(tmp_path, requested="mine", route="mine")
    failed = await plain.ok("GET", "/traces", query="outcome=upstream_error")
    assert [one["id"] for one in failed["data"]] == ["req_4", "req_2", "req_0"]
    assert [one["id"] for one in (await plain.ok("GET", "/traces", query="model=mine"))["data"]] == ["req_5"]
    assert (await plain.ok("GET", "/traces", query="model=none"))["data"] == []
    assert (await plain.refused(400, "GET", "/traces", query="after=x"))["param"] == "after"
    assert (await plain.refused(400, "GET", "/traces", query="outcome=x"))["param"] == "outcome"


async def test_a_record_is_explained_by_any_id(plain: Admin, tmp_path: Path) -> None:
    keep(tmp_path, message_id="msg_1")
    for id in ("req_5", "msg_1"):
        found = await plain.ok("GET", f"/traces/{id}")
        assert (found["request"]["request_id"], found["prompt"]["messages"]) == ("req_5", 1)
    assert (await plain.refused(404, "GET", "/traces/req_9"))["code"] == "not_found"


@pytest.mark.parametrize("accounts", [True, False])
async def test_captured_bodies_are_read_with_a_trace_of_it(tmp_path: Path, accounts: bool) -> None:
    admin = Admin(tmp_path, {"enabled": accounts})
    await admin.ok("GET", "/traces")
    keep_with_record(tmp_path, NOW - 9, "req_row", b"of before", request_id="chosen", key="key_a")
    keep_with_record(tmp_path, NOW - 1, "req_row2", b"canary", request_id="chosen", key="key_a")
    assert (await admin.ok("GET", "/traces/chosen"))["bodies"] == "kept"
    for role in ("member", "team_admin", "viewer", "auditor"):
        response = await admin.call("GET", "/traces/chosen/bodies", role=role)
        assert (response.status, b"canary" in response.body) == (403, False)
    lines = len(admin.log.lines)
    bodies = await admin.ok("GET", "/traces/chosen/bodies")
    assert bodies["request"]["text"] == "canary", "that of the latest with this id"
    if accounts:
        rows = [row for row in (await admin.ok("GET", "/audit"))["data"] if row["action"] == "bodies.read"]
        assert [(row["author"], row["subject"]) for row in rows] == [("owner", "req_row2")]
    else:
        assert ["bodies.read req_row2" in fields["message"] for _, fields in admin.log.lines[lines:]] == [True]
    assert (await admin.refused(404, "GET", "/traces/none/bodies"))["code"] == "not_found"
    await admin.aclose()


async def test_a_record_says_what_became_of_its_bodies(plain: Admin, tmp_path: Path) -> None:
    keep(tmp_path, request_id="gone", is_captured=True)
    assert (await plain.ok("GET", "/traces/gone"))["bodies"] == "gone"
    assert (await plain.ok("GET", "/traces/req_1"))["bodies"] == "none"
    assert (await plain.refused(404, "GET", "/traces/gone/bodies"))["code"] == "not_found"
    keep_with_record(tmp_path, NOW - 1, "req_row", b"canary", request_id="kept")
    (tmp_path / "traces.db").unlink()  # bodies are kept longer
    shown = await plain.ok("GET", "/traces/kept")
    assert (shown["bodies"], shown["request"]["request_id"]) == ("kept", "kept")


async def test_where_no_records_are_kept_the_list_says_so(tmp_path: Path) -> None:
    admin = Admin(tmp_path, {"enabled": False}, traces=False)
    shown = await admin.ok("GET", "/traces")
    assert (shown["data"], shown["recorded"]) == ([], False)
    await admin.aclose()


async def test_nothing_can_be_changed() -> None:
    store, author = NoDirectory(Lines()), Author("owner", "cli")

    def decide(directory: Directory) -> Edit:
        raise AssertionError(directory)

    with pytest.raises(AccountsOff):
        await store.change(decide, author, NOW)
    with pytest.raises(AccountsOff):
        store.change_now(decide, author, NOW)
    assert store.load() is await store.read(Directory())
    assert (store.load().version, store.load().keys) == (0, {})
    assert (await store.audit()).rows == []
