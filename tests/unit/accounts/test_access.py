"""Risk: a key that may not be used is used: a role or a field is looked at before the status."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.accounts.access import allowed_models, check_api, check_key, is_within
from modelmux.accounts.records import Key, Person, Secret, Team
from modelmux.errors import GatewayError, NotPermitted, Unauthorized
from support.directories import NOW, directory_of, key, person, secret, team

TOP = team("team_top", "Research")
BELOW = team("team_below", "Data", parent="team_top")
ANN = person()


def refusal(
    key: Key, *, secret: Secret | None = None, teams: tuple[Team, ...] = (TOP, BELOW), person: Person = ANN,
    address: str | None = "10.1.2.3", now: int = NOW,
) -> GatewayError | None:  # fmt: skip
    used = secret or globals()["secret"]()
    directory = directory_of(*teams, person, key, used)
    try:
        check_key(directory, used, now, address)
    except GatewayError as error:
        return error
    return None


def test_a_key_that_may_be_used_is_returned() -> None:
    mine, one = key(team="team_below", person="usr_a", addresses=("10.0.0.0/8",), expires=NOW + 1), secret()
    assert check_key(directory_of(TOP, BELOW, ANN, mine, one), one, NOW, "10.1.2.3") == mine


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"status": "revoked", "expires": NOW - 1}, "key_revoked", "The API key 'laptop' was revoked."),
        ({"status": "disabled", "addresses": ("192.0.2.0/24",)}, "key_disabled", "is disabled"),
        ({"expires": NOW}, "key_expired", "has expired"),
    ],
)
def test_a38_the_status_is_looked_at_first(fields: dict[str, Any], code: str, text: str) -> None:
    error = refusal(key(**fields))
    assert isinstance(error, Unauthorized)
    assert error.code == code
    assert text in error.message
    assert error.should_retry is False


def test_a_disabled_team_or_person_disables_the_key() -> None:
    disabled = team("team_top", "Research", status="disabled")
    error = refusal(key(team="team_below"), teams=(disabled, BELOW))
    assert isinstance(error, Unauthorized)
    assert "the team 'Research', which is disabled" in error.message
    error = refusal(key(person="usr_a"), person=person(status="disabled"))
    assert isinstance(error, Unauthorized)
    assert error.code == "key_disabled"


def test_the_nearest_contact_is_named() -> None:
    top = team("team_top", "Research", contact="boss@example.com")
    assert "Ask boss@example.com" in str((refusal(key(team="team_below", expires=1), teams=(top, BELOW)) or top).hint)
    below = team("team_below", "Data", parent="team_top", contact="ann@example.com")
    assert "Ask ann@example.com" in str((refusal(key(team="team_below", expires=1), teams=(top, below)) or top).hint)


@pytest.mark.parametrize(("until", "refused"), [(None, False), (NOW + 1, False), (NOW, True), (NOW - 1, True)])
def test_a_secret_ends_with_its_grace(until: int | None, refused: bool) -> None:
    assert (refusal(key(), secret=secret(valid_until=until)) is not None) is refused


def test_a_key_is_used_from_its_networks_only() -> None:
    error = refusal(key(addresses=("192.0.2.0/24", "2001:db8::/32")))
    assert isinstance(error, NotPermitted)
    assert (error.code, error.status) == ("address_not_allowed", 403)
    assert "10.1.2.3" in error.message
    assert "192.0.2.0/24, 2001:db8::/32" in str(error.hint)
    assert refusal(key(addresses=("192.0.2.0/24",)), address=None) is not None


@pytest.mark.parametrize(
    ("address", "networks", "inside"),
    [
        ("10.1.2.3", ("10.0.0.0/8",), True),
        ("::ffff:10.1.2.3", ("10.0.0.0/8",), True),
        ("10.1.2.3", ("::ffff:10.0.0.0/104",), True),
        ("::ffff:10.1.2.3", ("::ffff:10.0.0.0/104",), True),
        ("11.1.2.3", ("::ffff:10.0.0.0/104",), False),
        ("10.1.2.3", ("::ffff:10.1.2.3",), True),
        ("10.1.2.3", ("::/0",), False),
        ("11.1.2.3", ("10.0.0.0/8",), False),
        ("fe80::1%eth0", ("fe80::/10",), True),
        ("2001:db8::1", ("10.0.0.0/8", "2001:db8::/32"), True),
        ("10.1.2.3:443", ("10.0.0.0/8",), True),
        ("11.1.2.3:443", ("10.0.0.0/8",), False),
        ("[2001:db8::1]:443", ("2001:db8::/32",), True),
        ("[2001:db8::1]", ("2001:db8::/32",), True),
        ("[fe80::1%eth0]:443", ("fe80::/10",), True),
        ("10.1.2.3:", ("10.0.0.0/8",), False),
        ("10.1.2.3]:443", ("10.0.0.0/8",), False),
        ("unix:", ("0.0.0.0/0", "::/0"), False),
        ("", ("0.0.0.0/0",), False),
    ],
)
def test_networks(address: str, networks: tuple[str, ...], inside: bool) -> None:
    assert is_within(address, networks) is inside


def test_a_key_may_be_limited_to_apis() -> None:
    check_api(key(), "chat")
    check_api(key(apis=("chat", "messages")), "messages")
    with pytest.raises(NotPermitted, match="may not use the API 'responses'") as raised:
        check_api(key(apis=("chat", "messages")), "responses")
    assert raised.value.hint == "It may use chat, messages."


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ((), None),
        (("*",), None),
        (("FAST",), None),
        (("fa*",), None),
        (("claude-haiku-*",), {"claude-haiku-4-5@20251001"}),
        (("claude-haiku-4-5",), {"claude-haiku-4-5@20251001"}),
        (("slow", "opus"), set()),
        (("claude-?aiku-4-5", "[f]ast"), set()),
    ],
)
def test_models_are_allowed_by_route_or_by_name(patterns: tuple[str, ...], expected: set[str] | None) -> None:
    assert allowed_models(patterns, "fast", ["claude-haiku-4-5@20251001", "claude-opus-5-5"]) == expected
