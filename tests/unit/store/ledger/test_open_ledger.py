"""Risk: a command creates an empty ledger somewhere, or reads another file than the gateway writes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from modelmux.config import Config, ConfigError
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.open_ledger import (
    NoLedger,
    database_of,
    existing_path,
    ledger_path,
    open_existing_ledger,
    open_ledger,
    store_name,
)

MODULE = "modelmux.store.ledger.sqlite_ledger"


def config(store: str | None = None, **accounts: Any) -> Config:
    return Config.from_dict({"accounts": {**({"store": store} if store else {}), **accounts}})


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, tuple[str, ...]]]:
    """The arguments with which a ledger was opened; its module need not work."""
    calls: list[tuple[Path, tuple[str, ...]]] = []
    module = ModuleType(MODULE)
    module.SqliteLedger = lambda path, tags, **_: calls.append((path, tags))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, MODULE, module)
    return calls


def test_a_relative_file_is_in_the_state_directory(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    assert ledger_path(config(), home) == tmp_path / "state" / "modelmux" / "accounts.db"
    named = Config.from_dict({"server": {"state_dir": "/srv/x"}, "accounts": {"store": "sqlite:a/b.db"}})
    assert ledger_path(named, home) == Path("/srv/x/a/b.db")
    assert ledger_path(config("sqlite:/var/lib/a.db"), home) == Path("/var/lib/a.db")
    assert ledger_path(config("sqlite:~/a.db"), home) == Path.home() / "a.db"


@pytest.mark.parametrize("store", ["accounts.db", "sqlite:", "sqlite:///x.db", "mysql://u:canary@h/d"])
def test_another_store_is_an_error_with_a_remedy(store: str) -> None:
    with pytest.raises(ConfigError, match=r"accounts\.store") as caught:
        ledger_path(config(store), {"HOME": "/h"})
    assert "sqlite:accounts.db" in (caught.value.hint or "")
    assert "canary" not in str(caught.value.problems)


def test_a_database_is_shown_without_its_password_and_a_node_has_files_of_its_own(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    shared = config("postgresql://u:canary@h:5433/all%20accounts")
    assert store_name(shared, home) == "postgresql://h:5433/all accounts"
    assert ledger_path(shared, home) == tmp_path / "modelmux" / "accounts-all_accounts.node"
    assert "canary" not in repr(open_ledger(shared, home))
    assert database_of(config()) is None
    with pytest.raises(NoLedger, match="postgresql://h:5433/all accounts") as caught:
        existing_path(shared, home)
    assert "pg_dump" in caught.value.hint
    with pytest.raises(ConfigError, match=r"accounts.store: .*%2F") as bad:
        open_ledger(config("postgresql://u:ca/canary@h/d"), home)
    assert "canary" not in str(bad.value)


def test_the_gateways_own_opening_makes_the_file_and_that_of_a_report_does_not(
    tmp_path: Path, opened: list[tuple[Path, tuple[str, ...]]]
) -> None:
    path = tmp_path / "a.db"
    settings = config(f"sqlite:{path}", tags=["app", "env"])
    with pytest.raises(NoLedger, match="there is no ledger at") as caught:
        open_existing_ledger(settings)
    assert "accounts.enabled" in caught.value.hint
    assert opened == []
    open_ledger(settings)
    path.touch()
    open_existing_ledger(settings)
    assert opened == [(path, ("app", "env"))] * 2


def test_a_python_without_sqlite_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name == MODULE:
                raise ModuleNotFoundError("No module named '_sqlite3'", name="_sqlite3")

    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(StoreFailed, match="install Python with SQLite"):
        open_ledger(config("sqlite:/nonexistent/a.db"))


def test_a_link_to_no_file_is_named(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "absent.db")
    with pytest.raises(StoreFailed, match="which does not exist; mount its disk") as caught:
        open_existing_ledger(config(f"sqlite:{link}"))
    assert not isinstance(caught.value, NoLedger)
