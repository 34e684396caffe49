"""Risk: an assertion that Google's proxy did not sign, or signed for another service or another time, names a person;
keys are asked for with every forged id; an endpoint that is down lets people in, or locks them out for good.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from modelmux.admin.errors import SigningKeysUnavailable
from modelmux.admin.iap import email_of, key_id, read_keys
from modelmux.admin.iap_keys import KEEP, REFRESH_AFTER, KeysNotFetched, SigningKeys
from modelmux.errors import Unauthorized
from support.iap import (
    AUDIENCE,
    assertion,
    claims,
    encoded,
    jwk,
    public_pem,
    signed_by_public_key,
    unsigned,
)

NOW = 1_800_000_000.0
PEM = public_pem("one").decode()


def email(text: str, key: str = PEM, now: float = NOW) -> str:
    return email_of(text, key, AUDIENCE, now)


def refusal(text: str, **options: Any) -> Unauthorized:
    with pytest.raises(Unauthorized) as refused:
        email(text, **options)
    assert refused.value.code == "assertion_not_valid"
    assert "admin.iap_audience" in str(refused.value.hint)
    return refused.value


def test_an_assertion_names_its_person() -> None:
    text = assertion(claims(NOW))
    assert key_id(text) == "one"
    assert email(text) == "own@example.com"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"aud": "/projects/123/global/backendServices/457"}, "another service"),
        ({"aud": [AUDIENCE]}, "another service"),
        ({"aud": None}, "another service"),
        ({"iss": "https://accounts.google.com"}, "not issued"),
        ({"iss": None}, "not issued"),
        ({"exp": None}, "changed"),
        ({"iat": None}, "changed"),
        ({"exp": True}, "no times"),
        ({"exp": float("inf")}, "no times"),
        ({"iat": "now"}, "changed"),
        ({"exp": 10**400}, "no times"),
        ({"exp": float("nan")}, "no times"),
        ({"exp": 10**12}, "no times"),
        ({"iat": -(10**400)}, "no times"),
        ({"iat": 10**400}, "changed"),
        ({"exp": 10**400, "iat": NOW - 0.5}, "no times"),
        ({"exp": NOW + 661}, "longer than ten minutes"),
        ({"iat": NOW - 700, "exp": NOW - 10}, "longer than ten minutes"),
        ({"gcip": {"email_verified": True}}, "external identity"),
        ({"exp": NOW - 30}, "expired"),
        ({"iat": NOW + 30.5}, "not valid yet"),
        ({"email": None}, "no e-mail"),
        ({"email": ["own@example.com"]}, "no e-mail"),
    ],
)
def test_a_claim_that_is_not_as_it_must_be(changes: dict[str, Any], says: str) -> None:
    assert says in refusal(assertion(claims(NOW, **changes))).message


def test_clocks_may_differ_by_thirty_seconds() -> None:
    assert email(assertion(claims(NOW, exp=NOW - 29))) == "own@example.com"
    assert email(assertion(claims(NOW, iat=NOW + 30))) == "own@example.com"
    assert email(assertion(claims(NOW, exp=NOW + 660))) == "own@example.com"


@pytest.mark.parametrize("alg", ["none", "None", "HS256", "RS256", "ES384", "", None, 5])
def test_the_algorithm_is_not_that_which_the_sender_chooses(alg: Any) -> None:
    assert "ES256" in refusal(assertion(claims(NOW), alg=alg)).message


def test_no_signature_and_the_public_key_as_a_secret() -> None:
    for header in ({"alg": "none", "kid": "one"}, {"alg": "ES256", "kid": "one"}):
        refusal(unsigned(claims(NOW), header) + ".")
    refusal(signed_by_public_key(claims(NOW), PEM.encode()))
    forged = signed_by_public_key(claims(NOW), PEM.encode()).split(".")
    head = unsigned({}, {"alg": "ES256", "kid": "one"}).split(".")[0]
    refusal(".".join([head, *forged[1:]]))


def test_what_was_changed_after_it_was_signed_or_is_signed_by_another_key() -> None:
    text = assertion(claims(NOW))
    head, payload, signature = text.split(".")
    other = assertion(claims(NOW, email="other@example.com")).split(".")
    refusal(f"{head}.{other[1]}.{signature}")
    refusal(f"{head}.{payload}.{other[2]}")
    refusal(f"{head}.{payload}.{signature[:-4]}")
    refusal(f"{head}.{payload}.{encoded(bytes(64))}")
    refusal(assertion(claims(NOW), "two"))  # by another key than the one that is compared
    refusal(text, key=public_pem("two").decode())


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b.c", "a.b", "a.b.c.d", "é.b.c", "e30.e30.", "bnVsbA.e30.", "W10.W10.W10", "x" * 20_000,
     "W1tb" * 3000 + ".e30.e30", unsigned({}, {"alg": "ES256"}) + ".e30",
     unsigned({}, {"alg": "ES256", "kid": ["one"]}) + ".e30"],
)  # fmt: skip
def test_what_is_no_assertion_at_all(text: str) -> None:
    with pytest.raises(Unauthorized):
        key_id(text)
    refusal(text)


def test_keys_are_read_from_a_set() -> None:
    others = [
        jwk("rsa") | {"kty": "RSA"}, jwk("curve") | {"crv": "P-384"}, jwk("alg") | {"alg": "ES384"},
        jwk("use") | {"use": "enc"}, jwk("no id") | {"kid": ""}, jwk("x") | {"x": 5}, "text",
    ]  # fmt: skip
    keys = read_keys(json.dumps({"keys": [*others, jwk("one"), jwk("two")]}).encode())
    assert keys == {"one": PEM, "two": public_pem("two").decode()}
    bare = {name: value for name, value in jwk("one").items() if name not in ("alg", "use")}
    assert read_keys(json.dumps({"keys": [bare]}).encode()) == {"one": PEM}


@pytest.mark.parametrize(
    "document",
    [[], {}, {"keys": {}}, {"keys": []}, {"keys": [jwk("one") | {"crv": "P-521"}]},
     {"keys": [jwk("one") | {"x": jwk("one")["y"]}]}, {"keys": [jwk("one") | {"x": "AAAA"}]},
     {"keys": [jwk("one") | {"x": "é"}]}],
)  # fmt: skip
def test_what_are_no_keys(document: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_keys(json.dumps(document).encode())


class Google:
    """:ivar keys: what is published; None while the endpoint is down. :ivar gate: replies wait for it."""

    def __init__(self) -> None:
        self.keys: Mapping[str, str] | None = {"one": PEM}
        self.now = 5.0
        self.fetches = 0
        self.failures: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.found = SigningKeys(self.fetch, lambda: self.now, self.failures.append)

    async def fetch(self) -> Mapping[str, str]:
        self.fetches += 1
        await self.gate.wait()
        if self.keys is None:
            raise KeysNotFetched("it answered with status 500")
        return self.keys

    async def in_background(self) -> None:
        """Until the fetch that runs is over."""
        while self.found._task is not None:  # noqa: ASYNC110 - it ends within a few turns of the loop
            await asyncio.sleep(0)


async def test_keys_are_fetched_once_for_all_who_wait() -> None:
    google = Google()
    google.gate.clear()
    asked = [asyncio.create_task(google.found.find("one")) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    google.gate.set()
    assert await asyncio.gather(*asked) == [PEM] * 50
    assert google.fetches == 1


async def test_one_who_leaves_takes_nothing_from_those_who_wait() -> None:
    google = Google()
    google.gate.clear()
    leaves, stays = (asyncio.create_task(google.found.find("one")) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    google.gate.set()
    assert await stays == PEM


async def test_a_new_key_is_found_and_forged_ids_do_not_fetch_each_time() -> None:
    google = Google()
    assert await google.found.find("one") == PEM
    for number in range(100):
        assert await google.found.find(f"forged-{number}") is None
    assert google.fetches == 1, "the keys are less than a minute old"
    google.keys = {"two": "pem of two"}
    google.now += 60
    assert await google.found.find("two") == "pem of two"
    assert await google.found.find("one") is None, "it is not published any more"
    assert google.fetches == 2


async def test_keys_are_refreshed_in_the_background() -> None:
    google = Google()
    await google.found.find("one")
    google.now += REFRESH_AFTER + 1
    google.gate.clear()
    assert await google.found.find("one") == PEM, "without waiting"
    google.keys = {"two": "pem of two"}
    google.gate.set()
    await google.in_background()
    assert google.fetches == 2
    assert await google.found.find("one") is None


async def test_an_endpoint_that_is_down_lets_in_nobody_new_and_is_tried_again() -> None:
    google = Google()
    google.keys = None
    for _ in range(20):
        with pytest.raises(SigningKeysUnavailable) as refused:
            await google.found.find("one")
    assert google.fetches == 1
    assert refused.value.status == 503
    assert "status 500" in refused.value.public_message
    assert "admin.iap_keys_url" in refused.value.public_message
    assert google.failures == ["it answered with status 500"]
    google.keys = {"one": PEM}
    google.now += 5
    assert await google.found.find("one") == PEM


async def test_known_keys_are_good_for_a_day_without_the_endpoint() -> None:
    google = Google()
    await google.found.find("one")
    google.keys = None
    google.now += KEEP
    assert await google.found.find("one") == PEM
    await google.in_background()
    with pytest.raises(SigningKeysUnavailable):
        await google.found.find("two")
    google.now += 1
    with pytest.raises(SigningKeysUnavailable):
        await google.found.find("one")


async def test_an_endpoint_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelmux.admin.iap_keys._LONGEST", 0.0)
    google = Google()
    google.gate.clear()
    with pytest.raises(SigningKeysUnavailable, match="in time"):
        await google.found.find("one")
