"""``/audit``: pages of few bytes, and what nobody is shown. Risk: a few changes of many records are an answer of many
megabytes, a change is on no page, or one shows what is for the gateway alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelmux.admin.audit import MOST_BYTES
from modelmux.store.directory.base import Author
from support.admin import Admin, organisation
from support.directories import NOW

AUTHOR = Author("ann", "cli")


async def note(admin: Admin, subject: str, records: dict[str, Any]) -> None:
    await admin.store.note(AUTHOR, NOW, "note", subject, records)


async def pages(admin: Admin, query: str = "") -> list[dict[str, Any]]:
    """All pages of a list."""
    found = [await admin.ok("GET", "/audit", query=query)]
    while found[-1]["has_more"]:
        found.append(await admin.ok("GET", "/audit", query=f"{query}&after={found[-1]['next']}"))
    return found


async def test_a_page_ends_where_its_records_are_half_a_mebibyte(admin: Admin) -> None:
    sizes = [100, MOST_BYTES // 3, MOST_BYTES // 3, MOST_BYTES // 3, 3 * MOST_BYTES, 100, 100]
    for number, size in enumerate(sizes):
        await note(admin, f"s{number}", {f"s{number}": {"text": "x" * size}})
    found = await pages(admin)
    assert [[row["subject"] for row in page["data"]] for page in found] == [
        ["s6", "s5"], ["s4"], ["s3", "s2"], ["s1", "s0"],
    ], "a change that has more is alone on its page"  # fmt: skip
    assert [len(row["after"][row["subject"]]["text"]) for page in found for row in page["data"]] == sizes[::-1]
    assert [page["next"] is None for page in found] == [False, False, False, True]
    short = await pages(admin, "longest=1000")
    assert [[row["is_cut"] for row in page["data"]] for page in short] == [
        [False, False, True, True, True, True, False]
    ], "what comes without its records takes no room"


async def test_what_is_for_the_gateway_alone_is_not_shown_of_older_rows_either(admin: Admin) -> None:
    records = {
        "hook": {"name": "pager", "pepper": "canary-1", "tags": {"pepper": "mine", "digest": "mine"}},
        "secret": {"digest": "canary-2", "hint": 'says "pepper":', "created": 7},
    }
    await note(admin, "hook", records)
    response = await admin.call("GET", "/audit")
    (row,) = response.json()["data"]
    assert row["after"] == {
        "hook": {"name": "pager", "tags": {"pepper": "mine", "digest": "mine"}},
        "secret": {"hint": 'says "pepper":', "created": 7},
    }
    assert b"canary" not in response.body


async def test_records_are_sent_as_they_are_stored(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    await organisation(admin)
    await asyncio.gather(*(admin.ok("POST", "/keys", {"name": f"k{number}"}) for number in range(3)))
    rows = (await admin.store.audit()).rows

    def decode(*arguments: Any) -> Any:
        raise AssertionError("they are long, and nothing of them is hidden")

    monkeypatch.setattr("modelmux.admin.audit.shown_records", decode)
    shown = (await admin.ok("GET", "/audit"))["data"]
    assert [(row["id"], row["before"], row["after"]) for row in shown] == [
        (str(row.number), row.before, row.after) for row in rows
    ]


async def test_records_are_objects_in_the_description(admin: Admin) -> None:
    document = await admin.ok("GET", "/openapi.json")
    fields = document["components"]["schemas"]["AuditView"]["properties"]
    assert fields["before"] == fields["after"] == {"type": "object"}
    assert "half a MiB" in document["paths"]["/admin/v1/audit"]["get"]["summary"]
