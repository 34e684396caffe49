"""What ``modelmux doctor`` says of prices and of the place of the ledger. Risk: a cost is unknown, or rows are lost,
and the operator learns it from an invoice."""

from __future__ import annotations

import sqlite3
from datetime import date, timedelta
from pathlib import Path

import pytest

from modelmux import create_app
from modelmux.accounts.edits import Edit
from modelmux.accounts.records import Key
from modelmux.accounts.webhooks import Webhook
from modelmux.catalog import builtin_prices
from modelmux.cli.doctor import accounts as checks
from modelmux.cli.doctor.accounts import check_prices, check_sqlite
from modelmux.cli.doctor.models import check_models
from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.cli.doctor.server import check_server
from modelmux.config.load import load_text
from modelmux.store.accounts_file import AccountsFile
from modelmux.store.directory.base import Author
from modelmux.store.directory.issuer import Issuer
from modelmux.store.directory.sqlite_directory import SqliteDirectory
from modelmux.store.pepper import load_pepper, pepper_id
from support.log_lines import Lines

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
    like = prices(context(tmp_path, 'unknown_price = "like:claude-opus-5"\n'))[0]
    assert like.detail == "claude-next has no price, so its requests cost what those of claude-opus-5 do"
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


def keys_of(home: Path, toml: str = "") -> Result:
    before = sorted(home.iterdir())
    (result,) = (one for one in check_server(context(home, toml)) if one.check == "virtual keys")
    assert sorted(home.iterdir()) == before
    return result


def with_key(home: Path) -> Path:
    """The file of a gateway with one key that is active, and one that was revoked."""
    store = SqliteDirectory(home / "accounts.db")
    pepper = load_pepper(home / "accounts.db")
    for id, status in (("key_a", "active"), ("key_b", "revoked")):
        _, secret = Issuer([pepper], lambda: 1.8e9).secret(id)
        store.change_now(
            lambda d, id=id, status=status, secret=secret: Edit(  # type: ignore[misc]
                action="key.create", subject=id, keys=(Key(id=id, name=id, status=status),), secrets=(secret,)
            ),
            Author("ann", "cli"), 1,
        )  # fmt: skip
    return home / "accounts.db"


def test_keys_and_their_pepper(tmp_path: Path) -> None:
    assert (keys_of(tmp_path).status, keys_of(tmp_path).detail) == ("ok", "none yet")
    path = with_key(tmp_path)
    assert (keys_of(tmp_path).status, keys_of(tmp_path).detail) == ("ok", "1 active")
    pepper = Path(f"{path}.pepper")
    kept = pepper.read_text()
    pepper.write_text("short")
    broken = keys_of(tmp_path)
    assert (broken.status, broken.detail) == ("fail", f"accounts.peppers: {pepper}: not a pepper")
    assert "put back the file from a backup" in (broken.hint or "")
    pepper.unlink()
    lost = keys_of(tmp_path)
    assert lost.detail == f"accounts.peppers: 1 key has a secret of the pepper in {pepper}, which is missing: 'key_a'"
    assert "openssl rand -hex 32" in (lost.hint or "")
    other = keys_of(tmp_path, f'peppers = ["{"p" * 32}"]\n')
    assert other.detail == "accounts.peppers: 1 key has a secret of a pepper that is not here any more: 'key_a'"
    assert "openssl" not in (other.hint or "")
    pepper.write_text(kept)
    assert keys_of(tmp_path).status == "ok"


def test_a_webhook_whose_pepper_was_lost(tmp_path: Path) -> None:
    """Risk: nothing is delivered, and who asks what is wrong hears that all is well."""
    store = SqliteDirectory(tmp_path / "accounts.db")
    known = pepper_id(load_pepper(tmp_path / "accounts.db"))
    for id, pepper, status in (
        ("good", known, "active"),
        ("lost", "another", "active"),
        ("off", "another", "disabled"),
    ):
        webhook = Webhook(id=f"whk_{id}", name=id, url="https://hooks.example.com", pepper=pepper, status=status)  # type: ignore[arg-type]
        store.change_now(
            lambda d, one=webhook: Edit(action="webhook.create", subject=one.id, webhooks=(one,)),  # type: ignore[misc]
            Author("ann", "cli"), 1,
        )  # fmt: skip
    (result,) = [one for one in check_server(context(tmp_path, "")) if one.check == "webhooks"]
    assert (result.status, "'lost' is sent nothing" in result.detail) == ("warn", True)
    assert "create another one" in (result.hint or "")


def test_a_database_that_lost_its_keys(tmp_path: Path) -> None:
    path = with_key(tmp_path)
    path.unlink()
    lost = keys_of(tmp_path)
    assert (lost.status, lost.detail) == ("fail", f"{path} has no keys, but it had some: it was lost, or replaced")
    assert lost.hint == f"put back its backup, or remove {path}.keyed to begin without keys"


def test_keys_of_the_configuration_are_checked_and_not_written(tmp_path: Path) -> None:
    entry = f'[[accounts.keys]]\nname = "ci"\nsha256 = "{"0" * 64}"\n'
    assert keys_of(tmp_path, entry).status == "ok"
    unknown = keys_of(tmp_path, entry + 'team = "nobody"\n')
    assert (unknown.status, "accounts.keys[0]" in unknown.detail) == ("fail", True)
    assert not [one for one in check_server(context(tmp_path, entry)) if one.status == "fail"]


def test_a_database_that_the_next_start_migrates_is_left_as_it_is(tmp_path: Path) -> None:
    AccountsFile(tmp_path / "accounts.db", migrations=()).open(1.0).close()
    assert not [one for one in check_server(context(tmp_path, "")) if one.check == "virtual keys"]
    assert not [one for one in check_server(context(tmp_path, "")) if one.status == "fail"]


def test_settings_of_accounts_that_serve_would_refuse_are_told_once(tmp_path: Path) -> None:
    for settings, problem in (
        ('zone = "Mars/X"\n', "accounts.zone: 'Mars/X' is not a time zone"),
        ("[traces]\nenabled = false\n[capture]\nenabled = true\n", "capture.enabled: bodies belong to records"),
    ):
        (result,) = [one for one in check_server(context(tmp_path, settings)) if one.check == "start"]
        assert (result.status, result.detail.startswith(problem)) == ("fail", True)
    without = context(tmp_path, '[[accounts.budgets]]\nname = "month"\nlimit = "100"\n', enabled=False)
    (result,) = [one for one in check_server(without) if one.check == "start"]
    assert result.detail.startswith("accounts.budgets: has no effect")


def test_keys_that_no_request_needs_are_a_warning(tmp_path: Path) -> None:
    path = with_key(tmp_path)
    (off,) = (one for one in check_server(context(tmp_path, "", enabled=False)) if one.check == "virtual keys")
    assert (off.status, off.hint) == ("warn", "set accounts.enabled = true")
    assert off.detail.startswith(f"there are virtual keys ({path}.keyed), and accounts.enabled is false")
    lines = Lines()
    config = context(tmp_path, "", enabled=False).config
    assert config is not None
    create_app(config, log=lines).log_warnings()
    assert off.detail in [fields["message"] for _, fields in lines.warnings]
