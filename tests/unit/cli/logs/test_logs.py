"""``modelmux logs``: what it shows, and following across rotation and truncation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from modelmux.cli.logs.reader import Follower, last_lines
from modelmux.cli.main import main
from support.cli import check_snapshot, run

TODAY, YESTERDAY = "modelmux-2026-11-23.log", "modelmux-2026-11-22.log"


def line(event: str, level: str = "info", **fields: object) -> str:
    return json.dumps({"event": event, "level": level, "timestamp": "2026-11-23T06:52:08.123456Z", **fields}) + "\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "MODELMUX_LOG_DIR", "MODELMUX_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / ".local/state/modelmux"
    directory.mkdir(parents=True)
    return directory


def used(**fields: object) -> str:
    """The line of a request that read a prompt of 1,000 tokens."""
    tokens = {"input_tokens": 90, "cache_read_tokens": 900, "cache_write_tokens": 10, "output_tokens": 100}
    return line("request", model="claude-sonnet-4-6", deployment="claude-sonnet-4-6@global", **tokens, **fields)


def logs(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["logs", *arguments])


def test_it_shows_directory_files_and_lines_for_people(home: Path) -> None:
    (home / YESTERDAY).write_text(line("old"))
    (home / TODAY).write_text(
        line("request", status=200, route="claude opus", none=None) + "not json \x1b[31m\n" + line("failed", "error")
    )
    result = logs()
    assert result.exit_code == 0
    assert result.stdout == (
        f"{home}\n"
        f"  {TODAY}       232 B\n"
        f"  {YESTERDAY}        78 B\n"
        "\n"
        "2026-11-23 06:52:08Z info    old\n"
        '2026-11-23 06:52:08Z info    request  status=200 route="claude opus" none=null\n'
        "not json \\x1b[31m\n"
        "2026-11-23 06:52:08Z error   failed\n"
    )


def test_a_forged_line_break_or_escape_in_a_value_is_shown_as_text(home: Path) -> None:
    (home / TODAY).write_text(line("x", message="a\nb\x1b[2J"))
    assert logs().stdout.splitlines()[-1].endswith("message=a\\nb\\x1b[2J")


def test_the_last_lines_reach_back_over_files_and_the_level_counts_before_the_number(home: Path) -> None:
    (home / YESTERDAY).write_text(line("e1", "error") + line("e2", "error") + line("i1"))
    (home / TODAY).write_text(line("i2") + line("w1", "warning") + line("i3"))
    shown = logs("-n", "2", "--level", "warn", "--json").stdout.splitlines()
    assert [json.loads(text)["event"] for text in shown] == ["e2", "w1"]
    assert logs("-n", "0", "--json").stdout == ""


def test_json_is_json_even_where_the_file_is_not(home: Path) -> None:
    (home / TODAY).write_text("half a li\n" + line("x"))
    first, second = (json.loads(text) for text in logs("--json").stdout.splitlines())
    assert first == {"unparsed": "half a li"}
    assert second["event"] == "x"


def test_without_files_it_says_what_to_do(home: Path) -> None:
    result = logs()
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: there are no log files in {home}\nhint: `modelmux serve` writes them.")
    assert "logs.file = false turns them off" in logs("--set", "logs.file=false").stderr


def test_lines_longer_than_a_block_and_without_an_end_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / TODAY
    long = [str(i) * 70_000 for i in range(3)]
    path.write_text("\n".join(long))
    assert last_lines([path], 9, lambda _: True) == [text.encode() for text in long]
    assert last_lines([tmp_path / "gone"], 9, lambda _: True) == []


def test_following_gives_whole_lines_across_midnight(home: Path) -> None:
    old = home / YESTERDAY
    old.write_text("seen\n")
    follower = Follower(home)
    with old.open("a") as file:
        file.write("one\ntw")
    assert follower.poll() == [b"one"]
    with old.open("a") as file:
        file.write("o\nlast of the day\n")
    (home / TODAY).write_text("first of the day\n")
    assert follower.poll() == [b"two", b"last of the day", b"first of the day"]
    assert follower.poll() == []
    follower.close()


def test_following_survives_truncation_replacement_and_absence(home: Path) -> None:
    follower = Follower(home, from_start=True)
    assert follower.poll() == []
    path = home / TODAY
    path.write_text("one\ntwo\n")
    assert follower.poll() == [b"one", b"two"]
    path.write_text("3\n")
    assert follower.poll() == [b"3"]
    path.rename(home / "moved")
    assert follower.poll() == []
    path.write_text("four\n")
    assert follower.poll() == [b"four"]
    follower.close()


def test_following_ends_with_130_at_ctrl_c(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / TODAY).write_text(line("x"))

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("modelmux.cli.logs.reader.time.sleep", interrupt)
    monkeypatch.setattr(Follower.follow, "__defaults__", (interrupt,))
    result = logs("-f", "--json")
    assert result.exit_code == 130
    assert json.loads(result.stdout)["event"] == "x"
    assert result.stderr == ""


def test_where_there_are_no_log_files_it_says_why(tmp_path: Path) -> None:
    check_snapshot(
        "logs_none",
        run("logs", home=tmp_path),
        run("logs", "--set", "logs.file=false", home=tmp_path),
    )


def test_what_a_request_cost_and_read_from_the_cache_are_columns(home: Path) -> None:
    """3 USD a million of input, 0.30 of reads, 3.75 of writes, 15 of output; the second has no known price."""
    unknown = used(request_id="req_b").replace("claude-sonnet-4-6", "claude-nobody-knows")
    (home / TODAY).write_text(used(request_id="req_a") + unknown + line("request", status=401) + line("start"))
    shown = [one.partition("request  ")[2] for one in logs().stdout.splitlines() if " request " in one]
    assert [one[:18] for one in shown[:2]] == ["  $0.002077  90%  ", "          –  90%  "]
    assert [one[18:].split()[-1] for one in shown[:2]] == ["request_id=req_a", "request_id=req_b"]
    assert shown[2] == "status=401"


def test_the_cost_of_the_row_counts_where_the_line_has_it(home: Path) -> None:
    exact = used(request_id="exact", cost_usd="0.5", key_name="laptop")
    odd = used(request_id="odd", cost_usd="much") + used(request_id="number", cost_usd=0.5)
    (home / TODAY).write_text(exact + odd)
    shown = [one.partition("request  ")[2] for one in logs().stdout.splitlines() if " request " in one]
    assert [one[:11].strip() for one in shown] == ["$0.500000", "$0.002077", "$0.002077"]
    for filters in (("--min-cost", "0.4"), ("--key", "laptop")):
        lines = logs("--json", *filters).stdout.splitlines()
        assert [json.loads(one)["request_id"] for one in lines] == ["exact"], filters


def test_writes_for_an_hour_and_searches_cost_what_they_cost_in_the_ledger(home: Path) -> None:
    (home / TODAY).write_text(used(cache_write_1h_tokens=10, web_searches=1))
    assert "$0.012100" in logs().stdout  # 10 tokens at 6 USD a million in place of 3.75, and a search for a cent


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ((), ["ok", "failed", "gone", "refused", "early", "attempt", "text"]),
        (("--key", "key_a"), ["ok", "failed", "early"]),
        (("--team", "team_b"), ["ok"]),
        (("--team", "team_a"), ["ok", "failed"]),
        (("--team", "team"), []),
        (("--model", "FAST"), ["ok"]),
        (("--model", "claude-sonnet-4-6"), ["ok", "gone", "early"]),
        (("--failed",), ["failed", "refused", "early"]),
        (("--min-cost", "0.002"), ["ok", "gone"]),
        (("--min-cost", "0.01"), []),
        (("--min-cost", "0.002", "--key", "key_a"), ["ok"]),
        (("--failed", "--level", "error"), []),
    ],
)
def test_filters_leave_lines_of_requests_that_meet_all_of_them(
    home: Path, arguments: tuple[str, ...], shown: list[str]
) -> None:
    refused = line("request_refused", "warning", request_id="early", key="key_a", requested_model="Claude-Sonnet-4-6")
    (home / TODAY).write_text(
        used(request_id="ok", outcome="ok", key="key_a", team="team_a/team_b", route="fast")
        + line("request", request_id="failed", outcome="upstream_error", key="key_a", team="team_a", route="slow")
        + used(request_id="gone", outcome="client_gone", key="key_b")
        + line("request", request_id="refused", outcome="client_error", refused=True)
        + refused
        + line("attempt_failed", "warning", request_id="attempt")
        + "text\n"
    )
    result = logs("--json", *arguments)
    assert result.exit_code == 0
    lines = [json.loads(one) for one in result.stdout.splitlines()]
    assert [one.get("request_id", one.get("unparsed")) for one in lines] == shown


def test_the_number_of_lines_is_that_of_those_that_are_shown(home: Path) -> None:
    (home / YESTERDAY).write_text(used(request_id="old", outcome="ok", key="key_a"))
    (home / TODAY).write_text(used(request_id="other", outcome="ok", key="key_b") * 500)
    assert "request_id=old" in logs("-n", "1", "--key", "key_a").stdout


def test_an_amount_that_cannot_be_read_is_an_error(home: Path) -> None:
    (home / TODAY).write_text(used())
    result = logs("--min-cost", "much")
    assert result.exit_code == 1
    assert "--min-cost: 'much' is not an amount" in result.stderr
    assert "hint: Expected" in result.stderr


def test_an_amount_below_zero_is_an_error(home: Path) -> None:
    (home / TODAY).write_text(used())
    result = logs("--min-cost", "-0.5")
    assert result.exit_code == 1
    assert "--min-cost: -0.5 is below 0" in result.stderr
    assert logs("--min-cost", "0").exit_code == 0


@pytest.mark.parametrize("broken", [{"timestamp": "?"}, {"model": 7}, {"output_tokens": "many"}, {"deployment": None}])
def test_a_line_of_another_shape_is_shown_without_a_cost(home: Path, broken: dict[str, object]) -> None:
    (home / TODAY).write_text(json.dumps({**json.loads(used()), **broken}) + "\n")
    assert logs().exit_code == 0
    assert logs("--min-cost", "0", "--json").exit_code == 0
