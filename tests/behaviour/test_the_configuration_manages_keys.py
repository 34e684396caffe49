"""``[[accounts.keys]]`` and its like. Risk: a start or reload leaves a removed key in use, or takes half a file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from modelmux import Config
from modelmux.accounts.secret_format import new_secret
from modelmux.app import Gateway
from modelmux.config import ConfigError
from support.asgi import request
from support.clock import current_runtime
from support.fakes import FakeTokens, FakeUpstream, message_reply
from support.gateway import ask

OWN, SHORT = new_secret(lambda count: b"\x05" * count), "short"
FOREIGN = "2f9c1e8ab7d64053bb1e7a90c4d5f6e7"
ENVIRONMENT = {"CI_KEY": OWN, "OLD_KEY": FOREIGN, "SHORT": SHORT, "EMPTY": " "}
DATA = {"name": "data", "contact": "boss@example.com"}


def config(folder: Path, **accounts: Any) -> Config:
    settings = {"enabled": True, "store": f"sqlite:{folder}/accounts.db", **accounts}
    return Config.from_dict({"vertex": {"project": "p", "location": "global"}, "accounts": settings})


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
