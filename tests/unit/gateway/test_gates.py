"""Risk: a large request that is held twice while it waits, that is called without its content afterwards, or whose slot
is lost when its client leaves."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.claude.native import NativeRequest
from modelmux.dialects.anthropic_messages.request import decode_native
from modelmux.dialects.base import Decoded, Inbound
from modelmux.errors import GatewayOverloaded
from modelmux.gateway.concurrency import ConcurrencyLimiter
from modelmux.gateway.gates import LET_GO, ConcurrencyGate
from modelmux.gateway.large_requests import LargeRequests
from modelmux.routing.model import Route
from support.exchange_world import A

ROUTE = Route("m", (A,))


def request(size: int, *, is_costly: bool = False) -> tuple[Decoded, NativeRequest]:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "x" * size}]}]})
    decoded = decode_native([], body.encode())
    assert decoded.native is not None
    return replace(decoded, is_costly=is_costly), decoded.native


class Full:
    """A gate whose only slot is taken."""

    def __init__(self, **limits: Any) -> None:
        self.limiter = ConcurrencyLimiter(1, **({"queue": 4, "queue_timeout": 60.0} | limits))
        self.gate = ConcurrencyGate(self.limiter, LargeRequests())
        assert self.limiter.enter() is not None

    async def waiting(self, decoded: Decoded) -> asyncio.Task[tuple[str, float]]:
        inbound = Inbound("r", asyncio.get_running_loop().time())
        task = asyncio.create_task(self.gate.enter(inbound, decoded, ROUTE))
        while not self.limiter.queued and not task.done():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
        return task


@pytest.mark.parametrize("is_costly", [False, True])
async def test_a_large_request_waits_in_its_bytes(is_costly: bool) -> None:
    decoded, native = request(LET_GO, is_costly=is_costly)
    same = dict(native.content), list(native.blocks)
    full = Full()
    task = await full.waiting(decoded)
    assert (native.content, native.blocks) == ({}, [])
    full.limiter.release()
    await task
    assert (native.content, native.blocks) == same
    assert full.limiter.running == 1


async def test_a_small_one_waits_as_it_is() -> None:
    decoded, native = request(100)
    full = Full()
    task = await full.waiting(decoded)
    assert native.content
    full.limiter.release()
    await task


async def test_a_slot_that_is_free_at_once_costs_nothing() -> None:
    decoded, native = request(LET_GO)
    gate = ConcurrencyGate(ConcurrencyLimiter(1, queue=0, queue_timeout=1.0), LargeRequests())
    content = native.content["messages"]
    await gate.enter(Inbound("r", 0.0), decoded, ROUTE)
    assert native.content["messages"] is content


async def test_a_slot_that_becomes_free_meanwhile_is_used() -> None:
    """A queue that others have to leave first would never move: nobody else has a slot."""
    decoded, native = request(LET_GO, is_costly=True)
    full = Full()
    task = asyncio.create_task(full.gate.enter(Inbound("r", 0.0), decoded, ROUTE))
    await asyncio.sleep(0)
    full.limiter.release()
    await task
    assert full.limiter.running == 1
    assert native.content


async def test_the_slot_of_a_client_that_leaves_is_given_back() -> None:
    decoded, _ = request(LET_GO, is_costly=True)
    full = Full()
    task = await full.waiting(decoded)
    full.limiter.release()
    await asyncio.sleep(0)  # it has its slot, and is decoded again
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert full.limiter.running == full.limiter.queued == 0


async def test_one_that_is_rejected_is_not_decoded_again() -> None:
    decoded, native = request(LET_GO)
    full = Full(queue=0)
    with pytest.raises(GatewayOverloaded):
        await (await full.waiting(decoded))
    assert native.content == {}
