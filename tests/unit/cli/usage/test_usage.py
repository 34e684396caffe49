"""Risk: a report shows another period, other requests or another sum than was asked for, without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.directory import Directory
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.accounts.usage_views import total
from modelmux.catalog.prices import usd
from modelmux.cli.usage.options import Sources
from modelmux.cli.usage.report import rounded
from modelmux.store.base import StoreFailed
from support.cli import CommandResult, check_snapshot, run
from support.clock import NOW
from support.directories import directory_of, key, person, team
from support.entries import entry, ledgers
from support.memory_ledger import MemoryLedger

MONTH = ("--period", "2026-11")
DIRECTORY = directory_of(
    team("org", "Research"), team("data", "Data Science", parent="org"), person("usr_ann"),
    key("key_1", "ci", status="revoked"), key("key_2", "ci"),
)  # fmt: skip


def usage(home: Path, ledger: MemoryLedger, *options: str, **variables: str) -> CommandResult:
    ledger.is_open = True
    sources = Sources(lambda _: ledger, lambda: NOW, lambda _: DIRECTORY)
    return run("usage", *options, home=home, obj=sources, **variables)


def rows(home: Path, ledger: MemoryLedger, *options: str) -> list[dict[str, Any]]:
    result = usage(home, ledger, *options, "--json")
    assert result.code == 0, result.stderr
    answer: list[dict[str, Any]] = json.loads(result.stdout)["rows"]
    return answer


@pytest.fixture
def ledger() -> MemoryLedger:
    many, few = TokenCounts(input=250_000_000, output=1), TokenCounts(cache_read=25, cache_write=1, cache_write_1h=2)
    ann = {"key": "key_1", "team": "org/data", "person": "usr_ann", "tags": (("app", "chat"),)}
    return MemoryLedger(
        [
            entry("2026-10-31T23:30", cost=Cost(input=7), **ann),
            entry("2026-11-01T00:00", cost=Cost(input=1_000_000_001, output=20), counts=many, **ann),
            entry("2026-11-02T10:00", cost=Cost(cache_read=5), counts=few, key="key_2"),
            entry("2026-11-02T11:00", cost=Cost(), counts=TokenCounts(), outcome="upstream_error", model=None),
            entry("2026-11-30T23:59", model="claude-next", cost=None, price=None, team="org"),
            entry("2026-12-01T00:00", cost=Cost(input=9)),
        ],
        tags=["app"],
    )  # fmt: skip


def test_machines_are_told_of_prices_that_are_not_the_list(tmp_path: Path, ledger: MemoryLedger) -> None:
    assert json.loads(usage(tmp_path, ledger, *MONTH, "--json").stdout)["prices"] == "list"
    (tmp_path / "c.toml").write_text('[accounts.prices.claude-next]\ninput = "1"\n')
    answer = json.loads(usage(tmp_path, ledger, "--config", "c.toml", *MONTH, "--json").stdout)
    assert answer["prices"] == "list_and_own"


def test_what_it_prints(tmp_path: Path, ledger: MemoryLedger) -> None:
    (tmp_path / "c.toml").write_text('[accounts]\ntags = ["app"]\n')
    tags = ("--config", "c.toml", *MONTH)
    check_snapshot(
        "usage",
        usage(tmp_path, ledger, "--help"),
        usage(tmp_path, ledger, *MONTH),
        usage(tmp_path, ledger, *MONTH, "--by", "day,team,tag:app", "--config", "c.toml"),
        usage(tmp_path, ledger, *MONTH, "--by", "hour", "--zone", "Asia/Kolkata", "--where", "key=key_1"),
        usage(tmp_path, ledger, *tags, "--by", "key", "--json", "--where", "team=data"),
        usage(tmp_path, ledger, "--period", "2025"),
    )


def test_the_groups_that_cost_most_and_the_sum_of_the_others(tmp_path: Path, ledger: MemoryLedger) -> None:
    all_rows = rows(tmp_path, ledger, *MONTH, "--by", "key")
    first, others = rows(tmp_path, ledger, *MONTH, "--by", "key", "--top", "1")
    assert first == {"others": 0, **all_rows[0]}
    assert (others["others"], others["key"], others["key_name"]) == (len(all_rows) - 1, None, None)
    assert others["requests"] == sum(row["requests"] for row in all_rows[1:])
    lines = usage(tmp_path, ledger, *MONTH, "--by", "key,model", "--top", "1").stdout.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["ci", "3_others", "TOTAL"]
    assert len(lines[-1].split()) == len(lines[-2].split())
    result = usage(tmp_path, ledger, "--top", "0")
    assert "--top" in result.stderr
    assert usage(tmp_path, ledger, *MONTH, "--by", "day", "--top", "1").code == 0


def test_a_report_is_read_page_after_page(tmp_path: Path, ledger: MemoryLedger) -> None:
    options = (*MONTH, "--by", "key,day,model")
    for form in ((), ("--json",)):
        whole = usage(tmp_path, ledger, *options, *form)
        ledger.page = 1
        ledger.usage_queries.clear()
        assert usage(tmp_path, ledger, *options, *form) == whole
        assert len(ledger.usage_queries) == 4, "one for each group"
        ledger.page = 1_000


def test_a_directory_that_cannot_be_read_costs_the_names_alone(tmp_path: Path, ledger: MemoryLedger) -> None:
    def fail(_: object) -> Directory:
        raise StoreFailed("/x/accounts.db: there were keys")

    result = run("usage", *MONTH, "--by", "key", home=tmp_path, obj=Sources(lambda _: ledger, lambda: NOW, fail))
    assert result.code == 0
    assert result.stderr.startswith("warning: ids are shown without names: /x/accounts.db: there were keys\n")
    assert "key_1" in result.stdout


def test_without_a_period_it_is_the_last_thirty_days(tmp_path: Path, ledger: MemoryLedger) -> None:
    assert usage(tmp_path, ledger).stdout.startswith("2026-11-02T00:00:00Z to 2026-12-02T00:00:00Z (UTC)")
    assert usage(tmp_path, ledger, "--last", "24h").stdout.startswith("2026-11-30T13:00:00Z to 2026-12-01T13:00:00Z")


def test_a34_the_zone_decides_which_day_a_request_is_of(tmp_path: Path, ledger: MemoryLedger) -> None:
    def requests(*options: str) -> dict[str, int]:
        each = rows(tmp_path, ledger, "--by", "month", "--period", "2026-10..2026-12", *options)
        return {row["start"]: row["requests"] for row in each}

    assert requests() == {"2026-10-01T00:00:00Z": 1, "2026-11-01T00:00:00Z": 4, "2026-12-01T00:00:00Z": 1}
    berlin = {"2026-11-01T00:00:00+01:00": 4, "2026-12-01T00:00:00+01:00": 2}
    assert requests("--zone", "Europe/Berlin") == berlin
    assert requests("--set", "accounts.zone=Europe/Berlin") == berlin
    assert requests("--set", "accounts.zone=Europe/Berlin", "--zone", "utc") == requests()


def test_rows_add_up_to_the_total_exactly(tmp_path: Path, ledger: MemoryLedger) -> None:
    answer = json.loads(usage(tmp_path, ledger, *MONTH, "--by", "key,model", "--json").stdout)
    assert answer["total"]["cost"] == {"amount": "1.000000026", "currency": "USD"}
    assert sum(row["requests"] for row in answer["rows"]) == answer["total"]["requests"] == 4
    assert {(row["key"], row["model"]) for row in answer["rows"]} == {
        ("key_1", "claude-opus-5-5"), ("key_2", "claude-opus-5-5"), ("anonymous", None), ("anonymous", "claude-next"),
    }  # fmt: skip
    assert answer["rows"][0]["cost_components"] == {
        "input": "1.000000001", "cache_write": "0", "cache_write_1h": "0", "cache_read": "0", "output": "0.00000002",
        "web_search": "0",
    }  # fmt: skip


def test_where_counts_only_what_is_named(tmp_path: Path, ledger: MemoryLedger) -> None:
    def requests(*options: str) -> int:
        return sum(row["requests"] for row in rows(tmp_path, ledger, *MONTH, *options))

    assert requests() == 4
    assert requests("--where", "team=org") == 2, "with its subtree"
    assert requests("--where", "team=data") == 1
    assert requests("--where", "key=key_1, key_2") == 2
    assert requests("--where", "key=key_1", "--where", "key=key_2") == 2
    assert requests("--where", "key=key_1", "--where", "model=claude-next") == 0
    assert requests("--where", "tag:app=chat") == 1


def test_where_takes_the_names_that_people_know(tmp_path: Path, ledger: MemoryLedger) -> None:
    def requests(where: str) -> int:
        return sum(row["requests"] for row in rows(tmp_path, ledger, *MONTH, "--where", where))

    assert requests("team=data science") == 1
    assert requests("team=Research") == 2, "with its subtree"
    assert requests("person=Ann@example.com") == 1
    assert requests("key=CI") == 2, "the one that was revoked, too"
    assert requests("key=anonymous") == 2
    assert requests("key=key_01m8n8etrbft9v6qxecbfj5q7z") == 0


def test_where_takes_every_name_of_a_model(tmp_path: Path) -> None:
    ledger = MemoryLedger([entry(model="claude-haiku-4-5@20251001"), entry(model="mine")])
    for name in ("claude-haiku-4-5", "claude-haiku-4-5@20251001", "claude-haiku-4-5-20251001", "mine"):
        assert len(rows(tmp_path, ledger, *MONTH, "--where", f"model={name}")) == 1, name
    unknown = usage(tmp_path, ledger, *MONTH, "--where", "model=fast")
    assert "warning: no model is called fast; usage is by the models that answered" in unknown.stderr


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("team=reserch", "error: team: there is no team 'reserch'\nhint: Did you mean 'Research'?\n"),
        ("key=laptop", "error: key: there is no key 'laptop'\nhint: List them with `modelmux keys list"),
        ("person=bob@x.org", "error: person: there is no person 'bob@x.org'\nhint: List them with"),
    ],
)
def test_a_name_of_nothing_is_no_empty_report(tmp_path: Path, ledger: MemoryLedger, where: str, message: str) -> None:
    result = usage(tmp_path, ledger, *MONTH, "--where", where)
    assert (result.code, result.stdout) == (1, "")
    assert message in result.stderr


def test_tables_have_names_and_machines_both(tmp_path: Path, ledger: MemoryLedger) -> None:
    lines = usage(tmp_path, ledger, *MONTH, "--by", "team,person").stdout.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [
        ["Data_Science", "ann@example.com"], ["-", "-"], ["Research", "-"], ["TOTAL", "4"],
    ]  # fmt: skip
    keys = {line.split()[0] for line in usage(tmp_path, ledger, *MONTH, "--by", "key").stdout.splitlines()[2:]}
    assert keys == {"ci(key_1)", "ci(key_2)", "anonymous", "TOTAL"}, "two of one name can be told apart"
    assert "key_name" not in rows(tmp_path, ledger, *MONTH, "--by", "model")[0], "models have no other names"
    found = {row["team"]: row["team_name"] for row in rows(tmp_path, ledger, *MONTH, "--by", "team")}
    assert found == {"org/data": "Data Science", "org": "Research", None: None}


def test_an_unknown_price_is_said_where_it_counts(tmp_path: Path, ledger: MemoryLedger) -> None:
    told = usage(tmp_path, ledger, *MONTH).stderr
    assert "warning: the cost lacks 1 request whose price is unknown: add the model to [accounts.prices]" in told
    assert usage(tmp_path, ledger, *MONTH, "--where", "key=key_1").stderr == ""


def test_prices_of_the_operator_are_named(tmp_path: Path, ledger: MemoryLedger) -> None:
    (tmp_path / "c.toml").write_text('[accounts.prices.claude-opus-5-5]\ninput = "3"\n')
    assert "USD at list prices\n" in usage(tmp_path, ledger).stdout
    assert "USD at list prices and your own\n" in usage(tmp_path, ledger, "--config", "c.toml").stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--by", "model,outcome"), "'outcome' is not one of key, team, person, model, hour, day, week, month"),
        (("--by", "day,hour"), "day and hour exclude each other"),
        (("--by", "tag:"), "'tag:' is not one of"),
        (("--where", "key"), "'key' is not NAME=VALUE"),
        (("--where", "key= ,"), "'key= ,' is not NAME=VALUE"),
        (("--where", "outcome=ok"), "'outcome' is not one of key, team, person, model and tag:NAME"),
        (("--last", "30d", "--period", "today"), "--last and --period exclude each other"),
        (("--last", "2026-11"), "'2026-11' is not a time such as 24h, 30d or 4w; --period takes names and dates"),
        (("--last", "0d"), "'0d' is not a period such as 30d, 24h"),
        (("--period", "november"), "'november' is not a period such as 30d, 24h"),
        (("exprt",), "unknown command 'exprt': did you mean `modelmux usage export`?"),
        (("--by", "key", "verify"), "options go after the command: `modelmux usage verify --by …`"),
    ],
)
def test_wrong_usage_is_said_with_what_is_right(tmp_path: Path, ledger: MemoryLedger, options: tuple[str, ...], message: str) -> None:  # fmt: skip  # noqa: E501
    result = usage(tmp_path, ledger, *options)
    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr
    assert ledger.usage_queries == []


@pytest.mark.parametrize("zone", ["Europe/Berlyn", "../etc/passwd", "", "\0", "Europe"])
def test_an_unknown_zone_is_an_error_with_a_remedy(tmp_path: Path, ledger: MemoryLedger, zone: str) -> None:
    result = usage(tmp_path, ledger, "--zone", zone or " ")
    assert (result.code, result.stdout) == (1, "")
    assert "is not a time zone of this machine\nhint: Name one such as Europe/Berlin." in result.stderr


def test_a_tag_that_is_not_added_up_is_said(tmp_path: Path, ledger: MemoryLedger) -> None:
    result = usage(tmp_path, ledger, "--by", "tag:env")
    assert "warning: usage is not added up by tag env: add it to accounts.tags, for rows to come" in result.stderr
    assert usage(tmp_path, ledger, "--by", "tag:env", "--where", "key=key_1", "--set", "accounts.tags=env").stderr == ""


def test_a_ledger_that_fails_is_an_error_and_is_closed(tmp_path: Path, ledger: MemoryLedger) -> None:
    ledger.failure = "/x/accounts.db: disk I/O error"
    result = usage(tmp_path, ledger)
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr == "error: the ledger cannot be used: /x/accounts.db: disk I/O error\n"
    assert not ledger.is_open


def test_a_question_that_no_ledger_answers_is_an_error(tmp_path: Path) -> None:
    class Limited(MemoryLedger):
        async def usage(self, query: UsageQuery, most: int | None = None) -> list[UsageRow]:
            raise ValueError("start is not on a quarter of an hour")

    result = usage(tmp_path, Limited(), "--period", "1970", "--zone", "Africa/Monrovia")
    assert (result.code, result.stdout) == (1, "")
    assert "error: the ledger cannot answer this: start is not on a quarter of an hour\nhint: " in result.stderr


def test_without_a_ledger_it_says_how_to_get_one(tmp_path: Path) -> None:
    result = run("usage", home=tmp_path)
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        f"error: there is no ledger at {tmp_path}/.local/state/modelmux/accounts.db\nhint: "
    )
    assert list(tmp_path.iterdir()) == []
    wrong = run("usage", "--set", "accounts.store=mysql://h/d", home=tmp_path)
    assert (wrong.code, wrong.stderr.count("error: accounts.store")) == (1, 1)


def test_a_database_that_cannot_be_reached_is_named_with_a_remedy(tmp_path: Path) -> None:
    pytest.importorskip("asyncpg", reason="the extra postgres is not installed")
    wrong = run("usage", "--set", "accounts.store=postgresql://u:canary@127.0.0.1:1/d", home=tmp_path)
    assert (wrong.code, wrong.stdout) == (1, "")
    assert "postgresql://127.0.0.1:1/d: cannot be reached" in wrong.stderr
    assert "check host and port of accounts.store" in wrong.stderr
    assert "canary" not in wrong.stderr


def test_what_clients_wrote_cannot_control_the_terminal(tmp_path: Path) -> None:
    ledger = MemoryLedger([entry(model="a\x1b[31m b")])
    line = usage(tmp_path, ledger, *MONTH).stdout.splitlines()[2]
    assert line.split()[0] == "a\\x1b[31m_b"


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0.0000"), (1, "<0.0001"), (-1, ">-0.0001"), (100_000, "0.0001"), (149_999, "0.0001"), (150_000, "0.0002"),
     (1_234_567_891_234, "1,234.5679"), (-1_500_000_000, "-1.5000"), (99_999, "<0.0001")],
)  # fmt: skip
def test_amounts_for_people(nano: int, text: str) -> None:
    assert rounded(nano) == text


@settings(max_examples=30)
@given(ledgers())
def test_however_it_is_grouped_the_total_is_that_of_the_rows(entries: list[Any]) -> None:
    import asyncio

    expected = sum(each.cost.total for each in entries if each.cost is not None)
    for by in ((), ("key",), ("team", "model"), ("tag:app",)):
        query = UsageQuery(start=0, end=2**60, bucket="1d", group_by=by)
        answer = asyncio.run(MemoryLedger(entries).usage(query))
        assert total(query, answer).cost.total == expected, usd(expected)
    assert total(query, []) == UsageRow(start=0)
