"""Risk: a correction changes what was right, is written twice, or leaves the sum at other prices than today's."""

from __future__ import annotations

from datetime import UTC, date, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from modelmux.accounts.cost import Cost, TokenCounts, cost_of
from modelmux.accounts.counts import Round
from modelmux.accounts.entry import AttemptEntry, Entry, Kind
from modelmux.accounts.price_id import price_id
from modelmux.accounts.rerate import correction_id, has_models, is_rerated, rerate, unpriced_change
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.uuid7 import uuid7
from modelmux.catalog.prices import LongPrompt, Price, PriceList, Rates, rates_from_input
from support.directories import budget, directory_of

AT = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 1_000_000
MODEL = "claude-opus-5-5"
COUNTS = TokenCounts(input=1_001, cache_write=7, cache_write_1h=3, cache_read=501, output=333, web_searches=1)


def rates(input: int) -> Rates:
    """Of any amount: it need not be one that the file could have."""
    return Rates(
        input=input,
        output=5 * input,
        cache_write=input + 10,
        cache_write_1h=2 * input,
        cache_read=input // 10,
        web_search=10_000_000,
    )


def price_list(input: int, **fields: object) -> PriceList:
    return PriceList([Price(**{"model": MODEL, "rates": rates(input), "source": "test", **fields})])  # type: ignore[arg-type]


def entry(**fields: object) -> Entry:
    plain = {
        "id": uuid7(AT, bytes(8)),
        "at": AT,
        "model": MODEL,
        "location": "global",
        "deployment": "d",
        "counts": COUNTS,
    }
    return Entry(**{**plain, **fields})  # type: ignore[arg-type]


def charged(prices: PriceList, **fields: object) -> Entry:
    """A row as it was written at these prices."""
    row = entry(**fields)
    row_rates = prices.rates(MODEL, date(2026, 11, 20), row.location or "", row.counts.prompt)
    assert row_rates is not None
    return replace(row, cost=cost_of(row.counts, row_rates))


def corrected(row: Entry, corrections: list[Entry]) -> Cost:
    return sum((one.cost for one in [row, *corrections] if one.cost is not None), Cost())


def test_a_row_at_todays_prices_needs_no_correction() -> None:
    prices = price_list(4_000_000_000)
    assert rerate(charged(prices), [], prices) is None


def test_the_correction_is_the_difference_in_every_component() -> None:
    row = charged(
        price_list(4_000_000_000), key="key_1", team="a/b", tags=(("app", "x"),), person="p", hold=9, duration=5
    )
    made = rerate(row, [], price_list(2_000_000_000))
    assert made is not None
    assert made.cost == Cost(input=-2_002_000, cache_write=-14_000, cache_write_1h=-12_000, cache_read=-100_200,
                             output=-3_330_000)  # fmt: skip
    assert (made.kind, made.corrects, made.price) == ("rerate", row.id, f"{MODEL}/launch/global")
    assert (made.key, made.team, made.tags, made.person) == ("key_1", "a/b", (("app", "x"),), "p")
    assert (made.counts, made.hold, made.duration, made.attempts) == (TokenCounts(), 0, 0, ())
    assert made.at == row.at, "the cost belongs to the period of the request"
    assert made.id[:6] == row.id[:6]
    assert made.id != row.id
    assert made.reason == "the price changed"


def test_what_had_no_price_gets_one_even_if_that_is_zero() -> None:
    unknown = entry(cost=None, price=None)
    assert rerate(unknown, [], PriceList([])) is None
    made = rerate(unknown, [], price_list(4_000_000_000))
    assert made is not None
    assert made.reason == "the price was unknown"
    assert made.cost is not None
    assert made.cost.total == 4_004_000 + 7 * 4_000 + 24_000 + 200_400 + 6_660_000 + 10_000_000 + 0
    assert rerate(unknown, [made], price_list(4_000_000_000)) is None
    free = PriceList([Price(model=MODEL, rates=rates_from_input(0, web_search=0), source="fee")])
    nothing = rerate(unknown, [], free)
    assert nothing is not None
    assert nothing.cost == Cost()
    assert rerate(unknown, [nothing], free) is None


def test_the_price_is_that_of_the_day_the_location_and_the_size_of_the_prompt() -> None:
    early = Price(model=MODEL, rates=rates(1_000_000), source="t")
    late = Price(
        model=MODEL, rates=rates(3_000_000), source="t", from_date=date(2026, 11, 20),
        long_prompt=LongPrompt(1_000, rates(9_000_000)), regional_multiplier=Fraction("1.1"),
    )  # fmt: skip
    prices = PriceList([early, late])
    free = entry(cost=Cost(), counts=TokenCounts(input=1_000))
    for change, input in [
        ({}, 3_000), ({"location": "eu"}, 3_300), ({"counts": TokenCounts(input=2_000)}, 18_000),
        ({"at": AT - 86_400_000_000}, 1_000),
    ]:  # fmt: skip
        made = rerate(replace(free, **change), [], prices)
        assert made is not None
        assert made.cost == Cost(input=input), change


def test_each_attempt_has_the_price_of_its_own_prompt() -> None:
    prices = price_list(1_000_000, long_prompt=LongPrompt(1_000, rates(5_000_000)))
    half = TokenCounts(input=900)
    row = entry(
        cost=Cost(), counts=half + half, attempts=(AttemptEntry("d", "cut", half), AttemptEntry("d", "ok", half))
    )
    made = rerate(row, [], prices)
    assert made is not None
    assert made.cost == Cost(input=1_800)
    estimated = rerate(replace(row, counts=TokenCounts(input=1_801)), [], prices)
    assert estimated is not None
    assert estimated.cost == Cost(input=9_005), "the attempts are not all there is"


def test_each_attempt_has_the_price_of_its_own_model_and_location() -> None:
    """A request that failed over to another model, whether it was priced or not."""
    one, other = TokenCounts(input=1_000), TokenCounts(input=2_000)
    attempts = (
        AttemptEntry("e", "cut", one, model="claude-other", location="eu"),
        AttemptEntry("d", "ok", other, model=MODEL, location="global"),
    )
    prices = PriceList([
        Price(model=MODEL, rates=rates(1_000_000), source="t"),
        Price(model="claude-other", rates=rates(2_000_000), source="t", regional_multiplier=Fraction("1.1")),
    ])  # fmt: skip
    for cost in (None, Cost(input=5)):
        made = rerate(entry(cost=cost, counts=one + other, attempts=attempts), [], prices)
        assert made is not None
        assert made.cost == Cost(input=2_200 + 2_000 - (5 if cost else 0))
        assert made.price == f"{MODEL}/launch/global"
    half = rerate(entry(cost=None, counts=one + other, attempts=attempts), [], price_list(1_000_000))
    assert half is None, "the price of one of its models is unknown"


def test_a_row_whose_tokens_have_no_model_keeps_its_cost() -> None:
    """Rows of before attempts had models; and tokens that a correction added to a request of two models."""
    one, other = TokenCounts(input=1), TokenCounts(input=2)
    row = entry(
        cost=Cost(), counts=one + other, attempts=(AttemptEntry("e", "cut", one), AttemptEntry("d", "ok", other))
    )
    assert rerate(row, [], price_list(4_000_000_000)) is None
    assert not has_models(row)
    failed = replace(row, counts=other, attempts=(AttemptEntry("e", "overloaded"), AttemptEntry("d", "ok", other)))
    assert has_models(failed)
    assert rerate(failed, [], price_list(4_000_000_000)) is not None
    two = tuple(replace(attempt, model=f"m{attempt.deployment}") for attempt in row.attempts)
    assert rerate(replace(row, attempts=two, counts=TokenCounts(input=4)), [], price_list(4_000_000_000)) is None


def test_fast_mode_is_known_without_a_price() -> None:
    fast = (AttemptEntry("d", "ok", TokenCounts(input=1_000), model=MODEL, location="global", fast=True),)
    row = entry(cost=None, price=None, counts=TokenCounts(input=1_000), attempts=fast)
    made = rerate(row, [], price_list(4_000_000_000, fast_multiplier=Fraction(2)))
    assert made is not None
    assert made.cost == Cost(input=8_000_000)
    assert made.price == f"{MODEL}/launch/global/fast"
    assert rerate(row, [], price_list(4_000_000_000)) is None, "fast mode has no price"


def test_fast_mode_keeps_its_multiplier() -> None:
    prices = price_list(4_000_000_000, fast_multiplier=Fraction(2))
    row = entry(price=f"{MODEL}/launch/global/fast", cost=Cost(), counts=TokenCounts(input=1_000))
    made = rerate(row, [], prices)
    assert made is not None
    assert made.cost == Cost(input=8_000_000)
    assert made.price == row.price
    assert rerate(row, [], price_list(4_000_000_000)) is None, "fast mode has no price any more"


@pytest.mark.parametrize("kind", ["rerate", "void", "resolve"])
def test_only_requests_are_rerated(kind: Kind) -> None:
    row = entry(cost=Cost(), kind=kind, corrects=bytes(16))
    assert not is_rerated(row)
    assert rerate(row, [], price_list(4_000_000_000)) is None
    assert is_rerated(entry())
    assert is_rerated(entry(kind="in_doubt"))
    assert not is_rerated(entry(kind="in_doubt", corrects=bytes(16)))


def test_a_request_counts_as_unpriced_until_it_is_corrected() -> None:
    unknown = entry(cost=None)
    made = rerate(unknown, [], price_list(1_000))
    assert made is not None
    again = rerate(unknown, [made], price_list(2_000))
    assert again is not None
    assert [unpriced_change(one) for one in (entry(), unknown, made, again)] == [0, 1, -1, 0]


def test_what_was_taken_back_stays_taken_back() -> None:
    row = charged(price_list(4_000_000_000))
    assert row.cost is not None
    void = entry(kind="void", corrects=row.id, id=bytes(16), cost=-row.cost, counts=TokenCounts())
    assert rerate(row, [void], price_list(1_000_000)) is None


def test_a_row_without_a_model_or_tokens_keeps_its_cost() -> None:
    assert rerate(entry(model=None, cost=None), [], price_list(4_000_000_000)) is None
    assert rerate(entry(counts=TokenCounts()), [], price_list(4_000_000_000)) is None


def test_tokens_that_a_correction_added_are_priced_too() -> None:
    row = entry(kind="in_doubt", counts=TokenCounts(input=1_000), cost=Cost(input=5_000))
    less = entry(kind="resolve", corrects=row.id, id=bytes(16), counts=TokenCounts(input=-400), cost=Cost(input=-2_000))
    made = rerate(row, [less], price_list(1_000_000))
    assert made is not None
    assert made.cost == Cost(input=600 - 3_000)


def test_a32_g42_budgets_in_usd_are_charged_the_difference_and_no_others() -> None:
    windows = {id: WindowKey(id, "", 0) for id in ("bud_usd", "bud_tokens", "bud_model", "bud_other", "bud_gone")}
    directory = directory_of(
        budget("bud_usd", "usd"), budget("bud_tokens", "tokens", unit="tokens"), budget("bud_model", "m", model=MODEL),
        budget("bud_other", "other", model="claude-haiku-*"),
    )  # fmt: skip
    half = TokenCounts(input=500)
    row = entry(
        counts=half + half, cost=Cost(input=900), debits=tuple((key, 900) for key in windows.values()),
        attempts=(AttemptEntry("e", "cut", half, model="claude-haiku-5-5", location="global"),
                  AttemptEntry("d", "ok", half, model=MODEL, location="global")),
    )  # fmt: skip
    prices = PriceList([
        Price(model=MODEL, rates=rates(3_000_000), source="t"),
        Price(model="claude-haiku-5-5", rates=rates(1_000_000), source="t"),
    ])  # fmt: skip
    made = rerate(row, [], prices, directory)
    assert made is not None
    assert made.cost == Cost(input=1_100)
    assert dict(made.debits) == {windows["bud_usd"]: 1_100, windows["bud_model"]: 600, windows["bud_other"]: -400}
    models = (MODEL, "claude-haiku-5-5")
    same = PriceList([Price(model=one, rates=rates(1_000_000), source="t") for one in models])
    again = rerate(row, [made], same, directory)
    assert again is not None
    assert dict(again.debits) == {windows["bud_usd"]: -1_000, windows["bud_model"]: -1_000}
    assert rerate(row, [], prices).debits == (), "budgets that are not known stay as they are"  # type: ignore[union-attr]


@pytest.mark.parametrize(("counts", "kept"), [(TokenCounts(), True), (TokenCounts(input=-1_000), True),
                                              (TokenCounts(input=-400), False)])  # fmt: skip
def test_what_a_person_said_that_it_cost_stays(counts: TokenCounts, kept: bool) -> None:
    row = entry(kind="in_doubt", counts=TokenCounts(input=1_000), cost=Cost(input=5_000))
    said = entry(kind="resolve", corrects=row.id, id=bytes(16), counts=counts, cost=Cost(input=-2_000))
    assert (rerate(row, [said], price_list(1_000_000)) is None) == kept


def test_a_stated_cost_counts_as_a_first_price_where_there_was_none() -> None:
    said = entry(kind="resolve", corrects=bytes(16), reason="the price was unknown: it was free")
    assert [unpriced_change(one) for one in (said, replace(said, reason="it was free"))] == [-1, 0]


counts = st.builds(TokenCounts, **{name: st.integers(0, 2_000_000) for name in TokenCounts.__struct_fields__})


@given(counts, st.lists(st.integers(0, 20 * 10**9), min_size=1, max_size=5), st.booleans())
def test_the_sum_is_todays_cost_and_a_second_run_adds_nothing(
    tokens: TokenCounts, lists: list[int], known: bool
) -> None:
    row = entry(counts=tokens, cost=None) if not known else charged(price_list(1_234_567_890), counts=tokens)
    corrections: list[Entry] = []
    for input in lists:
        made = rerate(row, corrections, price_list(input))
        corrections += [made] if made is not None else []
        assert corrected(row, corrections) == cost_of(tokens, rates(input))
        assert rerate(row, corrections, price_list(input)) is None
    ids = {one.id for one in [row, *corrections]}
    assert len(ids) == 1 + len(corrections)


def test_two_runs_at_once_write_the_same_row() -> None:
    row = charged(price_list(4_000_000_000))
    assert rerate(row, [], price_list(1)) == rerate(row, [], price_list(1))
    assert correction_id(row, 0) != correction_id(row, 1)
    other = rerate(row, [], price_list(1), new_id=lambda corrected, number: bytes([number]) * 16)
    assert other is not None
    assert other.id == bytes(16)


def test_the_id_of_a_price() -> None:
    (price,) = price_list(1, from_date=date(2026, 10, 7)).prices
    assert price_id(price, "eu") == f"{MODEL}/2026-10-07/regional"
    assert price_id(price, "global", fast=True) == f"{MODEL}/2026-10-07/global/fast"


def test_each_round_of_an_attempt_has_the_price_of_its_own_prompt_and_model() -> None:
    long = LongPrompt(1_000, rates(5_000_000))
    other = Price(model="claude-other", rates=rates(2_000_000), source="t")
    prices = PriceList([Price(model=MODEL, rates=rates(1_000_000), long_prompt=long, source="t"), other])
    rounds = (Round(TokenCounts(input=900)), Round(TokenCounts(input=800), "claude-other"))
    total = TokenCounts(input=1_700)
    attempt = AttemptEntry("d", "ok", total, model=MODEL, location="global", rounds=rounds)
    made = rerate(entry(cost=None, counts=total, attempts=(attempt,)), [], prices)
    assert made is not None
    assert made.cost == Cost(input=900 + 1_600), "together, the prompts would be long"
