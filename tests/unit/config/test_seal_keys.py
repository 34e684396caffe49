"""Risk: a key that is not secret, or a key that a message shows."""

from __future__ import annotations

import random

import pytest

from modelmux.config import ConfigError
from modelmux.config.seal_keys import read_seal_keys


def hexadecimal(size: int) -> str:
    return random.Random(size).randbytes(size).hex()


GOOD = hexadecimal(64)


def test_keys_of_both_sizes_are_read_in_order() -> None:
    short = hexadecimal(32)
    assert read_seal_keys([GOOD, f" {short.upper()}\n"]) == (bytes.fromhex(GOOD), bytes.fromhex(short))
    assert read_seal_keys([]) == ()


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "has 64 or 128 hexadecimal digits"),
        (hexadecimal(16), "has 64 or 128 hexadecimal digits"),
        (hexadecimal(48), "has 64 or 128 hexadecimal digits"),
        (hexadecimal(31) + "zz", "has 64 or 128 hexadecimal digits"),
        ("０" * 64, "has 64 or 128 hexadecimal digits"),
        ("0" * 64, "it is not random"),
        ("0123" * 32, "it is not random"),
    ],
)
def test_what_is_no_key_is_named_by_its_position_and_not_shown(key: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_seal_keys([GOOD, key])
    (message,) = caught.value.problems
    assert message.startswith("server.seal_keys[1]: ")
    assert problem in message
    assert "openssl rand -hex 64" in (caught.value.hint or "")
    assert not key or key not in str(caught.value)
    assert GOOD not in str(caught.value)
