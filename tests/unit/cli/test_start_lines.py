"""What the start says of keys. Risk: an operator believes that clients need none, or need one."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.cli.start_lines import admin_line, start_lines
from modelmux.config import Config, Loaded

STATIC = ["a-long-key-of-mine"]
UNTIL = "clients need no key until the first one is created; only this machine can connect"


@pytest.mark.parametrize(
    ("server", "accounts", "has_keys", "line"),
    [
        ({}, {"enabled": False}, False, "clients need no key; only this machine can connect"),
        ({}, {}, False, UNTIL),
        ({}, {}, True, "clients need a virtual key"),
        ({}, {"require_key": True}, False, "clients need a virtual key"),
        ({"host": "0.0.0.0"}, {}, False, "clients need a virtual key"),
        ({"host": "0.0.0.0", "allow_unauthenticated": True}, {}, True, "clients need a virtual key"),
        ({"api_keys": STATIC}, {}, True, "clients need a virtual key or one of server.api_keys"),
        ({"api_keys": STATIC}, {}, False, "clients need the key of server.api_keys"),
    ],
)
def test_the_line_of_keys(server: dict[str, Any], accounts: dict[str, Any], has_keys: bool, line: str) -> None:
    config = Config.from_dict(
        {
            "vertex": {"project": "p", "location": "global"},
            "auth": {"access_token": "t"},
            "server": server,
            "accounts": {"enabled": True} | accounts,
        }
    )
    assert start_lines(Loaded(config, ()), config, [], None, has_keys=has_keys)[2] == line


@pytest.mark.parametrize(
    ("listen", "who"),
    [("127.0.0.1:3001", "only this machine can connect"), ("0.0.0.0:3001", "other machines can reach it")],
)
def test_the_line_of_the_admin_api_says_who_reaches_it(listen: str, who: str) -> None:
    config = Config.from_dict({"accounts": {"enabled": True}, "admin": {"listen": listen}})
    line = admin_line(config, f"http://{listen}/admin/v1")
    assert f"http://{listen}/admin/v1" in line
    assert who in line
