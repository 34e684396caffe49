"""Risk: a mistyped secret, or one of the other kind, costs a look-up or is taken; a random string passes."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.accounts.secret_format import ADMIN_PREFIX, KEY_PREFIX, PATTERN, hint_of, is_secret, new_secret

SECRET = new_secret(lambda count: bytes(range(count)))


def test_a_secret_is_recognized() -> None:
    assert is_secret(SECRET)
    assert len(SECRET) == len(KEY_PREFIX) + 43 + 6
    assert re.fullmatch(PATTERN, SECRET)
    assert hint_of(SECRET) == f"{SECRET[:11]}...{SECRET[-4:]}"


@pytest.mark.parametrize("position", range(len(SECRET)))
def test_one_wrong_character_is_noticed(position: int) -> None:
    other = "1" if SECRET[position] != "1" else "2"
    assert not is_secret(SECRET[:position] + other + SECRET[position + 1 :])


def test_tokens_of_the_admin_api_are_not_keys() -> None:
    token = new_secret(os.urandom, ADMIN_PREFIX)
    assert is_secret(token, ADMIN_PREFIX)
    assert not is_secret(token)
    assert not is_secret(SECRET, ADMIN_PREFIX)


@given(st.binary(min_size=32, max_size=32))
def test_every_random_number_makes_another_secret(random: bytes) -> None:
    secret = new_secret(lambda _: random)
    assert is_secret(secret)
    assert (secret == SECRET) == (random == bytes(range(32)))


@given(st.text() | st.from_regex(PATTERN, fullmatch=True))
def test_no_other_text_is_a_secret(text: str) -> None:
    assert not is_secret(text)


@pytest.mark.parametrize(
    "text", ["", KEY_PREFIX, SECRET + "\n", " " + SECRET, SECRET[:-1], SECRET + "0", SECRET.lower()]
)
def test_what_is_nearly_a_secret_is_not(text: str) -> None:
    assert not is_secret(text)
