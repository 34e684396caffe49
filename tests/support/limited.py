"""A gateway whose keys have limits, with the real store of keys. The upstream is scripted; the clock passes when a test
says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, save_key, save_person, save_team
from modelmux.accounts.limit_edits import save_limit
from modelmux.accounts.rates import Limit, Rates
from modelmux.accounts.records import Key, Person, Team
from modelmux.errors import UpstreamBroken
from modelmux.store.directory.base import Author
from modelmux.store.directory.issuer import Issuer
from modelmux.store.directory.open_directory import open_directory, read_peppers
from support.asgi import Response, request
from support.clock import NOW, Clock, use_runtime
from support.fakes import SSE_HEADERS, FakeReply, FakeUpstream
from support.gateway import PATH, ask, gateway


class Forever(FakeReply):
    """A reply whose end never comes. :param pieces: what comes of it. :param reached: is told."""

    def __init__(self, *pieces: bytes, reached: asyncio.Queue[None]) -> None:
        super().__init__(200, SSE_HEADERS, pieces)
        self.reached = reached

    async def _iterate(self) -> Any:
        async for piece in super()._iterate():
            yield piece
        self.reached.put_nowait(None)
        await asyncio.Event().wait()

    async def read(self, limit: int) -> bytes:
        self.reached.put_nowait(None)
        await asyncio.Event().wait()
        raise UpstreamBroken("never", reply_started=True)


class LimitedGateway:
    """A gateway with keys of two people of a team.

    :ivar passed: the times at which the upstream was called.
    """

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, reply: Callable[[], FakeReply], **settings: Any
    ) -> None:
        self.clock = Clock()
        use_runtime(monkeypatch, clock=self.clock, now=lambda: NOW + self.clock.now - 1_000.0)
        self.passed: list[float] = []
        self.reply = reply
        self.upstream = FakeUpstream([self._answer] * 5_000)
        accounts = {"enabled": True, "store": f"sqlite:{folder / 'accounts.db'}"}
        self.app = gateway(self.upstream, accounts=accounts, **settings)
        config = self.app._current.config
        self.store = open_directory(config)
        self.issuer = Issuer(read_peppers(config), lambda: NOW)
        self.headers: dict[str, dict[str, str]] = {}

    def _answer(self, call: Any) -> FakeReply:
        self.passed.append(self.clock.now)
        return self.reply()

    async def change(self, edit: Callable[[Directory], Edit]) -> None:
        await self.store.change(edit, Author("test", "cli"), int(NOW * 1e6))
        await self.app.directory.refresh()  # type: ignore[union-attr]

    async def begin(
        self, key: Rates | None = None, team: Rates | None = None, person: Rates | None = None, **limit: Any
    ) -> None:
        """Limits of the key ``a``, of its team and person, and one that selects."""
        team_record = Team(id="team_a", name="data", limits=team, contact="boss@example.com")
        await self.change(lambda d: save_team(d, team_record))
        await self.change(lambda d: save_person(d, Person(id="usr_a", email="ann@example.com", limits=person)))
        for name, rates in (("a", key), ("b", None)):
            record = Key(id=f"key_{name}", name=f"laptop-{name}", team="team_a", person="usr_a", limits=rates)
            text, secret = self.issuer.secret(record.id)
            await self.change(lambda d, record=record, secret=secret: save_key(d, record, secret))  # type: ignore[misc]
            self.headers[name] = {"authorization": f"Bearer {text}"}
        if limit:
            await self.change(lambda d: save_limit(d, Limit(id="lim_a", name="shared", **limit)))

    async def ask(self, key: str = "a", **fields: Any) -> Response:
        headers = self.headers[key] | fields.pop("headers", {})
        return await request(self.app, "POST", PATH, ask(**fields), headers)

    async def end(self) -> None:
        await self.store.aclose()
        await self.app.aclose()

    def counted(self, name: str) -> int:
        """What a counter has."""
        tick = int(self.clock.now * 2)
        return self.app._limits._counters.counter(name, tick).used(tick)

    def running(self, name: str) -> int:
        return self.app._limits._counters.counter(name, int(self.clock.now * 2)).running


#: Takes what replies are made by, and tables of the configuration.
Make = Callable[..., LimitedGateway]
