"""Risk: two rows get one id, or rows sort differently as bytes, as text and by time."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.accounts.uuid7 import STEP_BACK, Uuid7s, format_id, parse_id, uuid7

TIMES = st.integers(0, 2**48 * 1000 - 1)
RANDOM = st.binary(min_size=10, max_size=10)
IDS = st.binary(min_size=16, max_size=16)


@given(TIMES, RANDOM)
def test_it_is_a_uuid_of_version_7_with_its_time(at: int, random: bytes) -> None:
    made = uuid.UUID(bytes=uuid7(at, random))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == at // 1000


@given(TIMES, RANDOM, TIMES, RANDOM)
def test_they_sort_by_time_to_the_microsecond(one: int, random: bytes, other: int, others: bytes) -> None:
    if one < other:
        assert uuid7(one, random) < uuid7(other, others)


@given(TIMES, RANDOM, RANDOM)
def test_random_bits_tell_ids_of_one_moment_apart(at: int, one: bytes, other: bytes) -> None:
    kept = int.from_bytes(one) & (2**62 - 1), int.from_bytes(other) & (2**62 - 1)
    assert (uuid7(at, one) == uuid7(at, other)) == (kept[0] == kept[1])


@pytest.mark.parametrize("at", [-1, 2**48 * 1000])
def test_a_time_that_does_not_fit_is_an_error(at: int) -> None:
    with pytest.raises(ValueError, match="microseconds"):
        uuid7(at, bytes(10))


@given(st.lists(st.integers(1_790_000_000_000_000, 1_790_000_000_000_050), min_size=2, max_size=300))
def test_those_of_one_process_rise_although_its_clock_does_not(times: list[int]) -> None:
    ids = Uuid7s(bytes)
    made = [ids.new(at) for at in times]
    assert made == sorted(set(made))


def test_a_clock_that_was_far_ahead_does_not_decide_for_ever() -> None:
    ids, now = Uuid7s(bytes), 1_790_000_000_000_000
    ids.new(now + STEP_BACK + 1_000)
    assert int.from_bytes(ids.new(now)[:6]) == now // 1000


@given(IDS)
def test_text_leads_back_to_the_bytes(id: bytes) -> None:
    text = format_id(id)
    assert len(text) == 4 + 26
    assert text == text.lower()
    assert parse_id(text) == id
    assert parse_id(text.upper()) == id


@given(IDS, IDS)
def test_text_and_bytes_sort_alike(one: bytes, other: bytes) -> None:
    assert (one < other) == (format_id(one) < format_id(other))


def test_letters_that_people_confuse_are_taken() -> None:
    assert (
        parse_id("req_0000000000000000000000001o")
        == parse_id("req_000000000000000000000000l0")
        == bytes([0] * 15 + [32])
    )


@pytest.mark.parametrize(
    "text",
    ["", "req_", "key_00000000000000000000000000", "00000000000000000000000000", "req_0000000000000000000000000",
     "req_000000000000000000000000000", "req_0000000000000000000000000u", "req_80000000000000000000000000",
     "req_0000000000000000000000000é"],
)  # fmt: skip
def test_what_is_not_an_id_is_an_error_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as req_0"):
        parse_id(text)


def test_other_kinds_have_other_prefixes() -> None:
    assert format_id(bytes(16), "key_") == "key_" + 26 * "0"
    assert parse_id("key_" + 26 * "0", "key_") == bytes(16)
