"""A virtual key is asked for its rights on every path, and its requests are attributed to it.

Risk: a path, a dialect or an order of checks in which a key that may not be used is used.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.api_names import API_OF_DIALECT
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, revoke_key, save_key, save_person, save_team
from modelmux.accounts.records import Key, Person, Team
from modelmux.app import Gateway
from modelmux.config import ConfigError
from modelmux.dialects.registry import SURFACES, Surface
from modelmux.server.refused import Refusal
from modelmux.store.accounts_file import AccountsFile
from modelmux.store.base import StoreFailed
from modelmux.store.directory import feed
from modelmux.store.directory.base import Author
from modelmux.store.directory.issuer import Issuer
from modelmux.store.directory.open_directory import open_directory, read_peppers
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from properties.test_registry import ANTHROPIC, REQUESTS, by_surface, path_of, reply_of
from support.asgi import Response, request
from support.clock import NOW
from support.fakes import FakeUpstream, error_reply, message_reply
from support.gateway import MODEL, PATH, ask, gateway
from support.log_lines import Lines

AUTHENTICATED = [surface for surface in SURFACES if surface.authenticated]
APIS = [surface for surface in AUTHENTICATED if surface.is_api]
AUTHOR = Author("test", "cli")
ADA = Person(id="usr_ada", email="ada@example.com")
TEAMS = (Team(id="team_top", name="Top"), Team(id="team_data", name="Data", parent="team_top"))


class World:
    """A gateway with accounts, and a store of its own beside it, as another process would have it."""

    def __init__(self, folder: Path, *replies: Any, **settings: Any) -> None:
        accounts = {"enabled": True, "store": f"sqlite:{folder}/accounts.db", **settings.pop("accounts", {})}
        self.path = folder / "accounts.db"
        self.upstream = FakeUpstream(list(replies))
        self.app = gateway(self.upstream, accounts=accounts, **settings)
        config = self.app._current.config
        self.store = open_directory(config)
        self.issuer = Issuer(read_peppers(config), lambda: NOW)

    async def change(self, *edits: Callable[[Directory], Edit]) -> None:
        for edit in edits:
            await self.store.change(edit, AUTHOR, int(NOW * 1e6))

    async def new_key(self, **fields: Any) -> str:
        """The secret of a new key ``key_a``."""
        text, secret = self.issuer.secret("key_a")
        await self.change(lambda d: save_key(d, Key(id="key_a", name="laptop", **fields), secret))
        return text

    async def end(self) -> None:
        await self.store.aclose()
        await self.app.aclose()


async def call(surface: Surface, app: Gateway, secret: str, headers: dict[str, str] | None = None) -> Response:
    body = dict(REQUESTS[surface.dialect.name]) if surface.method == "POST" and surface.is_api else {}
    if surface.operation == "count_tokens":
        body |= {"model": MODEL}
    headers = {"authorization": f"Bearer {secret}", **(headers or {})}
    return await request(app, surface.method, path_of(surface), body, headers)


@by_surface(AUTHENTICATED)
async def test_a_revoked_key_is_refused_on_every_path(surface: Surface, tmp_path: Path) -> None:
    world = World(tmp_path)
    secret = await world.new_key(apis=("chat",), models=("nothing",), addresses=("192.0.2.0/24",))
    await world.change(lambda d: revoke_key(d, "key_a", 1))
    response = await call(surface, world.app, secret)
    assert response.status == 401
    assert "The API key 'laptop' was revoked" in response.body.decode()
    assert not world.upstream.calls
    await world.end()


@by_surface(APIS)
async def test_a_key_of_one_api_may_use_no_other(surface: Surface, tmp_path: Path) -> None:
    own = API_OF_DIALECT[surface.dialect.name]
    others = tuple(sorted(set(API_OF_DIALECT.values()) - {own}))
    world = World(tmp_path, reply_of(surface))
    secret = await world.new_key(apis=others)
    response = await call(surface, world.app, secret)
    assert response.status == 403, response.body
    assert f"may not use the API '{own}'" in response.body.decode()
    assert not world.upstream.calls
    await world.change(lambda d: save_key(d, replace(d.keys["key_a"], apis=(own,))))
    await world.app.directory.refresh()  # type: ignore[union-attr]
    assert (await call(surface, world.app, secret)).status != 403
    await world.end()


@pytest.mark.parametrize("models", [("claude-haiku-*",), ("fast",)])
@by_surface([surface for surface in APIS if surface.calls_upstream])
async def test_a_key_may_be_limited_to_models(surface: Surface, models: tuple[str, ...], tmp_path: Path) -> None:
    world = World(tmp_path, reply_of(surface))
    response = await call(surface, world.app, await world.new_key(models=models))
    assert response.status == 403, response.body
    assert f"It may use {models[0]}." in response.body.decode()
    assert not world.upstream.calls
    await world.end()


async def test_only_the_models_of_a_key_are_listed_and_used(tmp_path: Path) -> None:
    models = [
        {"name": "fast", "model": "claude-haiku-4-5"},
        {"name": "deep", "model": "claude-opus-4-6", "fallbacks": ["fast"]},
    ]
    world = World(tmp_path, message_reply(), vertex={"models": models})
    secret = await world.new_key(models=("claude-haiku-*",))
    headers = {"authorization": f"Bearer {secret}"}
    listed = (await request(world.app, "GET", "/v1/models", headers=headers)).json()
    names = {entry["id"] for entry in listed["data"]}
    assert "fast" in names
    assert (await request(world.app, "GET", "/v1/models/fast", headers=headers)).status == 200
    assert "deep" not in names
    response = await request(world.app, "POST", "/v1/chat/completions", ask(model="deep"), headers)
    assert response.status == 403, "a key that may only use the fallback may not ask for the route"
    response = await request(world.app, "POST", "/v1/chat/completions", ask(model="fast"), headers)
    assert response.status == 200
    assert "haiku" in world.upstream.calls[0].target
    await world.end()


@pytest.mark.parametrize("models", [("best",), ("claude-opus-4-6@default",), ("claude-haiku-4-5-20251001", "best")])
async def test_a_key_may_name_models_as_requests_do(models: tuple[str, ...], tmp_path: Path) -> None:
    world = World(
        tmp_path, message_reply(), vertex={"models": [{"name": "deep", "model": "claude-opus-4-6"}]},
        aliases={"best": "deep"},
    )  # fmt: skip
    headers = {"authorization": f"Bearer {await world.new_key(models=models)}"}
    response = await request(world.app, "POST", "/v1/chat/completions", ask(model="best"), headers)
    assert response.status == 200, response.body
    await world.end()


async def test_a_fallback_that_the_key_may_not_use_is_not_called(tmp_path: Path) -> None:
    models = [
        {"name": "fast", "model": "claude-haiku-4-5", "fallbacks": ["deep"]},
        {"name": "deep", "model": "claude-opus-4-6"},
    ]
    overloaded = [error_reply(529, {}) for _ in range(10)]
    world = World(tmp_path, *overloaded, vertex={"models": models})
    headers = {"authorization": f"Bearer {await world.new_key(models=('fast',))}"}
    response = await request(world.app, "POST", "/v1/chat/completions", ask(model="fast"), headers)
    assert response.status >= 429
    assert world.upstream.calls
    assert not [one.target for one in world.upstream.calls if "opus" in one.target]
    await world.end()


@pytest.mark.parametrize("headers", [{}, ANTHROPIC])
async def test_refusals_are_in_the_clients_dialect(headers: dict[str, str], tmp_path: Path) -> None:
    world = World(tmp_path)
    secret = await world.new_key(apis=("vertex",))
    messages = next(one for one in APIS if one.dialect.name == "anthropic_messages")
    chat = next(one for one in APIS if one.dialect.name == "openai_chat")
    error = (await call(messages, world.app, secret, headers)).json()
    assert (error["type"], error["error"]["type"]) == ("error", "permission_error")
    error = (await call(chat, world.app, secret, headers)).json()["error"]
    assert error["code"] == "api_not_allowed"
    await world.end()


async def test_pages_are_for_the_operator(tmp_path: Path) -> None:
    world = World(tmp_path, server={"api_keys": ["an-operators-key"]})
    secret = await world.new_key()
    log = Lines()
    world.app.refused._log = log
    assert (await request(world.app, "GET", "/metrics", headers={"x-api-key": secret})).status == 403
    ((_, line),) = log.lines
    assert (line["code"], line["key"]) == ("page_not_allowed", "key_a"), "docs/operations.md: also of one that may not"
    assert (await request(world.app, "GET", "/metrics", headers={"x-api-key": "an-operators-key"})).status == 200
    assert (await request(world.app, "GET", "/livez", headers={"x-api-key": secret})).status == 200
    await world.end()


async def test_a_new_key_works_at_once_and_a_revoked_one_soon_not_any_more(tmp_path: Path) -> None:
    world = World(tmp_path, *(message_reply() for _ in range(100)))
    assert (await request(world.app, "POST", "/v1/chat/completions", ask())).status == 200, "there is no key yet"
    headers = {"authorization": f"Bearer {await world.new_key()}"}
    assert (await request(world.app, "POST", "/v1/chat/completions", ask(), headers)).status == 200
    assert (await request(world.app, "POST", "/v1/chat/completions", ask())).status == 401
    await world.change(lambda d: revoke_key(d, "key_a", 1))
    async with asyncio.timeout(100):  # the bound of one second is that of the feed's interval, see its tests
        while world.app.directory.current.keys["key_a"].status == "active":  # type: ignore[union-attr]  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await request(world.app, "POST", "/v1/chat/completions", ask(), headers)).status == 401
    await world.end()


async def test_a_key_that_was_revoked_while_nothing_ran_is_refused_by_the_first_request(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply())
    headers = {"authorization": f"Bearer {await world.new_key()}"}
    await world.app.directory.refresh()  # type: ignore[union-attr]
    await world.change(lambda d: revoke_key(d, "key_a", 1))
    assert (await request(world.app, "POST", "/v1/chat/completions", ask(), headers)).status == 401
    await world.end()


async def test_changes_are_followed_from_the_start_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.app.startup()
    await world.new_key()
    async with asyncio.timeout(100):
        while not world.app.directory.current.keys:  # type: ignore[union-attr]  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await world.end()


async def test_a_client_that_names_an_address_gains_no_network(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply(), accounts={"address_header": "X-Forwarded-For"})
    headers = {"authorization": f"Bearer {await world.new_key(addresses=('10.0.0.0/8',))}"}
    for forged, of_proxy, status in (("10.0.0.1", "192.0.2.1", 403), ("192.0.2.1", "10.0.0.1", 200)):
        lines = {"x-forwarded-for": forged, "X-Forwarded-For": of_proxy}  # two lines of one header, in this order
        response = await request(world.app, "POST", "/v1/chat/completions", ask(), headers | lines)
        assert response.status == status
    await world.end()


async def test_lines_of_refused_requests_name_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    noted: list[Refusal] = []
    monkeypatch.setattr(world.app.refused, "note", lambda refusal, _: noted.append(refusal))
    headers = {"authorization": f"Bearer {await world.new_key(models=('nothing',))}"}
    assert (await request(world.app, "POST", "/v1/chat/completions", ask(), headers)).status == 403
    await world.change(lambda d: revoke_key(d, "key_a", 1))
    await world.app.directory.refresh()  # type: ignore[union-attr]
    assert (await request(world.app, "POST", "/v1/chat/completions", ask(), headers)).status == 401
    assert (await request(world.app, "POST", "/v1/chat/completions", ask())).status == 401
    assert [(refusal.code, refusal.key) for refusal in noted] == [
        ("model_not_allowed", "key_a"), ("key_revoked", "key_a"), ("invalid_api_key", None),
    ]  # fmt: skip
    await world.end()


async def test_rows_name_key_person_team_and_forced_tags(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply(), message_reply())
    await world.change(
        *(lambda d, one=one: save_team(d, one) for one in TEAMS),  # type: ignore[misc]
        lambda d: save_person(d, ADA),
    )
    secret = await world.new_key(team="team_data", person="usr_ada", tags=(("env", "prod"),))
    sent = {"authorization": f"Bearer {secret}", "x-modelmux-tags": "app=chat,env=dev"}
    assert (await request(world.app, "POST", "/v1/chat/completions", ask(), sent)).status == 200
    await world.end()
    ledger = SqliteLedger(world.path)
    (row,) = (await ledger.entries(EntryQuery())).entries
    await ledger.aclose()
    assert (row.key, row.person, row.team) == ("key_a", "usr_ada", "team_top/team_data")
    assert row.tags == (("app", "chat"), ("env", "prod"))


async def test_a41_g46_g47_a_known_key_is_served_while_the_store_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, message_reply(), message_reply())
    headers = {"authorization": f"Bearer {await world.new_key()}"}
    assert (await request(world.app, "POST", "/v1/chat/completions", ask(), headers)).status == 200

    async def fail(_: Directory) -> Directory:
        raise StoreFailed("locked")

    monkeypatch.setattr(world.app.directory._store, "read", fail)  # type: ignore[union-attr]
    assert (await request(world.app, "POST", "/v1/chat/completions", ask(), headers)).status == 200
    unknown, _ = world.issuer.secret("key_b")
    response = await request(world.app, "POST", "/v1/chat/completions", ask(), {"x-api-key": unknown})
    assert (response.status, response.json()["error"]["code"]) == (503, "accounts_unavailable")
    assert 2 <= int(response.headers["retry-after"]) <= 4  # with jitter
    assert (await request(world.app, "GET", "/readyz")).status == 200, "or a load balancer would take all nodes away"
    await world.end()


async def test_without_a_change_that_it_was_told_of_it_serves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, message_reply(), message_reply())
    headers = {"authorization": f"Bearer {await world.new_key()}"}
    assert (await request(world.app, "POST", PATH, ask(), headers)).status == 200
    directory = world.app.directory
    assert directory is not None
    read = directory._store.read

    async def fail(_: Directory) -> Directory:
        raise StoreFailed("locked")

    monkeypatch.setattr(directory._store, "read", fail)
    monkeypatch.setattr(feed, "FRESH_FOR", 0.0)
    await world.change(lambda d: revoke_key(d, "key_a", 1))
    directory.expect(directory.current.version + 1)
    response = await request(world.app, "POST", PATH, ask(), headers)
    assert (response.status, response.json()["error"]["code"]) == (503, "accounts_unavailable")
    assert (await request(world.app, "GET", "/livez")).status == 200
    monkeypatch.setattr(directory._store, "read", read)
    assert (await request(world.app, "POST", PATH, ask(), headers)).status == 401
    assert len(world.upstream.calls) == 1
    await world.end()


async def test_a_host_that_only_a_page_would_name_is_served_once_there_are_keys(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply())
    sent = {"host": "gateway.example.com"}
    assert (await request(world.app, "POST", "/v1/chat/completions", ask(), sent)).status == 421
    sent["x-api-key"] = await world.new_key()
    await world.app.directory.refresh()  # type: ignore[union-attr]
    assert (await request(world.app, "POST", "/v1/chat/completions", ask(), sent)).status == 200
    await world.end()


def lose(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


async def test_a_gateway_that_lost_its_database_serves_nobody(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply())
    headers = {"authorization": f"Bearer {await world.new_key()}"}
    await world.app.directory.refresh()  # type: ignore[union-attr]
    await world.store.aclose()
    lose(world.path)
    with pytest.raises(ConfigError, match=r"accounts\.db has no keys, but it had some"):
        World(tmp_path)
    with contextlib.closing(AccountsFile(world.path).open(1.0)):
        pass  # an empty one in its stead
    with pytest.raises(ConfigError, match=r"accounts\.db has no keys, but it had some"):
        World(tmp_path)
    assert (await request(world.app, "POST", "/v1/chat/completions", ask())).status == 401, "nor does one that runs"
    assert (await request(world.app, "POST", "/v1/chat/completions", ask(), headers)).status == 200
    await world.app.aclose()


async def test_a_gateway_that_lost_its_pepper_does_not_start(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.new_key()
    await world.end()
    pepper = tmp_path / "accounts.db.pepper"
    kept = pepper.read_text()
    pepper.unlink()
    with pytest.raises(ConfigError, match=r"1 key has a secret of the pepper in .*, which is missing: 'laptop'"):
        World(tmp_path)
    assert not pepper.exists()
    with pytest.raises(ConfigError, match="of a pepper that is not here any more: 'laptop'"):
        World(tmp_path, accounts={"peppers": ["p" * 32]})
    pepper.write_text(kept)
    await World(tmp_path).end()
