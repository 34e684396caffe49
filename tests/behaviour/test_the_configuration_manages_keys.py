"""``[[accounts.keys]]`` and its like. Risk: a start or reload leaves a removed key in use, or takes half a file."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelmux import Config, create_app
from modelmux.accounts.secret_format import new_secret
from modelmux.app import Gateway
from modelmux.config import ConfigError, Loaded
from modelmux.process.reload import Reloader, ReloadResult
from modelmux.process.workers.config_rollout import ConfigRollout
from modelmux.store.directory.managed import AGAIN
from modelmux.store.directory.sqlite_directory import SqliteDirectory
from modelmux.store.file_lock import lock_file
from modelmux.upstream.downloads.fetcher import Fetcher
from support.asgi import request
from support.cli import run
from support.clock import Clock, current_runtime
from support.fakes import FakeTokens, FakeUpstream, message_reply
from support.gateway import ask
from support.log_lines import Lines

OWN, SHORT = new_secret(lambda count: b"\x05" * count), "short"
FOREIGN = "2f9c1e8ab7d64053bb1e7a90c4d5f6e7"
ENVIRONMENT = {"CI_KEY": OWN, "OLD_KEY": FOREIGN, "SHORT": SHORT, "EMPTY": " "}
FOREIGN_DIGEST = hashlib.sha256(FOREIGN.encode()).digest()
DATA = {"name": "data", "contact": "boss@example.com"}


CI, OLD = {"name": "ci", "variable": "CI_KEY"}, {"name": "old", "variable": "OLD_KEY"}
VERTEX = {"project": "p", "location": "global"}


def tree(folder: Path, server: dict[str, Any] | None = None, **accounts: Any) -> dict[str, Any]:
    settings = {"enabled": True, "store": f"sqlite:{folder}/accounts.db", **accounts}
    return {"vertex": VERTEX, "auth": {"access_token": "t"}, "server": server or {}, "accounts": settings}


def config(folder: Path, server: dict[str, Any] | None = None, **accounts: Any) -> Config:
    return Config.from_dict(tree(folder, server, **accounts))


def locked(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Another process writes during the block."""
    return lock_file(folder / "accounts.db-lock", 5.0, owner_of=folder / "accounts.db")


def changes(folder: Path) -> int:
    """How often the directory was written."""
    with contextlib.closing(sqlite3.connect(folder / "accounts.db")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM audit").fetchone()
    return int(count)


def gateway_of(settings: Config) -> Gateway:
    upstream = FakeUpstream([message_reply() for _ in range(10)])
    return Gateway(settings, upstream=upstream, tokens=FakeTokens(), environment=ENVIRONMENT, runtime=current_runtime())


async def status(app: Gateway, secret: str) -> int:
    headers = {"authorization": f"Bearer {secret}"}
    return (await request(app, "POST", "/v1/chat/completions", ask(), headers)).status


async def test_keys_work_from_the_start(tmp_path: Path) -> None:
    keys = [
        {"name": "ci", "variable": "CI_KEY", "team": "Data"},
        {"name": "old", "variable": "OLD_KEY"},
        {"name": "hashed", "sha256": hashlib.sha256(b"sk-of-another-gateway").hexdigest(), "models": ["nothing"]},
    ]
    app = gateway_of(config(tmp_path, teams=[DATA], keys=keys))
    assert [await status(app, secret) for secret in (OWN, FOREIGN, "sk-of-another-gateway", "x")] == [
        200,
        200,
        403,
        401,
    ]
    await app.aclose()


async def test_a_reload_applies_the_file(tmp_path: Path) -> None:
    ci = {"name": "ci", "variable": "CI_KEY"}
    app = gateway_of(config(tmp_path, keys=[ci]))
    assert await status(app, OWN) == 200
    await app.reload(config(tmp_path, keys=[ci | {"enabled": False}, {"name": "old", "variable": "OLD_KEY"}]))
    assert (await status(app, OWN), await status(app, FOREIGN)) == (401, 200)
    await app.reload(config(tmp_path, keys=[ci]))
    assert (await status(app, OWN), await status(app, FOREIGN)) == (200, 401)
    await app.aclose()


@pytest.mark.parametrize(
    ("accounts", "message"),
    [
        ({"keys": [{"name": "ci"}]}, "accounts.keys[0] needs either variable or sha256"),
        ({"keys": [{"name": "ci", "variable": "CI_KEY", "sha256": "00" * 32}]}, "needs either variable or sha256"),
        ({"keys": [{"name": "ci", "sha256": "00"}]}, "accounts.keys[0].sha256 is not 64 hexadecimal digits"),
        ({"keys": [{"name": "ci", "variable": "UNSET"}]}, "accounts.keys[0].variable: UNSET is not set"),
        ({"keys": [{"name": "ci", "variable": "EMPTY"}]}, "EMPTY is not set"),
        ({"keys": [{"name": "ci", "variable": "SHORT"}]}, "SHORT has fewer than 32 characters"),
        (
            {"keys": [{"name": "ci", "variable": "CI_KEY", "team": "dta"}]},
            "accounts.keys[0].team: there is no team 'dta'",
        ),
        ({"keys": [{"name": "ci", "variable": "CI_KEY", "expires": "soon"}]}, "expires: 'soon' is not a time"),
        (
            {"keys": [{"name": "ci", "variable": "CI_KEY", "tags": ["app"]}]},
            "accounts.keys[0].tags: 'app=' is not a tag",
        ),
        ({"keys": [{"name": "ci", "variable": "CI_KEY"}] * 2}, "accounts.keys[1].name: it is named twice"),
        ({"teams": [{"name": "a", "zone": "Nowhere"}]}, "accounts.teams[0].zone: 'Nowhere' is not a time zone"),
        ({"peppers": ["short"]}, "accounts.peppers[0] has fewer than 32 characters"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(tmp_path: Path, accounts: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        gateway_of(config(tmp_path, **accounts))
    assert message in " ".join(raised.value.problems)
    assert OWN not in str(raised.value)
    assert SHORT not in str(raised.value).replace("SHORT", "")


async def test_a_reload_that_fails_changes_nothing(tmp_path: Path) -> None:
    ci = {"name": "ci", "variable": "CI_KEY"}
    app = gateway_of(config(tmp_path, keys=[ci]))
    with pytest.raises(ConfigError):
        await app.reload(config(tmp_path, keys=[{"name": "other", "variable": "OLD_KEY"}, {"name": "ci"}]))
    assert (await status(app, OWN), await status(app, FOREIGN)) == (200, 401)
    await app.aclose()


#: A file with no key of before, and something else that cannot be used.
REJECTED: dict[str, dict[str, Any]] = {
    "a weak key": {"server": {"api_keys": ["changeme"]}},
    "an origin": {"server": {"cors_origins": ["https://x/path"]}},
    "a fetch list": {"fetch": {"allow": ["a b"]}},
    "an entry": {"keys": [OLD, {"name": "other"}]},
    "a team": {"keys": [OLD | {"team": "nowhere"}]},
}


@pytest.mark.parametrize("fault", list(REJECTED))
async def test_a_reload_that_is_rejected_has_written_nothing(tmp_path: Path, fault: str) -> None:
    app = gateway_of(config(tmp_path, keys=[CI]))
    assert await status(app, OWN) == 200
    before, other = changes(tmp_path), dict(REJECTED[fault])
    after = tree(tmp_path, other.pop("server", None), keys=other.pop("keys", [OLD])) | other
    with pytest.raises(ConfigError):
        await app.reload(Config.from_dict(after))
    await app.directory.refresh()  # type: ignore[union-attr]
    assert changes(tmp_path) == before
    assert (await status(app, OWN), await status(app, FOREIGN)) == (200, 401)
    await app.aclose()


async def test_requests_are_served_while_a_reload_waits_for_the_file(tmp_path: Path) -> None:
    app = gateway_of(config(tmp_path, keys=[CI]))
    assert await status(app, OWN) == 200
    with locked(tmp_path):
        reload = asyncio.create_task(app.reload(config(tmp_path, keys=[OLD])))
        for _ in range(3):
            assert (await status(app, OWN), reload.done()) == (200, False)
    await reload
    assert (await status(app, OWN), await status(app, FOREIGN)) == (401, 200)
    await app.aclose()


async def test_a_file_that_cannot_be_written_rejects_a_reload_and_what_was_built_for_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Fetcher] = []

    async def close(fetcher: Fetcher) -> None:
        closed.append(fetcher)

    app = gateway_of(config(tmp_path, keys=[CI]))
    assert await status(app, OWN) == 200
    monkeypatch.setattr(Fetcher, "aclose", close)
    monkeypatch.setattr(app.directory._store._file, "_busy_timeout", 0.0)  # type: ignore[union-attr]
    after = Config.from_dict(tree(tmp_path, keys=[OLD]) | {"fetch": {"timeout": "7s"}})
    with locked(tmp_path), pytest.raises(ConfigError, match=r"accounts\.store: .* another process holds its lock"):
        await app.reload(after)
    assert len(closed) == 1
    assert closed[0] is not app._current.fetcher
    assert (await status(app, OWN), await status(app, FOREIGN)) == (200, 401)
    await app.aclose()


async def test_a_request_that_cannot_write_is_answered_and_a_later_one_tries_again(tmp_path: Path) -> None:
    clock, lines = Clock(), Lines()
    settings, upstream = config(tmp_path, keys=[CI]), FakeUpstream([message_reply()])
    app = Gateway(
        settings, upstream=upstream, tokens=FakeTokens(), environment=ENVIRONMENT, log=lines,
        runtime=replace(current_runtime(), clock=clock),
    )  # fmt: skip
    file = app.directory._store._file  # type: ignore[union-attr]
    file._busy_timeout, usual = 0.0, file._busy_timeout
    with locked(tmp_path):
        assert await asyncio.gather(*(status(app, OWN) for _ in range(3))) == [401] * 3
    problems = [fields["message"] for event, fields in lines.lines if event == "accounts"]
    assert ["the keys of the configuration cannot be written" in problem for problem in problems] == [True]
    file._busy_timeout = usual
    assert await status(app, OWN) == 401
    clock.advance(AGAIN)
    assert await status(app, OWN) == 200
    await app.aclose()


async def test_building_a_gateway_writes_nothing_and_its_first_requests_write_once(tmp_path: Path) -> None:
    app = gateway_of(config(tmp_path, keys=[CI]))
    assert changes(tmp_path) == 0
    assert await asyncio.gather(*(status(app, OWN) for _ in range(4)), status(app, "x")) == [200] * 4 + [401]
    assert changes(tmp_path) == 1
    await app.aclose()


async def test_the_lifespan_writes_before_there_is_a_request(tmp_path: Path) -> None:
    app = gateway_of(config(tmp_path, keys=[CI]))
    await app.startup()
    assert changes(tmp_path) == 1
    await app.aclose()


async def test_a_worker_writes_nothing_and_reads_what_was_written_for_it(tmp_path: Path) -> None:
    upstream = FakeUpstream([message_reply()])
    worker = Gateway(
        config(tmp_path, keys=[CI]), upstream=upstream, tokens=FakeTokens(), environment={},
        runtime=current_runtime(), manages_keys=False,
    )  # fmt: skip
    await worker.startup()
    assert (await status(worker, OWN), await status(worker, "")) == (401, 401), "one that is not there yet is required"
    assert changes(tmp_path) == 0
    gateway_of(config(tmp_path, keys=[OLD])).apply_accounts()
    await worker.reload(config(tmp_path, keys=[OLD]))
    assert FOREIGN_DIGEST in {secret.digest for secret in worker.directory.current.all_secrets()}  # type: ignore[union-attr]
    assert (await status(worker, FOREIGN), changes(tmp_path)) == (200, 1)
    await worker.aclose()


def test_the_doctor_writes_nothing(tmp_path: Path) -> None:
    gateway_of(config(tmp_path, keys=[OLD])).apply_accounts()
    settings = (f"accounts.store=sqlite:{tmp_path}/accounts.db", "accounts.enabled=true")
    overrides = [argument for setting in settings for argument in ("--set", setting)]
    result = run("doctor", *overrides, home=tmp_path, VERTEX_PROJECT="p", VERTEX_LOCATION="global")
    assert "start" not in result.stdout, "it could be started: without the key"
    assert changes(tmp_path) == 1


def rollout_of(before: Config, after: dict[str, Any]) -> tuple[ConfigRollout, list[ReloadResult]]:
    results: list[ReloadResult] = []
    loaded = Loaded(Config.from_dict(after), (), tree=after)
    return ConfigRollout(before, [], lambda: loaded, "127.0.0.1", Lines(), results.append), results


def test_a_supervisor_writes_once_and_only_what_it_sends_to_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_KEY", OWN)
    monkeypatch.setenv("OLD_KEY", FOREIGN)
    before = config(tmp_path, keys=[CI])
    create_app(before).apply_accounts()
    rollout, results = rollout_of(before, tree(tmp_path, {"api_keys": ["changeme"]}, keys=[OLD]))
    rollout.start(0.0)
    assert (changes(tmp_path), rollout.config, bool(results[0].problems)) == (1, before, True)
    rollout, results = rollout_of(before, tree(tmp_path, keys=[OLD]))
    rollout.start(0.0)
    assert (changes(tmp_path), results[0].problems) == (2, [])


#: What a gateway was started with, what its file says then, and what is wrong with that.
MOVED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "on": ({"enabled": False}, {}, "accounts.enabled changed"),
    "off": ({"keys": [CI]}, {"enabled": False}, "accounts.enabled changed"),
    "another file": ({"keys": [CI]}, {"store": "sqlite:other.db"}, "accounts.store changed to "),
}


@pytest.mark.parametrize("move", list(MOVED))
async def test_a_reload_keeps_the_keys_that_the_process_asks_for(tmp_path: Path, move: str) -> None:
    first, second, problem = MOVED[move]
    static = {"host": "0.0.0.0", "state_dir": str(tmp_path), "api_keys": [FOREIGN] if move == "on" else []}
    before = config(tmp_path, static, **first)
    after = tree(tmp_path, static | {"api_keys": [], "allow_unauthenticated": move == "off"}, **second)
    app, lines = gateway_of(before), Lines()
    loaded = Loaded(Config.from_dict(after), (), tree=after)
    secret = FOREIGN if move == "on" else OWN
    assert (await status(app, secret), await status(app, "x")) == (200, 401)
    await Reloader(app, lambda: loaded, "0.0.0.0", lines, None)()
    assert (await status(app, secret), await status(app, "x")) == (200, 401)
    await app.aclose()
    rollout, results = rollout_of(before, after)
    rollout.start(0.0)
    assert rollout.config is before
    for problems in (results[0].problems, [fields.get("message", "") for _, fields in lines.lines]):
        assert any(one.startswith(problem) and "restart the gateway" in one for one in problems)


async def test_a_key_that_left_the_file_is_ended_by_the_command(tmp_path: Path) -> None:
    app = gateway_of(config(tmp_path, keys=[CI]))
    await app.startup()
    revoke = (
        "keys", "revoke", "ci", "--set", f"accounts.store=sqlite:{tmp_path}/accounts.db",
        "--set", "accounts.enabled=true", "--set", "vertex.project=p",
    )  # fmt: skip
    refused = await asyncio.to_thread(run, *revoke, home=tmp_path)
    assert (refused.code, "'ci' is managed" in refused.stderr) == (1, True)
    await app.reload(config(tmp_path))
    assert (await asyncio.to_thread(run, *revoke, home=tmp_path)).code == 0
    await app.aclose()
    store = SqliteDirectory(tmp_path / "accounts.db")
    assert [key.status for key in store.load().keys.values()] == ["revoked"]
    await store.aclose()
