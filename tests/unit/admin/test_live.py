"""Risk: running requests of others are shown or ended, an end leaves no trace in the audit log, or the list keeps quiet
about what is missing from it."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.accounts.uuid7 import format_id
from support.admin import Admin, live_request, organisation

ROW = bytes(range(16))


async def _running(admin: Admin) -> None:
    await organisation(admin)
    admin.live = {
        1: [
            live_request("live_1_a_1", age=3.0, state="streaming", output_tokens=12, estimated=True, row=ROW,
                         held=2_500_000, first_content=0.75, attempts=2, deployment="d", location="global"),
            live_request("live_1_a_2", age=700.0, key="key_other", person="usr_other", team="team_top/team_other",
                         route="slow", model=None, requested_model="slow", state="queued"),
        ],
        2: [live_request("live_2_b_1", age=0.5, key="key_free", person=None, team="", model="claude-haiku-4-5")],
    }  # fmt: skip


async def ids(admin: Admin, role: str = "owner", query: str = "") -> list[str]:
    return [one["id"] for one in (await admin.ok("GET", "/live", role=role, query=query))["data"]]


async def test_all_of_all_workers_the_newest_first(admin: Admin) -> None:
    await _running(admin)
    answer = await admin.ok("GET", "/live")
    assert [one["id"] for one in answer["data"]] == ["live_2_b_1", "live_1_a_1", "live_1_a_2"]
    assert (answer["object"], answer["more"], answer["missing_workers"]) == ("list", 0, [])
    one = answer["data"][1]
    assert one.pop("started_at").endswith("Z")
    assert one == {
        "id": "live_1_a_1", "client_request_id": "x-live_1_a_1", "request": format_id(ROW), "seconds": 3.0,
        "state": "streaming", "key": "key_own", "key_name": "own", "team": "team_own", "team_name": "own",
        "team_path": ["team_top", "team_own"], "person": "usr_own", "person_email": "own@example.com",
        "dialect": "openai_chat", "operation": "generate", "requested_model": "fast", "route": "fast",
        "model": "claude-sonnet-4-6", "location": "global", "deployment": "d", "attempts": 2, "stream": True,
        "first_content_seconds": 0.75, "output_tokens": 12, "estimated": True,
        "held": {"amount": "0.0025", "currency": "USD"}, "response_bytes": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("role", "seen"),
    [("admin", {"live_1_a_1", "live_1_a_2", "live_2_b_1"}), ("team_admin", {"live_1_a_1"}), ("member", {"live_1_a_1"})],
)
async def test_each_role_sees_its_own(admin: Admin, role: str, seen: set[str]) -> None:
    await _running(admin)
    assert set(await ids(admin, role)) == seen
    for id in ("live_1_a_1", "live_1_a_2", "live_2_b_1"):
        response = await admin.call("GET", f"/live/{id}", role=role)
        assert response.status == (200 if id in seen else 404)
    assert set(await ids(admin, role, "model=claude-haiku-4-5")) == seen & {"live_2_b_1"}


async def test_filters(admin: Admin) -> None:
    await _running(admin)
    assert await ids(admin, query="key=own") == ["live_1_a_1"]
    assert await ids(admin, query="team=top") == ["live_1_a_1", "live_1_a_2"]
    assert await ids(admin, query="person=other@example.com") == ["live_1_a_2"]
    assert await ids(admin, query="model=slow") == ["live_1_a_2"]
    assert await ids(admin, query="model=claude-sonnet-4.6") == ["live_1_a_1"], "any name of a model"
    assert await ids(admin, query="state=queued") == ["live_1_a_2"]
    assert await ids(admin, query="min_seconds=3") == ["live_1_a_1", "live_1_a_2"]
    for query, param in (("key=", "key"), ("state=gone", "state"), ("min_seconds=-1", "min_seconds"), ("key=x", "key")):
        assert (await admin.refused(400, "GET", "/live", query=query))["param"] == param
    assert (await admin.refused(400, "GET", "/live", query="key=other", role="member"))["param"] == "key"


async def test_what_is_not_in_the_list_is_told(admin: Admin) -> None:
    await _running(admin)
    answer = await admin.ok("GET", "/live", query="limit=1")
    assert ([one["id"] for one in answer["data"]], answer["more"]) == (["live_2_b_1"], 2)
    admin.silent = {1}
    answer = await admin.ok("GET", "/live")
    assert ([one["id"] for one in answer["data"]], answer["missing_workers"]) == (["live_2_b_1"], ["0001"])
    for method, path in (("GET", "/live/live_1_a_1"), ("POST", "/live/live_1_a_1/end")):
        error = await admin.refused(503, method, path)
        assert error["code"] == "worker_unavailable"


async def test_an_end_is_audited(admin: Admin) -> None:
    await _running(admin)
    reply = await admin.ok("POST", "/live/live_1_a_1/end", role="admin")
    assert reply == {"id": "live_1_a_1", "ended": True, "request": format_id(ROW)}
    assert [one.id for one in admin.live[1]] == ["live_1_a_2"]
    (row,) = (await admin.ok("GET", "/audit", query="subject=live_1_a_1"))["data"]
    assert (row["author"], row["action"], row["before"]) == ("admin", "request.end", {})
    told = row["after"]["live_1_a_1"]
    assert (told["key"], told["client_request_id"], told["request"]) == ("key_own", "x-live_1_a_1", format_id(ROW))
    await admin.refused(404, "POST", "/live/live_1_a_1/end")
    assert len((await admin.ok("GET", "/audit", query="subject=live_1_a_1"))["data"]) == 1


async def test_one_that_ends_by_itself_meanwhile_was_not_ended(admin: Admin) -> None:
    await _running(admin)
    admin.over = {"live_1_a_1"}
    assert (await admin.ok("POST", "/live/live_1_a_1/end"))["ended"] is False


@pytest.mark.parametrize("role", ["team_admin", "member", "viewer", "auditor"])
async def test_only_administrators_end(admin: Admin, role: str) -> None:
    await _running(admin)
    await admin.refused(403, "POST", "/live/live_1_a_1/end", role=role)
    assert len(admin.live[1]) == 2
    assert (await admin.ok("GET", "/audit", query="subject=live_1_a_1"))["data"] == []


async def test_nothing_ends_without_its_audit_row(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelmux.store.base import StoreFailed

    await _running(admin)

    async def fail(*_: Any) -> None:
        raise StoreFailed("full")

    monkeypatch.setattr(admin.store, "note", fail)
    await admin.refused(503, "POST", "/live/live_1_a_1/end")
    assert len(admin.live[1]) == 2


@pytest.mark.parametrize("id", ["x", "live_9_a_1", "live_x_a_1", "live_1_a", "live_0_a_1", "live_99999_a_1"])
async def test_ids_of_nothing(admin: Admin, id: str) -> None:
    await _running(admin)
    await admin.refused(404, "GET", f"/live/{id}")
    await admin.refused(404, "POST", f"/live/{id}/end")
