"""Risk: a search for an end user finds nothing, because rows have the hash of the name."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from modelmux.cli.usage.options import Sources
from modelmux.gateway.metering.metering import hashed
from modelmux.store.local_state import LocalState
from support.cli import CommandResult, run
from support.clock import NOW
from support.entries import entry
from support.memory_ledger import MemoryLedger

KEYS = [bytes(range(n, n + 64)) for n in (0, 64)]


def export(home: Path, ledger: MemoryLedger, name: str, toml: str) -> CommandResult:
    (home / "c.toml").write_text(toml)
    ledger.is_open = True
    options = ("--format", "csv", "--config", "c.toml", "--where", f"end_user={name}")
    return run("usage", "export", *options, home=home, obj=Sources(lambda _: ledger, lambda: NOW))


def users(result: CommandResult) -> list[str]:
    assert result.code == 0, result.stderr
    return [row["end_user"] for row in csv.DictReader(io.StringIO(result.stdout, newline=""))]


def ledger_of(*names: str) -> MemoryLedger:
    return MemoryLedger([entry(end_user=name) for name in names])


def test_a_name_is_found_by_its_hash_with_each_key(tmp_path: Path) -> None:
    hashes = [hashed("ann@example.com", key) for key in KEYS]
    ledger = ledger_of(*hashes, hashed("bob", KEYS[0]), "ann@example.com")
    toml = f"[server]\nseal_keys = {[key.hex() for key in KEYS]}\n"
    assert users(export(tmp_path, ledger, "ann@example.com", toml)) == [*hashes, "ann@example.com"]
    assert users(export(tmp_path, ledger, hashes[1], toml)) == [hashes[1]]


def test_the_key_is_that_of_the_state_directory(tmp_path: Path) -> None:
    stored = hashed("ann", LocalState(tmp_path / "state").seal_key())
    toml = f'[server]\nstate_dir = "{tmp_path}/state"\n'
    assert users(export(tmp_path, ledger_of(stored, "x"), "ann", toml)) == [stored]


def test_a_name_that_cannot_be_hashed_is_an_error_and_no_key_is_made(tmp_path: Path) -> None:
    state = tmp_path / "state"
    toml = f'[server]\nstate_dir = "{state}"\n'
    result = export(tmp_path, ledger_of("x"), "ann", toml)
    assert result.code == 1
    assert f"their key cannot be read: {state}/seal.key: No such file or directory" in result.stderr
    assert "pass the hash" in result.stderr
    assert not state.exists()
    assert users(export(tmp_path, ledger_of("0" * 32), "0" * 32, toml)) == ["0" * 32]


def test_plain_names_are_searched_as_they_are(tmp_path: Path) -> None:
    toml = '[accounts]\nend_user = "plain"\n'
    assert users(export(tmp_path, ledger_of("ann", "bob"), "ann", toml)) == ["ann"]
