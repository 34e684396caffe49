"""Risk: a request of a key that was revoked with ``--now`` runs on, costs nothing, or ends like a success; or one of
another key ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from behaviour.test_keys_have_their_rights import APIS, World, path_of
from modelmux.accounts.edits import revoke_key
from modelmux.dialects.registry import Surface
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from properties.test_registry import REQUESTS, by_surface
from support.asgi import Response, request
from support.fakes import SSE_HEADERS, FakeReply, text_events
from support.gateway import PATH, ask
from support.http_peers import until


class Endless(FakeReply):
    """A reply that begins, and never ends."""

    def __init__(self) -> None:
        super().__init__(200, SSE_HEADERS, text_events("one", "two")[:4])

    async def _iterate(self) -> AsyncIterator[bytes]:
        async for piece in super()._iterate():
            yield piece
        await asyncio.Event().wait()


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


async def revoked(world: World, *calls: asyncio.Task[Response], now: bool = True) -> None:
    """Revoke the key once its calls have begun to get their replies."""
    await until(lambda: len(world.upstream.replies) == len(calls))
    await until(lambda: all(reply.read_pieces == 4 for reply in world.upstream.replies))
    await world.change(lambda d: revoke_key(d, "key_a", 1, ends_requests=now))
    await world.app.directory.refresh()  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [True, False])
async def test_a37_running_requests_end_with_the_reason(tmp_path: Path, stream: bool) -> None:
    world = World(tmp_path, Endless())
    secret = await world.new_key()
    call = asyncio.create_task(request(world.app, "POST", PATH, ask(stream=stream), bearer(secret)))
    await revoked(world, call)
    response = await call
    assert response.complete
    assert response.status == (200 if stream else 401)
    error = response.events()[-1] if stream else response.json()
    assert error["error"]["code"] == "key_revoked"
    assert "was revoked" in error["error"]["message"]
    assert world.upstream.replies[0].closed
    await world.app.aclose()
    ledger = SqliteLedger(world.path)
    (row,) = (await ledger.entries(EntryQuery())).entries
    await ledger.aclose()
    assert (row.key, row.code) == ("key_a", "key_revoked")
    assert row.counts.input == 7, "what the upstream had told is charged"
    await world.store.aclose()


async def test_a_revocation_without_it_lets_them_run(tmp_path: Path) -> None:
    world = World(tmp_path, Endless())
    secret = await world.new_key()
    call = asyncio.create_task(request(world.app, "POST", PATH, ask(stream=True), bearer(secret)))
    await revoked(world, call, now=False)
    await asyncio.sleep(0.05)
    assert not call.done()
    await world.change(lambda d: revoke_key(d, "key_a", 2, ends_requests=True))
    await world.app.directory.refresh()  # type: ignore[union-attr]
    assert (await call).events()[-1]["error"]["code"] == "key_revoked", "it can be asked for later, too"
    await world.end()


async def test_requests_of_other_keys_run_on(tmp_path: Path) -> None:
    world = World(tmp_path, Endless(), Endless(), server={"api_keys": ["sk-of-the-operator"]})
    secret = await world.new_key()
    theirs = asyncio.create_task(request(world.app, "POST", PATH, ask(stream=True), bearer("sk-of-the-operator")))
    ours = asyncio.create_task(request(world.app, "POST", PATH, ask(stream=True), bearer(secret)))
    await revoked(world, theirs, ours)
    assert (await ours).complete
    assert not theirs.done()
    theirs.cancel()
    await asyncio.wait([theirs])
    await world.end()


@by_surface([surface for surface in APIS if surface.calls_upstream and surface.operation != "count_tokens"])
async def test_every_dialect_says_so(surface: Surface, tmp_path: Path) -> None:
    world = World(tmp_path, Endless())
    secret = await world.new_key()
    body: dict[str, Any] = {**REQUESTS[surface.dialect.name], "stream": True}
    call = asyncio.create_task(request(world.app, "POST", path_of(surface), body, bearer(secret)))
    await revoked(world, call)
    response = await call
    assert response.complete
    assert "was revoked" in response.body.decode()
    await world.end()
