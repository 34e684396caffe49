"""Risk: a request with a wrong key is served, two callers share what is remembered, one caller is taken for two."""

from __future__ import annotations

import hmac
from hashlib import sha256
from itertools import permutations
from typing import Any

import pytest

from modelmux.config import Config, ConfigError
from modelmux.errors import Unauthorized
from modelmux.server.auth import ApiKeys, is_loopback

ONE, TWO = "sk-modelmux-first", "sk-modelmux-second"
Header = tuple[bytes, bytes]


def bearer(key: str) -> Header:
    return b"authorization", f"Bearer {key}".encode()


def api_key(key: str) -> Header:
    return b"x-api-key", key.encode()


def owner(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def test_without_keys_every_caller_is_anonymous() -> None:
    keys = ApiKeys([])
    assert not keys
    for headers in ([], [bearer(ONE)], [api_key("anything")]):
        assert keys.authenticate(headers).owner == "anonymous"


@pytest.mark.parametrize(
    "headers",
    [
        [bearer(ONE)], [api_key(ONE)], [bearer(ONE), api_key(ONE)], [bearer("wrong"), api_key(ONE)],
        [bearer(ONE), api_key("wrong")], [(b"authorization", b"Basic dXNlcg=="), api_key(ONE)],
        [(b"authorization", b"bearer   " + ONE.encode() + b" ")], [bearer("wrong"), bearer(ONE)],
    ],
)  # fmt: skip
def test_the_owner_is_the_digest_of_the_accepted_key(headers: list[Header]) -> None:
    """One valid key is enough, wherever it is, whatever else is sent; the same key is one owner."""
    keys = ApiKeys([TWO, ONE])
    for _ in range(2):  # the second time from what is remembered
        for order in permutations([(b"host", b"h"), *headers]):
            assert keys.authenticate(list(order)).owner == owner(ONE)


def test_two_keys_are_two_owners_and_a_client_that_sends_both_is_one() -> None:
    for remembered in ([], [[bearer(TWO)]], [[api_key(TWO)]], [[api_key(ONE)], [bearer(TWO)]]):
        keys = ApiKeys([ONE, TWO])
        for headers in remembered:
            keys.authenticate(headers)
        assert keys.authenticate([bearer(ONE)]).owner != keys.authenticate([bearer(TWO)]).owner
        assert keys.authenticate([bearer(ONE), api_key(TWO)]).owner == owner(ONE)
        assert keys.authenticate([api_key(TWO), bearer(ONE)]).owner == owner(ONE)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([], "No API key was sent."),
        ([(b"authorization", b"Bearer ")], "No API key was sent."),
        ([(b"authorization", b"Basic " + ONE.encode())], "No API key was sent."),
        ([(b"x-api-key", b"  ")], "No API key was sent."),
        ([bearer("wrong")], "The API key in the header 'Authorization' is not valid here."),
        ([api_key("wrong")], "The API key in the header 'x-api-key' is not valid here."),
        ([bearer("wrong"), api_key("wrong")], "The API key in the header 'Authorization' is not valid here."),
        ([(b"cookie", ONE.encode())], "No API key was sent."),
    ],
)
def test_without_a_valid_key_nothing_is_served(headers: list[Header], message: str) -> None:
    keys = ApiKeys([ONE])
    for _ in range(2):
        with pytest.raises(Unauthorized) as caught:
            keys.authenticate(headers)
        assert caught.value.message == message
        assert "wrong" not in caught.value.public_message


def test_keys_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key is compared with hmac.compare_digest, also after one has matched."""
    compared: list[Any] = []
    real = hmac.compare_digest

    def spy(a: Any, b: Any) -> bool:
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    ApiKeys([ONE, TWO]).authenticate([api_key(ONE)])
    assert len(compared) == 2
    assert all(len(a) == len(b) == 32 for a, b in compared)


def test_what_is_remembered_is_bounded() -> None:
    keys = ApiKeys([ONE])
    for spaces in range(2000):
        keys.authenticate([(b"x-api-key", b" " * spaces + ONE.encode())])
    assert len(keys._accepted) <= 1024


def test_neither_keys_nor_wrong_ones_are_stored() -> None:
    keys = ApiKeys([ONE])
    with pytest.raises(Unauthorized):
        keys.authenticate([bearer("wrong")])
    assert ONE not in repr(vars(keys))
    assert "wrong" not in repr(vars(keys))


def test_keys_that_are_publicly_known_are_rejected() -> None:
    with pytest.raises(ConfigError):
        ApiKeys(["changeme"])


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("localhost", True), ("LOCALHOST", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("gateway.internal", False), ("", False)],
)  # fmt: skip
def test_loopback_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("token", ["token-of-the-owner", "mmx-admin-of-another-gateway"])
def test_a_token_of_the_admin_api_is_no_key_and_its_holder_is_told(token: str) -> None:
    config = Config.from_dict({"server": {"api_keys": [ONE]}, "admin": {"token": "token-of-the-owner"}})
    for header in (bearer(token), api_key(token)):
        with pytest.raises(Unauthorized, match="a token of the admin API, which is not a key for models"):
            ApiKeys.of(config).authenticate([header])
