"""Writes what the configuration manages into the directory: at a start, and at a reload once all else is checked."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.fields import FieldError
from modelmux.accounts.managed import Wanted, plan
from modelmux.accounts.periods import parse_instant
from modelmux.accounts.records import Key, Person, Secret, Team
from modelmux.accounts.secret_format import MIN_IMPORTED, hint_of, is_secret
from modelmux.config.accounts_entries import KeyConfig
from modelmux.config.errors import ConfigError
from modelmux.config.schema import Config
from modelmux.config.weak_keys import weakness
from modelmux.errors import StoreUnavailable
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author, DirectoryStore
from modelmux.store.directory.feed import Feed
from modelmux.store.directory.issuer import Issuer, NewIds
from modelmux.store.directory.managed_budgets import budget_of, limit_of, rates_of
from modelmux.store.directory.open_directory import known_peppers, read_peppers
from modelmux.store.pepper import pepper_id

AUTHOR: Final = Author("configuration", "config")
#: Seconds after which requests try again to write.
AGAIN: Final = 10.0
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
#: Where none was made yet, and none of its hashes is kept.
_NO_PEPPER: Final = bytes(32)
_GENERATE: Final = "Make a secret with: openssl rand -hex 32"
_SET: Final = f"Set the environment variable {{}} to the secret of the key, where the gateway starts. {_GENERATE}"


class ManagedAccounts:
    """What a configuration manages: checked as often as anyone likes, and written once by a process that serves by it.

    :param feed: None without accounts.
    :param writes: whether this process writes. Of several workers none does: who starts them has written.
    :param on_problem: gets a sentence when they could not be written while requests are served.
    :ivar pending: nothing was written yet.
    """

    def __init__(
        self,
        feed: Feed | None,
        environment: Mapping[str, str],
        runtime: Runtime,
        on_problem: Callable[[str], None] = lambda _: None,
        *,
        writes: bool,
    ) -> None:
        self._feed = feed
        self._environment = environment
        self._runtime = runtime
        self._on_problem = on_problem
        self._writes = writes
        self._again_at = 0.0
        self.pending = writes and feed is not None
        self._writing = asyncio.Lock()

    def check(self, config: Config) -> None:
        """Whether it could be written to the directory as it is known. :raises ConfigError: an entry that cannot."""
        if self._feed is not None and self._writes:
            check_managed(config, self._feed.current, self._environment, self._runtime.now)

    def apply_now(self, config: Config) -> None:
        """Write what differs, in this thread: where there is no event loop.

        :raises ConfigError: an entry cannot be used, or the directory cannot be written. Nothing was written.
        """
        if self._feed is not None and self._writes:
            decide, at = self._decision(config, self._feed)
            with _as_config_errors():
                self._feed.change_now(decide, AUTHOR, at)
            self.pending = False

    async def apply(self, config: Config) -> None:
        """As ``apply_now``, in the thread of the store. A worker reads what was written for it.

        :raises ConfigError: see ``apply_now``.
        """
        if self._feed is None:
            return
        if not self._writes:
            with contextlib.suppress(StoreUnavailable):  # the feed goes on trying, and logs it
                await self._feed.refresh()
            return
        async with self._writing:
            await self._write(self._feed, config)

    async def apply_first(self, config: Config) -> None:
        """As ``apply``, if nothing was written yet. Requests may ask for it at the same time."""
        async with self._writing:
            if self._feed is not None and self.pending:
                await self._write(self._feed, config)

    async def apply_late(self, config: Config) -> None:
        """As ``apply_first``, for requests of an application that no lifespan started. Where it cannot be written, what
        the directory has is served, and a request ``AGAIN`` seconds later tries again."""
        async with self._writing:
            if self._feed is None or not self.pending or self._runtime.clock() < self._again_at:
                return
            try:
                await self._write(self._feed, config)
            except ConfigError as error:
                self._again_at = self._runtime.clock() + AGAIN
                self._on_problem(f"the keys of the configuration cannot be written ({'; '.join(error.problems)})")

    async def _write(self, feed: Feed, config: Config) -> None:
        decide, at = self._decision(config, feed)
        with _as_config_errors():
            await feed.change(decide, AUTHOR, at)
        self.pending = False

    def _decision(self, config: Config, feed: Feed) -> tuple[Callable[[Directory], Edit], int]:
        """From the directory to the edit, and microseconds in UTC. :raises ConfigError:"""
        now = self._runtime.now
        peppers = read_peppers(config, self._environment, lambda: feed.current, now)
        return _decision(config, peppers, self._environment, now)


def managed_edit(
    config: Config, directory: Directory, environment: Mapping[str, str], now: Callable[[], float]
) -> Edit:
    """What a start would write of a configuration. Nothing is written, and no pepper is made.

    :param now: Unix seconds.
    :raises ConfigError: see ``check_managed``.
    """
    decide, _ = _decision(config, known_peppers(config, environment) or (_NO_PEPPER,), environment, now)
    with _as_config_errors():
        return decide(directory)


async def apply_managed(
    config: Config, store: DirectoryStore, author: Author, environment: Mapping[str, str], now: Callable[[], float]
) -> tuple[Directory, Edit]:
    """Write it, as a start does: for commands.

    :returns: the directory of before, and what was written.
    :raises ConfigError: see ``check_managed``; nothing was written.
    """
    with _as_config_errors():
        known = await store.read(Directory())
        decide, at = _decision(config, read_peppers(config, environment, lambda: known, now), environment, now)
        before = known

        def decided(directory: Directory) -> Edit:
            nonlocal before
            before = directory
            return decide(directory)

        _, edit = await store.change(decided, author, at)
        return before, edit


def check_managed(
    config: Config, directory: Directory, environment: Mapping[str, str], now: Callable[[], float]
) -> None:
    """Whether what the configuration manages could be written to a directory. Nothing is, and no pepper is made.

    :param now: Unix seconds.
    :raises ConfigError: an entry cannot be used, or a pepper cannot.
    """
    managed_edit(config, directory, environment, now)


def check_entries(config: Config) -> None:
    """As ``check_managed``, as far as the configuration alone says: neither a secret, a pepper nor a directory is read.

    A team, person or key that it does not name may be in the directory, and a variable may be set where it serves.

    :raises ConfigError: an entry cannot be used.
    """
    accounts = config.accounts
    variables = {one.variable for one in accounts.keys if one.variable}
    environment = {name: hashlib.sha256(name.encode()).hexdigest() for name in variables}
    wanted = wanted_of(config, _NO_PEPPER, environment)
    teams = {one.name.strip().lower() for one in accounts.teams}
    people = {one.email.strip().lower() for one in accounts.people}
    keys = {one.name.strip().lower() for one in accounts.keys}
    selectors = [*(one.applies_to for one in accounts.budgets), *(one.applies_to for one in accounts.limits)]
    named_teams = (
        *(one.parent for one in accounts.teams), *(one.team for one in accounts.keys), *(one.team for one in selectors)
    )  # fmt: skip
    named_people = (*(one.person for one in accounts.keys), *(one.person for one in selectors))
    elsewhere = Changes(
        version=0,
        teams=[Team(id=name, name=name) for name in named_teams if name and name.strip().lower() not in teams],
        people=[Person(id=name, email=name) for name in named_people if name and name.strip().lower() not in people],
        keys=[
            Key(id=one.key, name=one.key, created=0)
            for one in selectors
            if one.key and one.key.strip().lower() not in keys
        ],
    )
    with _as_config_errors():
        plan(Directory().updated(elsewhere), wanted, NewIds(lambda: 0.0).id, 0)


def _decision(
    config: Config, peppers: Sequence[bytes], environment: Mapping[str, str], now: Callable[[], float]
) -> tuple[Callable[[Directory], Edit], int]:
    issuer = Issuer(peppers, now)
    wanted, at = wanted_of(config, peppers[0], environment), issuer.now()
    return lambda directory: plan(directory, wanted, issuer.id, at), at


@contextlib.contextmanager
def _as_config_errors() -> Iterator[None]:
    try:
        yield
    except FieldError as error:
        raise ConfigError([f"accounts.{error.field}: {error.problem}"], hint=f"{error.expected}.") from None
    except StoreFailed as error:
        raise ConfigError([f"accounts.store: {error}"]) from None


def wanted_of(config: Config, pepper: bytes, environment: Mapping[str, str]) -> Wanted:
    """The entries of a configuration.

    :param pepper: hashes the secrets that the environment has.
    :raises ConfigError: an entry that cannot be used.
    """
    accounts = config.accounts
    return Wanted(
        teams=[
            Team(
                id="",
                name=one.name,
                parent=one.parent,
                zone=one.zone,
                contact=one.contact,
                status=_status(one.enabled),
                limits=rates_of(one.limits),
            )
            for one in accounts.teams
        ],
        people=[
            Person(id="", email=one.email, name=one.name, status=_status(one.enabled), limits=rates_of(one.limits))
            for one in accounts.people
        ],
        keys=[_key(index, one, pepper, environment) for index, one in enumerate(accounts.keys)],
        budgets=[budget_of(index, one) for index, one in enumerate(accounts.budgets)],
        limits=[limit_of(one) for one in accounts.limits],
    )


def _key(index: int, entry: KeyConfig, pepper: bytes, environment: Mapping[str, str]) -> tuple[Key, Secret]:
    apis: Any = tuple(entry.apis)
    key = Key(
        id="", name=entry.name, team=entry.team, person=entry.person, models=tuple(entry.models), apis=apis,
        addresses=tuple(entry.addresses), tags=_tags(entry.tags), status=_status(entry.enabled),
        expires=_instant(index, entry.expires), limits=rates_of(entry.limits), capture=entry.capture,
    )  # fmt: skip
    return key, _secret(index, entry, pepper, environment)


def _secret(index: int, entry: KeyConfig, pepper: bytes, environment: Mapping[str, str]) -> Secret:
    path = f"accounts.keys[{index}]"
    if (entry.variable is None) == (entry.sha256 is None):
        raise ConfigError([f"{path} needs either variable or sha256"], hint="The secret itself is never in the file.")
    if entry.sha256 is not None:
        if _DIGEST.fullmatch(entry.sha256) is None:
            raise ConfigError([f"{path}.sha256 is not 64 hexadecimal digits"], hint="printf %s SECRET | sha256sum")
        return Secret(digest=bytes.fromhex(entry.sha256), key="", kind="sha256")
    assert entry.variable is not None
    text = environment.get(entry.variable, "").strip()
    if not text:
        raise ConfigError([f"{path}.variable: {entry.variable} is not set"], hint=_SET.format(entry.variable))
    if is_secret(text):
        digest = hmac.digest(pepper, text.encode(), "sha256")
        return Secret(digest=digest, key="", pepper=pepper_id(pepper), hint=hint_of(text))
    if len(text) < MIN_IMPORTED or weakness(text) is not None:
        message = f"{path}.variable: {entry.variable} has fewer than {MIN_IMPORTED} characters, or is not random"
        raise ConfigError([message], hint=_GENERATE)
    return Secret(digest=hashlib.sha256(text.encode()).digest(), key="", kind="sha256", hint=f"…{text[-4:]}")


def _instant(index: int, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError:
        message = f"accounts.keys[{index}].expires: {text!r} is not a time"
        raise ConfigError([message], hint="Write 2026-12-31, or 2026-12-31T12:00:00+01:00.") from None


def _tags(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = (text.partition("=") for text in texts)
    return tuple(sorted((name.strip(), value.strip()) for name, _, value in pairs))


def _status(enabled: bool) -> Any:
    return "active" if enabled else "disabled"
