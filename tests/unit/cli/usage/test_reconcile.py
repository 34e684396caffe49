"""The bill of Google beside the ledger. Risk: a file is read in part, or what could not be compared is not said."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.cli.usage.options import Sources
from support.cli import CommandResult, check_snapshot, run
from support.clock import NOW
from support.entries import entry
from support.memory_ledger import MemoryLedger

HEAD = "BillingCurrency,ChargeCategory,ChargePeriodStart,ChargeDescription,ServiceName,ListCost,BilledCost\n"
BILL = HEAD + "".join(
    f"{line}\n"
    for line in (
        "USD,usage,2026-11-20 09:00:00 UTC,Claude Opus 5.5 Input Tokens,Vertex AI,1.25,1",
        "USD,usage,2026-11-20 10:00:00 UTC,Claude Opus 5.5 Output Tokens,Vertex AI,3,2.5",
        "USD,usage,2026-11-21 10:00:00 UTC,Claude Sonnet 5 Input Tokens,Vertex AI,0.5,0.5",
        "USD,usage,2026-11-21 10:00:00 UTC,N2 Instance Core,Compute Engine,12,12",
        "USD,usage,2026-11-21 10:00:00 UTC,Claude something,Vertex AI,0.25,0.25",
        "USD,tax,2026-11-21 10:00:00 UTC,Tax,Invoice,0,1.9",
    )
)


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger([
        entry("2026-11-20T12:00", cost=Cost(input=4 * 10**9)), entry("2026-11-21T12:00", cost=None, price=None),
        entry("2026-11-25T12:00", cost=Cost(input=7)),
    ])  # fmt: skip


def reconcile(home: Path, ledger: MemoryLedger, *arguments: str, bill: str = BILL) -> CommandResult:
    ledger.is_open = True
    (home / "bill.csv").write_text(bill, "utf-8-sig")
    return run("usage", "reconcile", "bill.csv", *arguments, home=home, obj=Sources(lambda _: ledger, lambda: NOW))


def test_what_it_prints(tmp_path: Path, ledger: MemoryLedger) -> None:
    (tmp_path / "c.toml").write_text('[accounts.prices.claude-opus-5-5]\ninput = "3"\n')
    check_snapshot(
        "usage_reconcile",
        reconcile(tmp_path, ledger),
        reconcile(tmp_path, ledger, "--json"),
        reconcile(tmp_path, ledger, "--period", "2026-11-20", "--config", "c.toml"),
        reconcile(tmp_path, ledger, bill=HEAD),
        reconcile(tmp_path, ledger, bill=BILL.replace("ListCost", "x").replace("BilledCost", "y")),
        reconcile(tmp_path, ledger, bill=BILL.replace("1.25,1\n", "1.25,much\n")),
    )


def test_a36_our_own_export_has_no_difference(tmp_path: Path) -> None:
    counts = TokenCounts(input=1_000, output=7)
    ledger = MemoryLedger([
        entry(f"2026-11-{day}T{hour}:30", model=model, counts=counts, cost=Cost(input=day * 1_001, output=hour * 77))
        for day in (20, 21) for hour in (10, 23) for model in ("claude-opus-4-6", "claude-haiku-4-5@20251001")
    ])  # fmt: skip
    exported = run("usage", "export", "--format", "focus", home=tmp_path, obj=Sources(lambda _: ledger, lambda: NOW))
    result = reconcile(tmp_path, ledger, "--json", bill=exported.stdout)
    assert (result.code, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    assert len(answer["rows"]) == 4
    assert {(one["difference"], one["percent"]) for one in (*answer["rows"], answer["total"])} == {("0", 0.0)}


def test_a_period_without_charges_shows_ours(tmp_path: Path, ledger: MemoryLedger) -> None:
    result = reconcile(tmp_path, ledger, "--period", "2026-11-25", "--json")
    answer = json.loads(result.stdout)
    assert [(one["day"], one["model"], one["ours"]) for one in answer["rows"]] == [
        ("2026-11-25", "opus 5.5", "0.000000007")
    ]
    assert "6 rows of other days left out" in result.stderr


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed: pip install pyarrow")
def test_parquet_is_the_same(tmp_path: Path, ledger: MemoryLedger) -> None:
    import csv

    import pyarrow as pa
    from pyarrow import parquet

    lines = list(csv.DictReader(BILL.splitlines()))
    parquet.write_table(pa.Table.from_pylist(lines), tmp_path / "bill.parquet")
    sources = Sources(lambda _: ledger, lambda: NOW)
    ledger.is_open = True
    result = run("usage", "reconcile", "bill.parquet", "--json", home=tmp_path, obj=sources)
    assert result.stdout == reconcile(tmp_path, ledger, "--json").stdout


def test_files_that_cannot_be_read(tmp_path: Path, ledger: MemoryLedger) -> None:
    sources = Sources(lambda _: ledger, lambda: NOW)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1" + bytes(10))
    (tmp_path / "bad.csv").write_bytes(HEAD.encode() + b"\xff\xfe,\n")
    (tmp_path / "empty.csv").write_bytes(b"")
    for name in ("bad.parquet", "bad.csv", "empty.csv", "none.csv"):
        result = run("usage", "reconcile", name, home=tmp_path, obj=sources)
        assert (result.code, result.stdout) == (1, "")
        assert name in result.stderr or "pyarrow" in result.stderr
