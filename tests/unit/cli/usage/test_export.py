"""Risk: an export loses rows or money, a file is left half written, or a spreadsheet runs what a client sent."""

from __future__ import annotations

import csv
import io
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from modelmux.accounts.columns import LEDGER
from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.rerate import PRICED
from modelmux.accounts.uuid7 import format_id
from modelmux.cli.usage.options import Sources
from modelmux.cli.usage.writers import CsvWriter, JsonLinesWriter, ParquetWriter
from modelmux.store.ledger.base import EntryPage, EntryQuery
from support.cli import CommandResult, check_snapshot, run, run_process
from support.clock import NOW
from support.entries import MODEL, entry, ledgers
from support.memory_ledger import MemoryLedger

NANO = Decimal("1e-9")


def export(home: Path, entries: list[Entry] | MemoryLedger, *options: str) -> CommandResult:
    ledger = entries if isinstance(entries, MemoryLedger) else MemoryLedger(entries, page=2)
    return run("usage", "export", *options, home=home, obj=Sources(lambda _: ledger, lambda: NOW))


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def cost_of(entries: list[Entry]) -> Decimal:
    return sum((each.cost for each in entries if each.cost is not None), Cost()).total * NANO


FULL = entry(
    "2026-11-20T12:00", id=bytes(range(16)), key="key_1", person="usr_1", team="a/b", end_user="u",
    tags=(("app", "x"),), requested="gpt", route="fast",
    counts=TokenCounts(input=1, cache_write=2, cache_write_1h=3, cache_read=4, output=5, thinking=6, web_searches=7),
    cost=Cost(input=1, cache_write=2, cache_write_1h=3, cache_read=4, output=5, web_search=6),
    hold=10**9, estimated=True, duration=1_500, first_content=900, request_bytes=10, response_bytes=20, stream=True,
    attempts=(AttemptEntry("d", "overloaded"), AttemptEntry("e", "ok", TokenCounts(input=1))), client_request_id="c",
    upstream_id="msg_1", trace_id="t", agent="curl", app="chat", status=200,
)  # fmt: skip
LATER = entry("2026-12-01T00:00:00.000500", id=b"\xff" * 16, kind="rerate", corrects=FULL.id, cost=Cost(input=-1),
              counts=TokenCounts(), reason=PRICED)  # fmt: skip


def test_what_the_formats_look_like(tmp_path: Path) -> None:
    check_snapshot(
        "usage_export",
        *(export(tmp_path, [FULL, LATER], "--format", kind) for kind in ("csv", "jsonl", "focus")),
        export(tmp_path, [FULL, LATER], "--format", "focus", "--focus", "1.2", "--billing-account", "acme"),
        export(tmp_path, [], "--format", "csv"),
    )


def test_every_field_of_a_row_is_exported() -> None:
    seen: set[str] = set()

    class Spy:
        def __getattr__(self, name: str) -> Any:
            seen.add(name)
            return getattr(FULL, name)

    for column in LEDGER:
        column.value(Spy())
    assert seen == set(Entry.__struct_fields__)
    for part, made in ((TokenCounts, "counts"), (Cost, "cost")):
        inner: set[str] = set()

        class Inner:
            def __getattr__(self, name: str, inner: set[str] = inner) -> Any:
                inner.add(name)
                return 0

        for column in LEDGER:
            if column.name.endswith(("_tokens", "searches", "_usd")):
                column.value(type("Row", (), {"hold": 0, "cost": Cost(), "counts": TokenCounts(), made: Inner()})())
        assert inner >= set(part.__struct_fields__)


@settings(max_examples=10, deadline=None)
@given(ledgers())
def test_each_format_has_every_row_and_the_same_total(tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]) -> None:  # fmt: skip  # noqa: E501
    home = tmp_path_factory.mktemp("h")
    ids, total = [format_id(each.id) for each in entries], cost_of(entries)
    table = csv_rows(export(home, entries, "--format", "csv").stdout)
    assert [row["id"] for row in table] == ids
    assert sum(Decimal(row["cost_usd"] or 0) for row in table) == total
    lines = [json.loads(line) for line in export(home, entries, "--format", "jsonl").stdout.split("\n")[:-1]]
    assert [row["id"] for row in lines] == ids
    assert sum(Decimal(row["cost_usd"] or 0) for row in lines) == total
    assert [row["tags"] for row in lines] == [dict(each.tags) or None for each in entries]
    assert [row["agent"] for row in lines] == [each.agent or None for each in entries]
    focus = csv_rows(export(home, entries, "--format", "focus", "--set", "accounts.tags=app").stdout)
    assert sum(Decimal(row["BilledCost"]) for row in focus) == total
    components = ("input", "cache_write", "cache_write_1h", "cache_read", "output", "web_search")
    for row, one in zip(lines, entries, strict=True):
        if one.cost is not None:
            assert sum(Decimal(row[f"cost_{name}_usd"]) for name in components) == Decimal(row["cost_usd"])


@settings(max_examples=10, deadline=None)
@given(ledgers())
def test_parquet_has_every_row_and_the_same_total(tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]) -> None:  # fmt: skip  # noqa: E501
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install pyarrow")
    home = tmp_path_factory.mktemp("h")
    result = export(home, entries, "--format", "parquet", "--out", "u.parquet")
    assert result.code == 0, result.stderr
    table = parquet.read_table(home / "u.parquet")
    assert table.column_names == [column.name for column in LEDGER]
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == [format_id(each.id) for each in entries]
    assert sum((row["cost_usd"] or Decimal(0) for row in rows), Decimal(0)) == cost_of(entries)
    assert [row["at"].timestamp() for row in rows] == [each.at / 1e6 for each in entries]
    assert [row["tags"] and json.loads(row["tags"]) for row in rows] == [dict(each.tags) or None for each in entries]
    assert [row["end_user"] for row in rows] == [each.end_user or None for each in entries]


def test_pages_are_read_one_after_the_other_and_not_kept(tmp_path: Path) -> None:
    ledger = MemoryLedger([entry(f"2026-11-20T00:00:{n:02}") for n in range(7)], page=3)
    result = export(tmp_path, ledger, "--format", "jsonl", "--period", "2026-11", "--where", "model=" + MODEL)
    assert len(result.stdout.splitlines()) == 7
    assert [query.after is None for query in ledger.queries] == [True, False, False]
    assert {(query.start, query.end, query.where) for query in ledger.queries} == {
        (ledger.queries[0].start, ledger.queries[0].end, (("model", (MODEL,)),))
    }
    assert ledger.queries[0].start is not None
    assert all(query.limit == 1_000 for query in ledger.queries)


def test_a_period_and_a_filter_choose_rows(tmp_path: Path) -> None:
    entries = [
        entry("2026-10-31T23:59"),
        entry("2026-11-01T00:00", outcome="upstream_error"),
        entry("2026-11-30T23:00"),
    ]

    def count(*options: str) -> int:
        return len(export(tmp_path, entries, "--format", "jsonl", *options).stdout.splitlines())

    assert count() == 3
    assert count("--period", "2026-11") == 2
    assert count("--period", "2026-11", "--zone", "Europe/Berlin") == 2, "23:59 is November in Berlin, 23:00 December"
    assert count("--where", "outcome=upstream_error") == 1
    assert count("--last", "2d") == 1


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "＋1", "－1", "＠x"]
)
def test_a_spreadsheet_runs_nothing_that_a_client_sent(tmp_path: Path, text: str) -> None:
    (row,) = csv_rows(export(tmp_path, [entry(agent=text, requested=text)], "--format", "csv").stdout)
    assert (row["agent"], row["requested_model"]) == ("'" + text, "'" + text)
    (plain,) = export(tmp_path, [entry(agent=text)], "--format", "jsonl").stdout.splitlines()
    assert json.loads(plain)["agent"] == text, "not a spreadsheet"


def test_amounts_below_zero_stay_numbers(tmp_path: Path) -> None:
    (row,) = csv_rows(export(tmp_path, [LATER], "--format", "csv").stdout)
    assert (row["cost_usd"], row["at"]) == ("-0.000000001", "2026-12-01T00:00:00.000500Z")


def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "u.csv"
    out.write_text("of yesterday")
    ledger = MemoryLedger([entry()])
    ledger.failure = "x"
    assert export(tmp_path, ledger, "--format", "csv", "--out", "u.csv").code == 1
    assert out.read_text() == "of yesterday"
    assert [path.name for path in tmp_path.iterdir()] == ["u.csv"]
    ledger.failure, ledger.is_open = None, True
    result = export(tmp_path, ledger, "--format", "csv", "--out", "u.csv")
    assert (result.code, result.stdout, result.stderr) == (0, "", "note: u.csv: 1 row\n")
    assert len(csv_rows(out.read_text())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["u.csv"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "focus"])
def test_a_ledger_that_fails_in_between_is_said_after_what_was_written(tmp_path: Path, kind: str) -> None:
    class Failing(MemoryLedger):
        async def entries(self, query: EntryQuery) -> EntryPage:
            self.failure = "gone" if query.after is not None else None
            return await super().entries(query)

    result = export(tmp_path, Failing([entry(), entry("2026-11-21T00:00")], page=1), "--format", kind)
    assert (result.code, result.stderr) == (1, "error: the ledger cannot be used: gone\n")
    assert len(result.stdout.splitlines()) == {"csv": 2, "jsonl": 1, "focus": 1}[kind]


def test_a_link_stays_one_and_a_device_is_written(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    assert export(tmp_path, [entry()], "--format", "csv", "--out", "link.csv").code == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("id,at,")
    assert export(tmp_path, [entry()], "--format", "csv", "--out", "/dev/null").code == 0


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    result = export(tmp_path, [entry()], "--format", "csv", "--out", "absent/u.csv")
    assert result.code == 1
    assert result.stderr == (
        "error: absent/u.csv: cannot be written: No such file or directory\nhint: Name another file with --out.\n"
    )


def test_parquet_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = export(tmp_path, [entry()], "--format", "parquet", "--out", "u.parquet")
    assert result.code == 1
    assert result.stderr == (
        "error: Parquet needs the library pyarrow, which is not installed\n"
        "hint: Install it with: pip install 'modelmux-gateway[export]'\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "csv", "--focus", "1.2"), "--focus belongs to --format focus"),
        (("--format", "jsonl", "--billing-account", "x"), "--billing-account belongs to --format focus"),
        (("--format", "focus", "--focus", "1.0"), "'1.0' is not one of"),
        (("--format", "xlsx"), "'xlsx' is not one of"),
        ((), "missing option '--format'"),
        (("--format", "csv", "--where", "outcome=ok,failed"), "'failed' is not one of ok, client_error, "),
        (("--format", "csv", "--where", "tag:=x"), "'tag:' is not one of key, team, person, model, outcome, end_user"),
    ],
)
def test_wrong_usage(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    result = export(tmp_path, [entry()], *options)
    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr


def test_costs_that_are_missing_are_said_until_they_are_corrected(tmp_path: Path) -> None:
    unknown = entry(cost=None, id=FULL.id)
    assert "warning: the cost lacks 1 request whose" in export(tmp_path, [unknown], "--format", "jsonl").stderr
    assert "warning: the cost lacks 1 request whose" in export(tmp_path, [unknown], "--format", "focus").stderr
    assert export(tmp_path, [unknown, LATER], "--format", "jsonl").stderr == ""


def test_the_writers_accept_no_rows() -> None:
    for writer_of in (CsvWriter, JsonLinesWriter):
        file = io.BytesIO()
        writer = writer_of(LEDGER, file)
        writer.write([])
        writer.close()
        assert not file.closed
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install pyarrow")
    ParquetWriter(LEDGER, io.BytesIO()).close()


def test_it_works_in_a_process_of_its_own(tmp_path: Path) -> None:
    result = run_process("usage", "export", "--format", "csv", home=tmp_path)
    assert result.code == 1
    assert "there is no ledger at" in result.stderr
