"""What the start says of keys. Risk: an operator believes that clients need none, or need one."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.cli.start_lines import start_lines
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
