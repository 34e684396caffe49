"""Questions of a page that are asked at once. Risk: one of them still runs when the turn of the visitor is over."""

from __future__ import annotations

import asyncio

import pytest

from modelmux.dashboard.page import together


async def test_what_all_return_is_in_the_order_in_which_they_were_asked() -> None:
    async def late() -> str:
        await asyncio.sleep(0)
        return "late"

    async def soon() -> str:
        return "soon"

    assert await together(late(), soon()) == ["late", "soon"]


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_none_runs_any_more_when_one_has_failed_or_the_page_is_given_up(is_cancelled: bool) -> None:
    ended = list[str]()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("slow")

    async def fails() -> None:
        await asyncio.sleep(0)
        if not is_cancelled:
            raise LookupError
        await asyncio.Event().wait()

    page = asyncio.ensure_future(together(slow(), fails()))
    if is_cancelled:
        for _ in range(3):  # until both have begun
            await asyncio.sleep(0)
        page.cancel()
    with pytest.raises(asyncio.CancelledError if is_cancelled else LookupError):
        await page
    assert ended == ["slow"]
