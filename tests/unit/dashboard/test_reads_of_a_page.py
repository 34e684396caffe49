"""What a page asks the stores for. Risk: each part of a page waits for a thread and for the event loop in turn, which
beside a busy worker takes ten times as long as the work; or a page mixes accounts of several moments."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelmux.accounts.directory import Directory
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.dashboard.page import ReadOnce, together
from modelmux.store.base import QueryTooLong
from support.admin import organisation
from support.dashboard import Browser

#: Of the overview: by hour, of the day before, by model, by team, and what the cache saved.
QUESTIONS = 5


@pytest.mark.parametrize("path", ["", "/costs", "/keys", "/models", "/settings", "/settings/people", "/session"])
async def test_a_page_reads_the_accounts_once(browser: Browser, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await organisation(browser.admin)
    read, count = browser.admin.store.read, 0

    async def counted(known: Directory) -> Directory:
        nonlocal count
        count += 1
        return await read(known)

    monkeypatch.setattr(browser.admin.store, "read", counted)
    assert (await browser.get(f"/dashboard{path}", authorization="Bearer token-owner")).status == 200
    assert count <= 1
    count = 0
    assert (await browser.get(f"/dashboard{path}", authorization="Bearer token-owner")).status == 200
    assert count <= 1, "of each page anew"


async def test_a_page_shows_what_was_written_before_it(browser: Browser) -> None:
    await browser.sign_in()
    for name in ("first", "second"):
        await browser.admin.ok("POST", "/keys", {"name": name})
        assert name in await browser.page("/dashboard/keys")


async def test_the_questions_of_the_overview_wait_in_the_store_and_not_for_each_other(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await organisation(browser.admin)
    usage, asked, may_answer = browser.admin.ledger.usage, 0, asyncio.Event()  # type: ignore[union-attr]

    async def slow(query: UsageQuery, *most: Any) -> list[UsageRow]:
        nonlocal asked
        asked += 1
        if asked == QUESTIONS:
            may_answer.set()
        await may_answer.wait()
        return await usage(query, *most)

    monkeypatch.setattr(browser.admin.ledger, "usage", slow)
    async with asyncio.timeout(20):
        assert (await browser.get("/dashboard", authorization="Bearer token-owner")).status == 200
    assert asked == QUESTIONS


async def test_all_questions_of_a_page_are_one_turn_of_its_visitor(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await organisation(browser.admin)
    running, most = 0, 0

    async def usage(_: UsageQuery, *_most: Any) -> list[UsageRow]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(50):  # until all that may ask have asked
            await asyncio.sleep(0)
        running -= 1
        return []

    monkeypatch.setattr(browser.admin.ledger, "usage", usage)
    pages = [browser.get("/dashboard.json", authorization="Bearer token-owner") for _ in range(3)]
    calls = [browser.admin.call("GET", "/usage") for _ in range(3)]
    answers = await asyncio.gather(*pages, *calls)
    assert [one.status for one in answers] == [200] * 6
    assert most == QUESTIONS, "another page waits, and so does a call of the same visitor"


async def test_an_error_of_one_part_is_that_of_the_page_and_gives_the_turn_back(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await organisation(browser.admin)
    usage = browser.admin.ledger.usage  # type: ignore[union-attr]

    async def fails(query: UsageQuery, *most: Any) -> list[UsageRow]:
        if query.group_by == ("team",):
            raise QueryTooLong(2.0)
        return await usage(query, *most)

    monkeypatch.setattr(browser.admin.ledger, "usage", fails)
    response = await browser.get("/dashboard.json", authorization="Bearer token-owner")
    assert response.json()["error"]["code"] == "query_timeout"
    monkeypatch.undo()
    async with asyncio.timeout(20):
        assert (await browser.get("/dashboard", authorization="Bearer token-owner")).status == 200


async def test_after_an_error_the_other_parts_are_ended() -> None:
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await together(waits(), fails())
    async with asyncio.timeout(20):
        await ended.wait()


async def test_a_directory_that_could_not_be_read_is_read_again() -> None:
    answers: list[Any] = [OSError("busy"), Directory(), AssertionError("it is known")]

    async def read() -> Directory:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Directory)
        return answer

    once = ReadOnce(read)
    with pytest.raises(OSError, match="busy"):
        await once()
    first, second = await asyncio.gather(once(), once())
    assert first is second
