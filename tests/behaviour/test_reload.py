"""Risk: a reload drops requests, applies a bad configuration, or leaves parts of the old one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.config import Config, ConfigError
from modelmux.gateway.services import Services
from modelmux.store.base import StoreFailed
from support.asgi import Response, request
from support.clock import current_runtime
from support.fakes import SSE_HEADERS, FakeReply, FakeTokens, FakeUpstream, message_reply, text_events
from support.gateway import PATH, ask
from support.log_lines import Lines


class SlowReply(FakeReply):
    """A stream that pauses in the middle until the test continues it."""

    def __init__(self) -> None:
        super().__init__(200, SSE_HEADERS, text_events("Hello", " there"))
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def _iterate(self) -> AsyncIterator[bytes]:
        async for number, piece in _numbered(super()._iterate()):
            if number == 4:
                self.reached.set()
                await self.go_on.wait()
            yield piece


async def _numbered(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    number = 0
    async for piece in pieces:
        yield number, piece
        number += 1


class ClosingTokens(FakeTokens):
    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


def config(name: str, **tables: Any) -> Config:
    models = [{"name": name, "model": "claude-sonnet-4-6"}]
    return Config.from_dict({"vertex": {"project": "p", "location": "global", "models": models}, **tables})


def gateway(upstream: FakeUpstream, first: Config) -> Gateway:
    return Gateway(first, upstream=upstream, tokens=ClosingTokens(), runtime=current_runtime())


async def call(app: Gateway, model: str, **options: Any) -> Response:
    return await request(app, "POST", PATH, {**ask(), "model": model}, **options)


async def test_names_and_keys_are_the_new_ones_from_the_next_request_on() -> None:
    app = gateway(FakeUpstream([message_reply(), message_reply()]), config("old", server={"api_keys": ["a"]}))
    assert (await call(app, "old", headers={"authorization": "Bearer a"})).status == 200
    assert await app.reload(config("new", server={"api_keys": ["b"]})) == []
    assert (await call(app, "new", headers={"authorization": "Bearer a"})).status == 401
    assert (await call(app, "old", headers={"authorization": "Bearer b"})).status == 404
    assert (await call(app, "new", headers={"authorization": "Bearer b"})).status == 200
    listed = await request(app, "GET", "/v1/models", headers={"authorization": "Bearer b"})
    assert [model["id"] for model in listed.json()["data"]] == ["new"]
    health = (await request(app, "GET", "/health")).json()["metrics"]
    assert (health["total_requests"], health["successful_requests"]) == (3, 2)  # counted on; a refused key is none
    await app.aclose()


async def test_a_running_stream_is_not_affected() -> None:
    reply = SlowReply()
    app = gateway(FakeUpstream([reply]), config("old"))
    running = asyncio.create_task(request(app, "POST", PATH, {**ask(), "model": "old", "stream": True}))
    await asyncio.wait_for(reply.reached.wait(), 100)
    await app.reload(config("new"))
    assert (await call(app, "old")).status == 404
    reply.go_on.set()
    response = await asyncio.wait_for(running, 100)
    assert response.events()[-1] == "[DONE]"
    assert "".join(e["choices"][0]["delta"].get("content") or "" for e in response.events()[:-1]) == "Hello there"
    assert {e["model"] for e in response.events()[:-1]} == {"old"}
    await app.aclose()


@pytest.mark.parametrize(
    "bad",
    [
        {"vertex": {"models": [{"name": "new"}]}},
        {"vertex": {"project": "p", "location": "global"}, "fetch": {"allow_private": ["nonsense"]}},
        {"vertex": {"project": "p", "location": "global"}, "catalog": [{"id": ""}]},
        {"vertex": {"project": "p", "location": "global"}, "auth": {"access_token": "a b"}},
    ],
)
async def test_what_cannot_be_used_changes_nothing(bad: dict[str, Any]) -> None:
    app = Gateway(config("old", auth={"access_token": "t"}), upstream=FakeUpstream([message_reply()]))
    with pytest.raises(ConfigError):
        await app.reload(Config.from_dict(bad))
    assert (await call(app, "old")).status == 200
    await app.aclose()


async def answers_beside_a_stream(app: Gateway, slow: SlowReply) -> bool:
    """Whether a request is answered while a stream runs."""
    stream = asyncio.create_task(request(app, "POST", PATH, {**ask(), "model": "m", "stream": True}))
    await slow.reached.wait()
    response = await call(app, "m")
    slow.go_on.set()
    await stream
    await app.aclose()
    return response.status == 200


@pytest.mark.parametrize("bad", [{"server": {"api_keys": ["changeme"]}}, {"fetch": {"deny": ["not a pattern!"]}}])
async def test_what_cannot_be_used_does_not_change_limits(bad: dict[str, Any]) -> None:
    slow = SlowReply()
    app = gateway(FakeUpstream([slow, message_reply()]), config("m"))
    with pytest.raises(ConfigError):
        await app.reload(config("m", limits={"max_concurrent_requests": 1, "max_queued_requests": 0}, **bad))
    assert await answers_beside_a_stream(app, slow)


@pytest.mark.parametrize(("before", "after"), [(2, 4), (4, 2)])
async def test_limits_are_shared_by_the_workers_that_run(before: int, after: int) -> None:
    def limited(workers: int, requests: int) -> Config:
        limits = {"max_concurrent_requests": requests, "max_queued_requests": 0}
        return config("m", server={"workers": workers}, limits=limits)

    slow = SlowReply()
    app = gateway(FakeUpstream([slow, message_reply()]), limited(before, before))
    assert await app.reload(limited(after, 4)) == ["server.workers"]
    assert await answers_beside_a_stream(app, slow) == (before == 2)


async def test_settings_that_need_a_restart_are_reported() -> None:
    app = gateway(FakeUpstream([]), config("m"))
    server = {"port": 1, "host": "::1", "log_level": "debug", "strict": True}
    after = config("m", server=server, logs={"retention_days": 3})
    assert await app.reload(after) == ["server.host", "server.port", "server.log_level", "logs"]
    await app.aclose()


async def test_old_credentials_serve_running_requests_and_are_closed_after_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources: list[ClosingTokens] = []

    def make(*_: object) -> ClosingTokens:
        sources.append(ClosingTokens())
        return sources[-1]

    monkeypatch.setattr("modelmux.app.token_source", make)
    reply = SlowReply()
    app = Gateway(config("m"), upstream=FakeUpstream([reply]))
    running = asyncio.create_task(request(app, "POST", PATH, {**ask(), "model": "m", "stream": True}))
    await asyncio.wait_for(reply.reached.wait(), 100)
    await app.reload(config("m"))
    assert len(sources) == 1  # the same credentials: the token stays valid
    await app.reload(config("m", auth={"access_token": "t"}))
    assert [tokens.closed for tokens in sources] == [False, False]
    reply.go_on.set()
    await asyncio.wait_for(running, 100)
    assert [tokens.closed for tokens in sources] == [True, False]
    await app.aclose()
    assert [tokens.closed for tokens in sources] == [True, True]


async def test_many_reloads_leave_nothing_behind() -> None:
    app = gateway(FakeUpstream([message_reply() for _ in range(20)]), config("m0"))
    for number in range(20):
        assert (await call(app, f"m{number}")).status == 200
        await app.reload(config(f"m{number + 1}", fetch={"timeout": number + 1}))
    assert app._draining == []
    await app.aclose()


KEYS = [bytes(range(n, n + 64)).hex() for n in (0, 64)]


async def test_seal_keys_are_replaced_and_stored_responses_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Services] = []

    def remember(**fields: Any) -> Services:
        built.append(Services(**fields))
        return built[-1]

    monkeypatch.setattr("modelmux.app.Services", remember)
    app = gateway(FakeUpstream([]), config("a"))
    assert await app.reload(config("a", server={"seal_keys": KEYS[:1]})) == []
    assert await app.reload(config("a", server={"seal_keys": KEYS[::-1]}, responses={"done_marker": True})) == []
    made, first, second = (services.dialect_options.sealer for services in built)
    assert made is not None
    assert first is not None
    assert second is not None
    assert second.open(first.seal(b"data", b"ann"), b"ann") == b"data"
    assert first.open(second.seal(b"data", b"ann"), b"ann") is None
    assert second.open(made.seal(b"data", b"ann"), b"ann") is None
    assert [services.dialect_options.sends_done for services in built] == [False, False, True]
    assert built[0].responses is built[2].responses is app.responses.store
    with pytest.raises(ConfigError, match=r"server.seal_keys\[0\]"):
        await app.reload(config("a", server={"seal_keys": ["secret"]}))
    await app.aclose()
    with pytest.raises(StoreFailed, match="closed"):
        await app.responses.store.get("anonymous", "resp_1")


async def test_where_responses_are_kept_needs_a_restart() -> None:
    app = gateway(FakeUpstream([]), config("a"))
    after = config("a", server={"state_dir": "/nowhere"}, responses={"store": "off", "ttl": "2h", "max_bytes": "1GB"})
    needed = ["server.state_dir", "responses.store", "responses.ttl", "responses.max_bytes"]
    assert await app.reload(after) == needed
    assert app.responses.largest is not None
    await app.aclose()


async def test_what_cannot_be_kept_is_logged() -> None:
    log = Lines()
    settings = {"server": {"state_dir": "/dev/null/x", "workers": 2}, "responses": {"store": "sqlite"}}
    app = Gateway(config("a", **settings), log=log, upstream=FakeUpstream([]), tokens=FakeTokens())
    messages = [fields["message"] for _, fields in log.lines]
    assert [message.partition(" (")[0] for message in messages] == [
        "the seal key is kept in memory",
        "no responses are stored",
    ]
    log.lines.clear()
    await app.reload(config("a", server={**settings["server"], "seal_keys": KEYS}))
    assert [fields["message"].partition(" (")[0] for _, fields in log.lines] == ["no responses are stored"]
    await app.aclose()
