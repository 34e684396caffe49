"""Risk: work for a client that has left, a cancellation that is taken for its leaving, one that comes too late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from modelmux.errors import UpstreamTimeout
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.server.disconnect import DisconnectGuard
from modelmux.server.http.request import ON_DISCONNECT

pytestmark = pytest.mark.virtual_time


class Server:
    """An ASGI server that reports a disconnect by a call, as ours does, or by a message.

    :param knows_task: it knows the task that answers.
    """

    def __init__(self, *, by_call: bool, knows_task: bool = True) -> None:
        self._call: Callable[[], None] | None = None
        self._gone = asyncio.Event()
        self._knows_task = knows_task
        self.scope: dict[str, Any] = {"extensions": {ON_DISCONNECT: self.on_disconnect}} if by_call else {}
        self.registered: list[bool] = []

    def on_disconnect(self, call: Callable[[], None] | None) -> asyncio.Task[Any] | None:
        self._call = call
        self.registered.append(call is not None)
        if call is not None and self._gone.is_set():
            call()
        return asyncio.current_task() if self._knows_task else None

    async def receive(self) -> Any:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    def leave(self) -> None:
        self._gone.set()
        if self._call is not None:
            self._call()

    def guard(self, seconds: float = float("inf")) -> DisconnectGuard:
        return DisconnectGuard(self.receive, self.scope, seconds)


@pytest.fixture(params=["by call", "by call, task unknown", "by message"])
def server(request: pytest.FixtureRequest) -> Server:
    return Server(by_call="call" in request.param, knows_task="unknown" not in request.param)


async def run(server: Server, work: float, seconds: float = float("inf"), then: float = 0.0) -> str:
    """What comes of work inside the guard, and a moment after it."""
    try:
        async with server.guard(seconds):
            await asyncio.sleep(work)
        await asyncio.sleep(then)
    except (ClientDisconnected, UpstreamTimeout, asyncio.CancelledError) as error:
        return type(error).__name__
    return "done"


async def test_work_of_a_client_that_stays_is_done(server: Server) -> None:
    assert await run(server, 5) == "done"
    assert len(asyncio.all_tasks()) == 1


async def test_a_client_that_leaves_ends_the_work_at_once(server: Server) -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(2, server.leave)
    before = loop.time()
    assert await run(server, 5) == "ClientDisconnected"
    assert loop.time() - before == pytest.approx(2)
    assert len(asyncio.all_tasks()) == 1
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling(), "the request goes on to its settling"


async def test_a_client_that_has_left_before(server: Server) -> None:
    server.leave()
    assert await run(server, 5) == "ClientDisconnected"


async def test_the_deadline_ends_the_work(server: Server) -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    assert await run(server, 5, seconds=3) == "UpstreamTimeout"
    assert loop.time() - before == pytest.approx(3)
    with pytest.raises(UpstreamTimeout) as caught:
        async with server.guard(0.0):
            await asyncio.sleep(5)
    assert (caught.value.clock, caught.value.kind.name) == ("total", "deadline")


async def test_what_happens_after_the_work_cancels_nothing(server: Server) -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(2, server.leave)
    assert await run(server, 1, seconds=3, then=10) == "done"


async def test_both_at_once_are_one_end(server: Server) -> None:
    asyncio.get_running_loop().call_later(3, server.leave)
    assert await run(server, 5, seconds=3) in ("UpstreamTimeout", "ClientDisconnected")
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_cancellation_by_something_else_is_passed_on(server: Server) -> None:
    for also_leaves in (False, True):
        task = asyncio.create_task(run(server, 5))
        await asyncio.sleep(1)
        if also_leaves:
            server.leave()
        task.cancel()
        assert await task == "CancelledError"


async def test_an_error_of_the_work_is_raised_as_it_is(server: Server) -> None:
    with pytest.raises(ZeroDivisionError):
        async with server.guard(9):
            raise ZeroDivisionError
    assert len(asyncio.all_tasks()) == 1


async def test_our_own_server_is_told_when_the_call_is_no_longer_wanted() -> None:
    server = Server(by_call=True)
    await run(server, 1)
    assert server.registered[-1] is False
