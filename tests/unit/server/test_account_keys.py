"""Risk: a key works for longer than it may, or after a change that the process has seen; a wrong one costs a query."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.edits import revoke_key, rotate_key, save_key
from modelmux.accounts.records import Key, Secret, Team
from modelmux.accounts.secret_format import ADMIN_PREFIX, new_secret
from modelmux.errors import NotPermitted, Unauthorized
from modelmux.server.account_keys import UNKNOWN_FOR, AccountKeys, UnknownSecret
from modelmux.server.auth import ApiKeys
from support.directories import NOW, applied, directory_of, key, person, team

PEPPER, OLD_PEPPER = b"p" * 32, b"o" * 32
MINE, OTHER = (new_secret(lambda count, seed=seed: bytes([seed]) * count) for seed in (1, 2))
STATIC = "a-static-key-of-the-operator"


def hashed(text: str, pepper: bytes = PEPPER, **fields: Any) -> Secret:
    digest = hmac.digest(pepper, text.encode(), "sha256")
    return Secret(digest=digest, **({"key": "key_a", "hint": text[-4:], "created": NOW} | fields))


class Feed:
    """:ivar next: the directory that the next look finds."""

    def __init__(self, directory: Directory) -> None:
        self.current = self.next = directory
        self.refreshed = 0
        self.is_stale = True

    async def freshen(self) -> None:
        self.is_stale = False

    async def refresh(self) -> None:
        self.refreshed += 1
        self.current = self.next


class World:
    def __init__(
        self, *records: Key | Secret | Team | Any, static: tuple[str, ...] = (), required: bool = False
    ) -> None:
        self.feed = Feed(directory_of(*records))
        self.time, self.clock = NOW / 1_000_000, 100.0
        self.keys = AccountKeys(
            ApiKeys(static), self.feed, [PEPPER, OLD_PEPPER], required=required,
            now=lambda: self.time, clock=lambda: self.clock,
        )  # fmt: skip

    def ask(self, secret: str | None = MINE, address: str = "127.0.0.1", api: Any = "chat", **options: Any) -> Any:
        headers = [] if secret is None else [(b"authorization", b"Bearer " + secret.encode())]
        return self.keys.authenticate(headers, address, api, **options)


def test_a_key_is_recognized_by_its_secret() -> None:
    world = World(
        team("team_top", "Top"), team("team_a", "A", parent="team_top"), person(),
        key(team="team_a", person="usr_a", models=("fast",), tags=(("app", "x"),)), hashed(MINE),
    )  # fmt: skip
    for _ in range(2):
        caller = world.ask()
        assert (caller.owner, caller.is_account, caller.person) == ("key_a", True, "usr_a")
        assert (caller.team, caller.models, caller.tags) == ("team_top/team_a", ("fast",), (("app", "x"),))
    assert world.keys.authenticate([(b"x-api-key", MINE.encode())], None, None).owner == "key_a"


def test_secrets_of_an_older_pepper_are_valid() -> None:
    assert World(key(), hashed(MINE, OLD_PEPPER)).ask().owner == "key_a"
    with pytest.raises(Unauthorized):
        World(key(), hashed(MINE, b"another pepper of nobody at all.")).ask()


def test_a_secret_that_was_brought_along_is_valid() -> None:
    theirs = Secret(digest=hashlib.sha256(b"sk-1234567890abcdef").digest(), key="key_a", kind="sha256")
    world = World(key(), theirs)
    assert world.ask("sk-1234567890abcdef").owner == "key_a"
    stolen = Secret(digest=hashlib.sha256(b"sk-1234567890abcdef").digest(), key="key_a", kind="hmac")
    with pytest.raises(Unauthorized):
        World(key(), stolen).ask("sk-1234567890abcdef")


def test_a_revoked_key_is_refused_with_the_change() -> None:
    world = World(key(), hashed(MINE))
    world.ask()
    world.feed.current = applied(world.feed.current, revoke_key(world.feed.current, "key_a", NOW))
    with pytest.raises(Unauthorized) as raised:
        world.ask()
    assert raised.value.code == "key_revoked"


@pytest.mark.parametrize(
    ("fields", "of_secret"), [({"expires": NOW + 5_000_000}, {}), ({}, {"valid_until": NOW + 5_000_000})]
)
def test_a_key_that_was_accepted_expires(fields: dict[str, Any], of_secret: dict[str, Any]) -> None:
    world = World(key(**fields), hashed(MINE, **of_secret))
    world.time += 4.9
    world.ask()
    world.time += 0.1
    with pytest.raises(Unauthorized) as raised:
        world.ask()
    assert raised.value.code == "key_expired"


def test_a39_both_secrets_are_valid_until_the_grace_ends() -> None:
    world = World(key(), hashed(MINE))
    directory = world.feed.current
    world.feed.current = applied(directory, rotate_key(directory, "key_a", hashed(OTHER), 60_000_000))
    assert world.ask(MINE).owner == world.ask(OTHER).owner == "key_a"
    world.time += 60
    assert world.ask(OTHER).owner == "key_a"
    with pytest.raises(Unauthorized, match="This secret of the API key 'laptop' has expired"):
        world.ask(MINE)


def test_addresses_are_looked_at_each_time() -> None:
    world = World(key(addresses=("10.0.0.0/8",)), hashed(MINE))
    world.ask(address="10.1.1.1")
    with pytest.raises(NotPermitted, match=r"from the address 192\.0\.2\.1"):
        world.ask(address="192.0.2.1")


def test_the_api_is_looked_at_each_time() -> None:
    world = World(key(apis=("messages",)), hashed(MINE))
    world.ask(api="messages")
    world.ask(api=None)
    with pytest.raises(NotPermitted, match="may not use the API 'chat'"):
        world.ask(api="chat")


@pytest.mark.parametrize(
    "secret", ["sk-mmx-short", MINE[:-1] + ("0" if MINE[-1] != "0" else "1"), "nonsense", "", "\xff"]
)
def test_a43_what_is_no_secret_is_refused_without_a_look_at_the_store(secret: str) -> None:
    with pytest.raises(Unauthorized) as raised:
        World(key(), hashed(MINE)).ask(secret)
    assert not isinstance(raised.value, UnknownSecret)


def test_admin_tokens_are_no_keys() -> None:
    token = new_secret(lambda count: b"\x07" * count, ADMIN_PREFIX)
    with pytest.raises(Unauthorized):
        World(key(), hashed(token)).ask(token)


async def test_a43_an_unknown_secret_is_looked_up_once() -> None:
    world = World(key(), hashed(MINE))
    with pytest.raises(UnknownSecret) as raised:
        world.ask(OTHER)
    await world.keys.look_again(raised.value)
    for _ in range(10):
        with pytest.raises(Unauthorized) as refused:
            world.ask(OTHER)
        assert not isinstance(refused.value, UnknownSecret)
    assert world.feed.refreshed == 1
    world.clock += UNKNOWN_FOR
    with pytest.raises(UnknownSecret):
        world.ask(OTHER)


async def test_a_key_that_was_just_made_is_found() -> None:
    world = World(key(), hashed(MINE))
    made = save_key(world.feed.current, key("key_b", "new"), hashed(OTHER, key="key_b"))
    world.feed.next = applied(world.feed.current, made)
    with pytest.raises(UnknownSecret) as raised:
        world.ask(OTHER)
    await world.keys.look_again(raised.value)
    assert world.ask(OTHER).owner == "key_b"


async def test_a_key_that_comes_after_it_was_refused_is_found() -> None:
    world = World(key(), hashed(MINE))
    with pytest.raises(UnknownSecret) as raised:
        world.ask(OTHER)
    await world.keys.look_again(raised.value)
    made = save_key(world.feed.current, key("key_b", "new"), hashed(OTHER, key="key_b"))
    world.feed.current = applied(world.feed.current, made)
    assert world.ask(OTHER).owner == "key_b"


def test_static_keys_stay_as_they_are() -> None:
    world = World(key(), hashed(MINE), static=(STATIC,))
    assert world.ask(STATIC) == ApiKeys([STATIC]).authenticate([(b"x-api-key", STATIC.encode())])
    assert world.ask(MINE).owner == "key_a"


def test_a_static_key_is_remembered_alone_and_until_the_directory_changes() -> None:
    world = World(key(), hashed(MINE), static=(STATIC,))
    wrong = (b"authorization", b"Bearer wrong")
    both = [(b"x-api-key", STATIC.encode()), wrong]
    for _ in range(2):
        assert not world.keys.authenticate(both, None, None).is_account
        assert not world.ask(STATIC).is_account
        with pytest.raises(Unauthorized):
            world.keys.authenticate([wrong], None, None)
    digest = hashlib.sha256(STATIC.encode()).digest()
    imported = Secret(key="key_a", digest=digest, hint="…", created=NOW, kind="sha256")
    world.feed.current = world.feed.current.updated(Changes(version=2, secrets=(imported,)))
    assert world.ask(STATIC).owner == "key_a"


def test_one_key_that_may_be_used_is_enough() -> None:
    world = World(
        key(status="disabled"), hashed(MINE), key("key_b", "other"), hashed(OTHER, key="key_b"), static=(STATIC,)
    )
    for good, owner in ((OTHER, "key_b"), (STATIC, None)):
        headers = [(b"authorization", b"Bearer " + MINE.encode()), (b"x-api-key", good.encode())]
        caller = world.keys.authenticate(headers, None, None)
        assert caller.owner == owner or not caller.is_account
    with pytest.raises(Unauthorized) as raised:
        world.keys.authenticate([(b"authorization", b"Bearer " + MINE.encode()), (b"x-api-key", b"wrong")], None, None)
    assert raised.value.code == "key_disabled"


def test_no_key_is_needed_until_there_is_one() -> None:
    world = World()
    assert not world.keys
    assert world.ask(None).owner == world.ask("anything").owner == "anonymous"
    world.feed.current = world.feed.current.updated(Changes(version=2, keys=(key(status="revoked"),)))
    assert world.keys
    with pytest.raises(Unauthorized, match="No API key was sent"):
        world.ask(None)


async def test_the_first_key_works_at_once() -> None:
    world = World()
    world.feed.next = applied(world.feed.current, save_key(world.feed.current, key(), hashed(MINE)))
    with pytest.raises(UnknownSecret) as raised:
        world.ask(MINE)
    await world.keys.look_again(raised.value)
    assert world.ask(MINE).owner == "key_a"
    with pytest.raises(Unauthorized):
        world.ask(None)


async def test_where_no_key_is_needed_an_unknown_one_does_no_harm() -> None:
    world = World()
    with pytest.raises(UnknownSecret) as raised:
        world.ask(MINE)
    await world.keys.look_again(raised.value)
    assert world.ask(MINE).owner == "anonymous"


def test_a_key_may_be_required_before_there_is_one() -> None:
    with pytest.raises(Unauthorized):
        World(required=True).ask(None)


def test_paths_that_need_no_key() -> None:
    world = World(key(), hashed(MINE))
    assert world.ask(None, optional=True).owner == "anonymous"
    assert world.ask("ya29.token", optional=True).owner == "anonymous"
    assert world.ask(MINE, optional=True).owner == "key_a"
    with pytest.raises(Unauthorized):
        world.ask("wrong", optional=True)


def test_the_address_is_that_which_the_nearest_proxy_tells() -> None:
    scope = {"headers": [(b"x-forwarded-for", b"1.1.1.1, 10.0.0.9 ")], "client": ("127.0.0.1", 1)}
    world = World()
    assert world.keys.address_of(scope) == "127.0.0.1"
    assert world.keys.address_of({"headers": [], "client": None}) is None
    proxied = AccountKeys(
        ApiKeys([]), world.feed, [PEPPER], required=False, now=float, clock=float, address_header="X-Forwarded-For"
    )
    assert proxied.address_of(scope) == "10.0.0.9"
    for lines in (
        (b"192.0.2.1", b"10.0.0.9"),  # the proxy adds a line behind that of the client
        (b"192.0.2.1, 192.0.2.2", b"192.0.2.3,10.0.0.9"),
        (b"192.0.2.1", b"192.0.2.2", b"10.0.0.9"),
    ):
        forged = {"headers": [(b"x-forwarded-for", line) for line in lines], "client": ("127.0.0.1", 1)}
        assert proxied.address_of(forged) == "10.0.0.9", lines
    empty = {"headers": [(b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-for", b"")], "client": ("127.0.0.1", 1)}
    assert proxied.address_of(empty) is None
    assert proxied.address_of({"headers": [], "client": ("127.0.0.1", 1)}) is None, "nobody is let in by leaving it out"


def test_a12_edits_of_a_key_apply_to_those_who_have_it() -> None:
    world = World(key(), hashed(MINE))
    world.ask()
    world.feed.current = applied(world.feed.current, save_key(world.feed.current, replace(key(), models=("fast",))))
    assert world.ask().models == ("fast",)


async def test_which_directory_is_asked_is_that_of_the_feed() -> None:
    world = World(key(), hashed(MINE))
    assert world.keys.are_stale
    await world.keys.freshen()
    assert not world.keys.are_stale


def test_of_two_keys_the_one_in_authorization_is_used() -> None:
    world = World(key(), hashed(MINE), key("key_b", "other"), hashed(OTHER, key="key_b"), static=(STATIC,))
    headers = [(b"x-api-key", MINE.encode()), (b"authorization", b"Bearer " + OTHER.encode())]
    for order in (headers, headers[::-1]):
        assert world.keys.authenticate(order, None, None).owner == "key_b"
    headers = [(b"authorization", b"Bearer " + STATIC.encode()), (b"x-api-key", MINE.encode())]
    for order in (headers, headers[::-1]):
        assert world.keys.authenticate(order, None, None).owner == "key_a", "one with rights comes before one without"


def test_expiry_follows_the_clock_wherever_it_jumps() -> None:
    world = World(key(expires=NOW + 5_000_000), hashed(MINE))
    world.ask()
    world.time += 1e9
    for _ in range(2):
        with pytest.raises(Unauthorized):
            world.ask()
    world.time -= 2e9
    assert world.ask().owner == "key_a"
    world.time += 1e9 + 5
    with pytest.raises(Unauthorized):
        world.ask()
