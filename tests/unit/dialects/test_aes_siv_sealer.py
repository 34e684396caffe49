"""Risk: sealed content that another owner can use, that a client can forge, or that is lost when a key is replaced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.dialects.aes_siv_sealer import AesSivSealer

OLD, NEW, OTHER = b"o" * 32, bytes(range(64)), b"x" * 64


@given(st.binary(max_size=2000), st.binary(max_size=50))
def test_what_was_sealed_comes_back(data: bytes, context: bytes) -> None:
    sealer = AesSivSealer([NEW])
    sealed = sealer.seal(data, context)
    assert sealer.open(sealed, context) == data
    assert len(data) < 8 or data not in sealed


def test_the_same_data_seals_to_the_same_bytes_on_every_worker() -> None:
    assert AesSivSealer([NEW]).seal(b"data", b"ann") == AesSivSealer([NEW, OLD]).seal(b"data", b"ann")


def test_a_known_answer() -> None:
    """RFC 5297, A.1: one component of associated data."""
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    context = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    sealed = AesSivSealer([key]).seal(bytes.fromhex("112233445566778899aabbccddee"), context)
    assert sealed.hex() == "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"


@given(st.data())
def test_a_single_changed_bit_is_foreign(data: st.DataObject) -> None:
    sealer = AesSivSealer([NEW])
    sealed = bytearray(sealer.seal(b"signed thinking", b"ann"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert sealer.open(bytes(sealed), b"ann") is None


def test_another_context_is_foreign() -> None:
    sealer = AesSivSealer([NEW])
    assert sealer.open(sealer.seal(b"data", b"ann"), b"bob") is None


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17])
def test_anything_else_is_foreign(length: int) -> None:
    assert AesSivSealer([NEW, OLD]).open(b"\0" * length, b"ann") is None


def test_the_first_key_seals_and_all_open() -> None:
    before, during, after = AesSivSealer([OLD]), AesSivSealer([NEW, OLD]), AesSivSealer([NEW])
    assert during.open(before.seal(b"data", b"ann"), b"ann") == b"data"
    assert after.open(during.seal(b"data", b"ann"), b"ann") == b"data"
    assert after.open(before.seal(b"data", b"ann"), b"ann") is None


@pytest.mark.parametrize("keys", [[], [b""], [NEW, b"short"], [b"4" * 48]])
def test_keys_of_another_size_are_rejected(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 or 64 bytes"):
        AesSivSealer(keys)
