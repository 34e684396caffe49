"""What ``modelmux doctor`` says of prices and of the place of the ledger. Risk: a cost is unknown, or rows are lost,
and the operator learns it from an invoice."""

from __future__ import annotations

import sqlite3
from datetime import date, timedelta
from pathlib import Path

import pytest

from modelmux.catalog import builtin_prices
from modelmux.cli.doctor import accounts as checks
from modelmux.cli.doctor.accounts import check_prices, check_sqlite
from modelmux.cli.doctor.models import check_models
from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.cli.doctor.server import check_server
from modelmux.config.load import load_text

NEXT = '[[vertex.models]]\nname = "next"\nmodel = "claude-next"\n'
CHECKED = max(price.checked_on for price in builtin_prices().prices if price.checked_on is not None)


def context(home: Path, toml: str, *, enabled: bool = True, today: date = CHECKED) -> DoctorContext:
    text = f'[server]\nport = 0\nstate_dir = "{home}"\n[accounts]\nenabled = {str(enabled).lower()}\n'
    place = '[vertex]\nproject = "p"\nlocation = "global"\n'
    environment = {"HOME": str(home)}
    subject = DoctorContext(None, {}, environment, environment, load_text(text + toml + place + NEXT, "test"))
    list(check_models(subject, today))
    return subject


def prices(subject: DoctorContext, today: date = CHECKED) -> list[Result]:
    return list(check_prices(subject, today))


def test_a_model_without_a_price_is_a_warning_with_what_to_set(tmp_path: Path) -> None:
    unpriced, listed = prices(context(tmp_path, ""))
    assert (unpriced.check, unpriced.status) == ("next", "warn")
    assert unpriced.detail == "claude-next has no price, so the cost of its requests is unknown"
    assert "[accounts.prices]" in (unpriced.hint or "")
    assert (listed.check, listed.status, listed.detail) == ("prices", "ok", f"the list is of {CHECKED}")
    own = '[accounts.prices.claude-next]\ninput = "1"\n'
    assert [result.status for result in prices(context(tmp_path, own))] == ["ok"]
    assert prices(context(tmp_path, "", enabled=False)) == []


def test_a_price_that_cannot_be_used_is_a_failure(tmp_path: Path) -> None:
    (failure,) = prices(context(tmp_path, '[accounts.prices]\nclaude-next = "nothing"\n'))
    assert (failure.status, failure.detail) == (
        "fail",
        "accounts.prices.claude-next: the price of 'nothing' is not known",
    )


def test_an_old_list_of_prices_is_a_warning(tmp_path: Path) -> None:
    subject = context(tmp_path, "")
    assert prices(subject, CHECKED + timedelta(60))[-1].status == "ok"
    old = prices(subject, CHECKED + timedelta(61))[-1]
    assert (old.check, old.status, old.detail) == ("prices", "warn", f"the list is of {CHECKED}, 61 days ago")


def test_a_ledger_on_a_network_file_system_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = context(tmp_path, "")
    assert subject.config is not None
    (version,) = check_sqlite(subject.config, subject.process)
    assert (version.check, version.status, version.detail) == ("SQLite", "ok", sqlite3.sqlite_version)
    monkeypatch.setattr(checks, "network_type", lambda path: "nfs4")
    _, failure = check_sqlite(subject.config, subject.process)
    assert (failure.status, failure.detail) == ("fail", f"{tmp_path}/accounts.db is on a network file system (nfs4)")
    assert "local disk" in (failure.hint or "")
    assert failure in list(check_server(subject))
    assert not any(result.check == "SQLite" for result in check_server(context(tmp_path, "", enabled=False)))
