"""Authentication with virtual keys, beside those of ``server.api_keys``.

A header that was accepted is found again in one look-up, until the directory changes. A secret that is unknown, but has
the form of one, may have been made a moment ago: the directory is read once more before it is refused.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from modelmux.accounts.access import check_api, check_key
from modelmux.accounts.directory import Directory
from modelmux.accounts.records import Api, Key, Secret
from modelmux.accounts.secret_format import ADMIN_PREFIX, KEY_PREFIX, is_secret
from modelmux.config import Config
from modelmux.dialects.base import Caller
from modelmux.errors import GatewayError, NotPermitted, Unauthorized
from modelmux.runtime import Runtime
from modelmux.server.auth import (
    ANONYMOUS,
    KEY_HEADERS,
    ApiKeys,
    Header,
    is_google_token,
    key_of,
    may_remember,
)
from modelmux.server.exposure import is_exposed
from modelmux.server.responses import Scope
from modelmux.store.directory.feed import Feed
from modelmux.store.directory.open_directory import check_peppers, read_peppers
from modelmux.telemetry import names
from modelmux.telemetry.log import Log

#: Accepted headers that are remembered.
MAX_ACCEPTED: Final = 100_000
#: Secrets that are known to be unknown, and for how many seconds.
MAX_UNKNOWN: Final = 10_000
UNKNOWN_FOR: Final = 5.0
_NEVER: Final = 1 << 62


class DirectoryFeed(Protocol):
    """The directory of now."""

    @property
    def current(self) -> Directory: ...

    @property
    def is_stale(self) -> bool:
        """Whether a change may have been missed for longer than is promised."""
        ...

    async def freshen(self) -> None:
        """Have the directory of now, if it can be had soon, and follow changes from here on.

        :raises StoreUnavailable: there is known to be a later one, which cannot be had.
        """
        ...

    async def refresh(self) -> None:
        """Have all changes that were made before this call. :raises StoreUnavailable:"""
        ...


class UnknownSecret(Unauthorized):
    """No key has this secret, as far as this process knows.

    :param digest: of the header's value.
    """

    def __init__(self, refusal: Unauthorized, digest: bytes) -> None:
        super().__init__(refusal.message, hint=refusal.hint)
        self.digest = digest


class _Accepted(Struct, frozen=True):
    """:param until: microseconds in UTC until which nothing about the key has to be looked at."""

    caller: Caller
    key: Key
    secret: Secret
    until: int


class AccountKeys:
    """All keys of a gateway with accounts.

    :param static: those of ``server.api_keys``.
    :param peppers: the one that new secrets are hashed with first.
    :param required: whether a key is needed even where there is none.
    :param now: Unix seconds. :param clock: monotonic seconds.
    """

    def __init__(
        self,
        static: ApiKeys,
        feed: DirectoryFeed,
        peppers: Sequence[bytes],
        *,
        required: bool,
        now: Callable[[], float],
        clock: Callable[[], float],
        address_header: str | None = None,
    ) -> None:
        self._static = static
        self._feed = feed
        self._peppers = tuple(peppers)
        self._required = required
        self._now = now
        self._clock = clock
        self._address_header = address_header.lower().encode("latin-1") if address_header else None
        self._directory = feed.current
        self._accepted: dict[Header, _Accepted] = {}
        self._accepted_static: dict[Header, Caller] = {}  # each the only one of a request, and of no virtual key
        self._unknown: dict[bytes, float] = {}

    def __bool__(self) -> bool:
        """Whether requests need a key."""
        return self._required or bool(self._static) or bool(self._feed.current.keys)

    def authenticate(
        self, headers: list[Header], address: str | None, api: Api | None, *, optional: bool = False
    ) -> Caller:
        """The caller of a request.

        :param address: of the client.
        :param api: that is asked for; None for what every key may ask.
        :param optional: no key is needed, and a Google token is not one.
        :raises Unauthorized: no key, or none that may be used. :raises NotPermitted: not from here, or not this API.
        :raises UnknownSecret: see ``look_again``.
        """
        if self._feed.current is not self._directory:
            self._directory = self._feed.current
            self._accepted.clear()
            self._accepted_static.clear()
        offered = sorted(header for header in headers if header[0] in KEY_HEADERS)
        if len(offered) == 1 and (static := self._accepted_static.get(offered[0])) is not None:
            return static
        if optional:
            offered = [header for header in offered if (key := key_of(header)) and not is_google_token(key)]
        if not offered if optional else not (self._required or self._static or self._directory.keys):
            self._check_unknown(offered, None)  # the first key may have been made a moment ago
            return ANONYMOUS
        refusal: GatewayError | None = None
        for header in offered:  # one that may be used is enough
            try:
                accepted = self._accepted.get(header)
                if accepted is None or accepted.key.addresses or int(self._now() * 1_000_000) >= accepted.until:
                    accepted = self._accept(header, address)
                if accepted is not None:
                    if api is not None:
                        check_api(accepted.key, api)
                    return accepted.caller
            except (Unauthorized, NotPermitted) as error:
                refusal = refusal or error
        return self._static_caller(offered, refusal)

    def address_of(self, scope: Scope) -> str | None:
        """Of the client: what the proxy in front says, if there is one.

        A proxy puts its entry behind those that a client sent: at the end of the line, or in a line of its own.
        """
        if self._address_header is not None:
            lines = [value for name, value in scope["headers"] if name == self._address_header]
            return lines[-1].rpartition(b",")[2].strip().decode("latin-1") or None if lines else None
        client = scope.get("client")
        return client[0] if client else None

    @property
    def are_stale(self) -> bool:
        """Whether ``freshen`` is to be awaited before a request is decided on."""
        return self._feed.is_stale

    async def freshen(self) -> None:
        """After a time in which nothing was followed: see ``DirectoryFeed.freshen``."""
        await self._feed.freshen()

    async def look_again(self, unknown: UnknownSecret) -> None:
        """Read the directory before authenticating once more; a secret that stays unknown is remembered as such.

        :raises StoreUnavailable: it is not known whether the key is valid.
        """
        before = self._feed.current
        await self._feed.refresh()
        if self._feed.current is before:
            if len(self._unknown) >= MAX_UNKNOWN:
                self._unknown.clear()
            self._unknown[unknown.digest] = self._clock() + UNKNOWN_FOR

    def _accept(self, header: Header, address: str | None) -> _Accepted | None:
        """:raises Unauthorized, NotPermitted: there is such a key, and it may not be used."""
        text = (key_of(header) or b"").decode("latin-1")
        secret = self._secret(text)
        if secret is None:
            return None
        now = int(self._now() * 1_000_000)
        try:
            key = check_key(self._directory, secret, now, address)
        except GatewayError as error:
            error.key = secret.key
            raise
        accepted = _Accepted(
            caller_of(self._directory, key, secret.hint), key, secret,
            min(_NEVER if end is None else end for end in (key.expires, secret.valid_until)),
        )  # fmt: skip
        if len(self._accepted) < MAX_ACCEPTED and may_remember(header):
            self._accepted[header] = accepted
        return accepted

    def _secret(self, text: str) -> Secret | None:
        find, encoded = self._directory.secret, text.encode()
        if is_secret(text):
            candidates = (find(hmac.digest(pepper, encoded, "sha256")) for pepper in self._peppers)
            secret = next(filter(None, candidates), None)
            if secret is not None:
                return secret
        elif text.startswith((KEY_PREFIX, ADMIN_PREFIX)):
            return None
        secret = find(hashlib.sha256(encoded).digest())  # brought along from a gateway that stores these
        return secret if secret is not None and secret.kind == "sha256" else None

    def _static_caller(self, offered: list[Header], refused: GatewayError | None) -> Caller:
        """:param refused: why a virtual key may not be used. :raises Unauthorized, NotPermitted, UnknownSecret:"""
        try:
            if self._static:
                caller = self._static.authenticate(offered)
                is_alone = len(offered) == 1 and refused is None
                if is_alone and len(self._accepted_static) < MAX_ACCEPTED and may_remember(offered[0]):
                    self._accepted_static[offered[0]] = caller
                return caller
            raise self._static.refusal(offered)
        except Unauthorized as refusal:
            if refused is not None:
                raise refused from None
            self._check_unknown(offered, refusal)
            raise

    def _check_unknown(self, offered: list[Header], refusal: Unauthorized | None) -> None:
        """:raises UnknownSecret: one of the headers has a secret that was not looked up in the last seconds."""
        for header in offered:
            text = (key_of(header) or b"").decode("latin-1")
            if is_secret(text):
                digest = hashlib.sha256(text.encode()).digest()
                if self._unknown.get(digest, 0.0) <= self._clock():
                    raise UnknownSecret(refusal or self._static.refusal(offered), digest) from None


def account_keys(
    config: Config,
    static: ApiKeys,
    feed: Feed | None,
    environment: Mapping[str, str],
    runtime: Runtime,
    listens_on: str,
) -> AccountKeys | None:
    """The keys of a configuration; None without accounts.

    :raises ConfigError: there is no pepper, or not that of all keys.
    """
    if feed is None:
        return None
    peppers = read_peppers(config, environment, lambda: feed.current, runtime.now)
    check_peppers(config, peppers, feed.current, runtime.now, environment)
    return AccountKeys(
        static,
        feed,
        peppers,
        required=is_key_required(config, listens_on),
        now=runtime.now,
        clock=runtime.clock,
        address_header=config.accounts.address_header,
    )


def is_key_required(config: Config, listens_on: str) -> bool:
    """Whether a gateway with accounts asks for a key even where there is none. Those of the configuration are required
    even before they are in the directory."""
    return config.accounts.require_key or is_exposed(config, listens_on) or bool(config.accounts.keys)


def log_directory_problems(log: Log) -> Callable[[str | None], None]:
    """What a feed calls when its store begins to fail, and with None when it works again."""

    def on_problem(problem: str | None) -> None:
        if problem is None:
            log.info(names.EVENT_ACCOUNTS, message="the keys can be read again")
        else:
            log.error(names.EVENT_ACCOUNTS, message=problem)

    return on_problem


def caller_of(directory: Directory, key: Key, hint: str) -> Caller:
    """Whom the requests of a key are attributed to, and what it may use."""
    return Caller(
        owner=key.id,
        is_account=True,
        person=key.person,
        team="/".join(team.id for team in directory.team_path(key.team)),
        models=key.models,
        tags=key.tags,
        hint=hint,
        is_captured=key.capture,
    )
