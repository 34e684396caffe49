"""Risk: verify and rerate change what they should only report, miss rows, or correct twice."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import AttemptEntry
from modelmux.accounts.usage_query import UsageQuery
from modelmux.catalog.prices import Price, PriceList, rates_from_input
from modelmux.cli.usage.options import Sources
from modelmux.cli.usage.rerate import correct
from modelmux.store.directory.base import Author
from modelmux.store.ledger.base import Difference, EntryQuery
from support.cli import CommandResult, check_snapshot, run
from support.clock import NOW
from support.entries import MODEL, entry
from support.memory_ledger import MemoryLedger


def usage(home: Path, ledger: MemoryLedger, *arguments: str) -> CommandResult:
    ledger.is_open = True
    return run("usage", *arguments, home=home, obj=Sources(lambda _: ledger, lambda: NOW))


def cost(ledger: MemoryLedger) -> int:
    return sum(row.cost.total for row in ledger.rows.values() if row.cost is not None)


# verify


def test_sums_that_are_right(tmp_path: Path) -> None:
    result = usage(tmp_path, MemoryLedger(), "verify")
    assert (result.code, result.stdout, result.stderr) == (0, "every sum is that of its rows\n", "")
    assert json.loads(usage(tmp_path, MemoryLedger(), "verify", "--json").stdout) == {
        "differences": [],
        "repaired": False,
    }


def test_a33_sums_that_differ_are_listed_and_only_repaired_on_request(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    ledger.differences = [
        Difference("2026-11-20T12 key_1 requests", 2, 3),
        Difference("2026-11-20T12 key_1 input", 5, 6),
    ]
    check_snapshot(
        "usage_verify",
        usage(tmp_path, ledger, "verify"),
        usage(tmp_path, ledger, "verify", "--json"),
        usage(tmp_path, ledger, "verify", "--repair"),
        usage(tmp_path, ledger, "verify"),
    )


def test_a_repair_is_said_in_json(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    ledger.differences = [Difference("x", 1, 2)]
    answer = json.loads(usage(tmp_path, ledger, "verify", "--repair", "--json").stdout)
    assert answer == {"differences": [{"what": "x", "stored": 1, "recomputed": 2}], "repaired": True}


# rerate


@pytest.fixture
def ledger() -> MemoryLedger:
    """Of the list, an input token of the model costs 4,000 nano-USD, one of claude-haiku-5-5 100."""
    one = TokenCounts(input=1_000)
    return MemoryLedger(
        [
            entry("2026-11-10T00:00", counts=one, cost=Cost(input=4_000_000)),
            entry("2026-11-19T23:00", counts=one, cost=Cost(input=5_000_000)),
            entry("2026-11-20T00:00", counts=one, cost=Cost(input=3_000_000)),
            entry("2026-11-21T00:00", counts=one, cost=None, price=None, model="claude-haiku-5-5"),
            entry("2026-11-22T00:00", counts=one, cost=None, price=None, model="claude-next"),
            entry("2026-11-23T00:00", counts=one, cost=Cost(), attempts=(AttemptEntry("other", "cut", one),)),
        ],
        page=2,
    )  # fmt: skip


def test_what_it_prints(tmp_path: Path, ledger: MemoryLedger) -> None:
    check_snapshot(
        "usage_rerate",
        usage(tmp_path, ledger, "rerate", "--dry-run"),
        usage(tmp_path, ledger, "rerate", "--dry-run", "--json"),
        usage(tmp_path, ledger, "rerate"),
        usage(tmp_path, ledger, "rerate"),
        usage(tmp_path, ledger, "rerate", "--since", "soon"),
    )


def test_a32_a_dry_run_writes_nothing_and_a_run_leaves_todays_cost(tmp_path: Path, ledger: MemoryLedger) -> None:
    before = dict(ledger.rows)
    dry = json.loads(usage(tmp_path, ledger, "rerate", "--dry-run", "--json").stdout)
    assert ledger.rows == before
    assert cost(ledger) == 12_000_000
    done = json.loads(usage(tmp_path, ledger, "rerate", "--json").stdout)
    assert {**dry, "dry_run": False} == done
    assert cost(ledger) == 3 * 4_000_000 + 100_000
    assert {id: row for id, row in ledger.rows.items() if id in before} == before, "rows are never changed"
    assert len(ledger.rows) == len(before) + 3
    again = json.loads(usage(tmp_path, ledger, "rerate", "--json").stdout)
    assert (again["requests"], again["difference"]["amount"]) == (0, "0")
    assert len(ledger.rows) == len(before) + 3


def test_since_leaves_what_is_older(tmp_path: Path, ledger: MemoryLedger) -> None:
    usage(tmp_path, ledger, "rerate", "--since", "2026-11-20")
    assert [row.corrects for row in ledger.rows.values() if row.kind == "rerate"] == [
        row.id
        for row in ledger.rows.values()
        if row.kind == "usage" and row.at in _at("2026-11-20T00:00", "2026-11-21T00:00")
    ]
    berlin = MemoryLedger(list(ledger.rows.values()))
    usage(tmp_path, berlin, "rerate", "--since", "2026-11-20", "--zone", "Europe/Berlin")
    assert len(berlin.rows) == len(ledger.rows) + 1, "23:00 UTC is the 20th there"


def _at(*texts: str) -> list[int]:
    from support.entries import at

    return [at(text) for text in texts]


def test_prices_are_those_of_the_configuration(tmp_path: Path, ledger: MemoryLedger) -> None:
    (tmp_path / "c.toml").write_text('[accounts.prices]\nclaude-next = "claude-haiku-5-5"\n')
    usage(tmp_path, ledger, "rerate", "--config", "c.toml")
    assert cost(ledger) == 3 * 4_000_000 + 200_000
    report = json.loads(usage(tmp_path, ledger, "--period", "2026-11", "--json").stdout)
    assert (report["total"]["unpriced"], report["total"]["requests"]) == (0, 6)
    (tmp_path / "c.toml").write_text('[accounts.prices]\nclaude-next = "claude-nix"\n')
    wrong = usage(tmp_path, ledger, "rerate", "--config", "c.toml")
    assert (wrong.code, wrong.stdout) == (1, "")
    assert "accounts.prices.claude-next: the price of 'claude-nix' is not known" in wrong.stderr


def test_a_ledger_that_fails(tmp_path: Path, ledger: MemoryLedger) -> None:
    ledger.failure = "locked"
    for command in ("verify", "rerate"):
        result = usage(tmp_path, ledger, command)
        assert (result.code, result.stdout, result.stderr) == (1, "", "error: the ledger cannot be used: locked\n")


rows = st.tuples(st.integers(0, 10**9), st.none() | st.integers(0, 10**12), st.integers(0, 5 * 10**6))


@settings(max_examples=50)
@given(st.lists(rows, max_size=8), st.integers(0, 10**10), st.integers(1, 3))
def test_after_a_run_the_sum_is_the_cost_at_these_prices(requests: list[Any], input: int, page: int) -> None:
    input -= input % 100
    rates = rates_from_input(input, web_search=0)
    prices = PriceList([Price(model=MODEL, rates=rates, source="t")])
    entries = [
        entry(
            1_795_000_000_000_000 + offset,
            counts=TokenCounts(input=tokens),
            cost=None if was is None else Cost(input=was),
        )
        for offset, was, tokens in requests
    ]
    ledger = MemoryLedger(entries, page=page)
    asyncio.run(correct(ledger, EntryQuery(), prices, Directory(), (Author("ann", "cli"), 0)))
    assert cost(ledger) == sum((tokens * input + 500_000) // 1_000_000 for _, _, tokens in requests)
    count = len(ledger.rows)
    asyncio.run(correct(ledger, EntryQuery(), prices, Directory(), (Author("ann", "cli"), 0)))
    assert len(ledger.rows) == count
    (row,) = asyncio.run(ledger.usage(UsageQuery(start=0, end=2**60))) or [None]
    assert row is None or (row.unpriced, row.requests) == (0, len(requests))
