"""Risk: a reload mixes the accounts of two databases, or tells a password."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.config import Config, ConfigError
from modelmux.store.directory.same_accounts import check_same_accounts

URL = "postgresql://u:canary@h/d"


def config(**accounts: Any) -> Config:
    return Config.from_dict({"accounts": {"enabled": True, **accounts}, "server": {"state_dir": "/srv/x"}})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"store": URL}, {}),
        ({}, {"store": URL}),
        ({"store": URL}, {"store": "postgresql://u:canary@other/d"}),
        ({"store": URL}, {"store": "postgresql://u:canary2@h/d"}),
        ({"store": URL}, {"store": URL, "listen_url": URL}),
    ],
)
def test_other_accounts_need_a_restart(before: dict[str, Any], after: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"accounts.store changed to .*: restart") as caught:
        check_same_accounts(config(**before), config(**after), {})
    assert "canary" not in str(caught.value)


def test_the_same_accounts_do_not() -> None:
    for accounts in ({}, {"store": URL}, {"store": URL, "listen_url": URL}):
        check_same_accounts(config(**accounts), config(**accounts), {})
