"""Risk: an operator's own price is read inexactly, applied to another model, or scaled by what it does not name."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from modelmux import Config, ConfigError
from modelmux.app import Gateway
from modelmux.catalog import builtin_prices
from modelmux.catalog.prices import usd
from support.fakes import FakeTokens, FakeUpstream

DAY = date(2026, 12, 1)
HERE = {"project": "p", "location": "global"}


def rates(prices: dict[str, Any], model: str, location: str = "global", **request: Any) -> str | None:
    found = Config.from_dict({"accounts": {"prices": prices}}).build_prices().rates(model, DAY, location, **request)
    if found is None:
        return None
    return " ".join(usd(getattr(found, n)) for n in ("input", "output", "cache_write", "cache_write_1h", "cache_read"))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"input": "3"}, "3 15 3.75 6 0.3"),
        ({"input": 3, "output": 12}, "3 12 3.75 6 0.3"),
        ({"input": "0"}, "0 0 0 0 0"),
        ({"input": "2.5", "cache_write": "1", "cache_write_1h": "2", "cache_read": "0.0625"}, "2.5 12.5 1 2 0.0625"),
    ],
)
def test_what_is_left_out_follows_from_the_price_of_input(entry: dict[str, Any], expected: str) -> None:
    assert rates({"claude-opus-5-5": entry}, "claude-opus-5-5") == expected


def test_no_multiplier_applies_unless_it_is_named() -> None:
    entry = {"input": "3"}
    for request in ({"batch": True}, {"fast": True}, {"prompt_tokens": 10**6}):
        assert rates({"claude-fable-5-2": entry}, "claude-fable-5-2", "eu", **request) == "3 15 3.75 6 0.3"
    assert rates({"claude-opus-5-5": entry}, "claude-opus-5-5", fast=True) is None, "fast mode is not offered"
    regional = {**entry, "regional_multiplier": "1.25"}
    assert rates({"claude-opus-5-5": regional}, "claude-opus-5-5", "eu") == "3.75 18.75 4.6875 7.5 0.375"
    assert rates({"claude-opus-5-5": regional}, "claude-opus-5-5") == "3 15 3.75 6 0.3"


def test_web_searches_have_their_own_price() -> None:
    def search(**fields: Any) -> int:
        prices = Config.from_dict({"accounts": {"prices": {"claude-opus-5": {"input": "0", **fields}}}}).build_prices()
        found = prices.rates("claude-opus-5", DAY)
        assert found is not None
        return found.web_search

    assert (search(), search(web_search=0), search(web_search="14")) == (10_000_000, 0, 14_000_000)


@pytest.mark.parametrize("name", ["claude-haiku-4-5", "claude-haiku-4-5@20251001", "Claude-Haiku-4-5-20251001"])
def test_any_name_of_the_model(name: str) -> None:
    for asked in ("claude-haiku-4-5", "claude-haiku-4-5@20251001"):
        assert rates({name: {"input": "3"}}, asked) == "3 15 3.75 6 0.3"


def test_a_name_stands_for_all_prices_of_that_model() -> None:
    prices = {"claude-next": "claude-haiku-5-5", "claude-sonnet-9": "claude-sonnet-5-5"}
    assert rates(prices, "claude-next") == "0.1 0.5 0.125 0.2 0.01"
    assert rates(prices, "claude-next", "eu", prompt_tokens=100_001) == "0.55 2.75 0.6875 1.1 0.055"
    assert rates(prices, "claude-sonnet-9") == "2 10 2.5 4 0.1"
    assert rates({}, "claude-next") is None


def test_nothing_configured_changes_nothing() -> None:
    assert Config().build_prices() is builtin_prices()


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"m": {"input": "x", "cache_read": "-1"}},
     ["accounts.prices.m.input: 'x' is not an amount such as \"0.25\", with at most four decimals",
      "accounts.prices.m.cache_read: '-1' is not an amount such as \"0.25\", with at most four decimals"]),
    ({"m": {"input": -3, "regional_multiplier": "1.0001"}},
     ["accounts.prices.m.input: '-3' is not an amount such as \"0.25\", with at most four decimals",
      ("accounts.prices.m.regional_multiplier: '1.0001' is not a multiplier such as \"1.1\", with at most three "
       "decimals")]),
    ({"m": "n"}, ["accounts.prices.m: the price of 'n' is not known"]),
]  # fmt: skip


@pytest.mark.parametrize(("prices", "problems"), WRONG)
def test_what_is_wrong_is_reported_all_at_once_and_before_anything_is_served(
    prices: dict[str, Any], problems: list[str]
) -> None:
    config = Config.from_dict({"accounts": {"prices": prices}, "vertex": HERE})
    with pytest.raises(ConfigError) as caught:
        config.build_prices()
    assert caught.value.problems == problems
    with pytest.raises(ConfigError):
        Gateway(config, upstream=FakeUpstream([]), tokens=FakeTokens(), environment={})


@pytest.mark.parametrize("entry", [{"input": 0.5}, {}, {"input": "1", "price": "2"}, 3])
def test_what_does_not_fit_the_schema_is_refused(entry: Any) -> None:
    with pytest.raises(ConfigError, match=r"accounts\.prices\.m"):
        Config.from_dict({"accounts": {"prices": {"m": entry}}})


def test_models_without_a_price_may_have_that_of_another() -> None:
    def input_of(model: str, **accounts: Any) -> str | None:
        found = Config.from_dict({"accounts": accounts}).build_prices().rates(model, DAY)
        return None if found is None else usd(found.input)

    for unknown_price in ("refuse", "ledger_only"):
        assert input_of("claude-next", unknown_price=unknown_price) is None
    assert input_of("claude-next", unknown_price="like:claude-opus-5-5") == "4"
    assert input_of("claude-sonnet-5", unknown_price="like:claude-opus-5-5") == "2", "it has its own"
    own = {"prices": {"mine": {"input": "7"}}, "unknown_price": "like:mine"}
    assert (input_of("claude-next", **own), input_of("mine", **own)) == ("7", "7")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("like:claude-nxt", "the price of 'claude-nxt' is not known"),
        ("like:", "the price of '' is not known"),
        ("like", "'like' is none of refuse, ledger_only, like:MODEL"),
        ("refuse:x", "'refuse:x' is none of refuse, ledger_only, like:MODEL"),
    ],
)
@pytest.mark.parametrize("enabled", [True, False])
def test_a_choice_for_unknown_prices_that_cannot_be_used_is_an_error_with_a_remedy(
    value: str, problem: str, enabled: bool, tmp_path: Path
) -> None:
    accounts = {"unknown_price": value, "enabled": enabled, "store": f"sqlite:{tmp_path}/a.db"}
    config = Config.from_dict({"accounts": accounts, "vertex": HERE, "server": {"state_dir": str(tmp_path)}})
    with pytest.raises(ConfigError) as caught:
        Gateway(config, upstream=FakeUpstream([]), tokens=FakeTokens(), environment={})
    assert caught.value.problems == [f"accounts.unknown_price: {problem}"]
    assert "like:claude-opus-5-5" in (caught.value.hint or "")
