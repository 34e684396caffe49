"""Writes what the configuration manages into the directory, at a start and at a reload."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from modelmux.accounts.fields import FieldError
from modelmux.accounts.managed import Wanted, plan
from modelmux.accounts.records import Key, Person, Secret, Team
from modelmux.accounts.secret_format import MIN_IMPORTED, hint_of, is_secret
from modelmux.config.accounts_entries import KeyConfig
from modelmux.config.errors import ConfigError
from modelmux.config.schema import Config
from modelmux.config.weak_keys import weakness
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author
from modelmux.store.directory.feed import Feed
from modelmux.store.directory.issuer import Issuer
from modelmux.store.pepper import pepper_id

AUTHOR: Final = Author("configuration", "config")
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_GENERATE: Final = "Make a secret with: openssl rand -hex 32"


def apply_configuration(
    config: Config, feed: Feed, peppers: Sequence[bytes], now: Callable[[], float], environment: Mapping[str, str]
) -> None:
    """Write what differs from the configuration; nothing if all is as it says.

    :param now: Unix seconds.
    :raises ConfigError: an entry that cannot be used, or the directory cannot be written.
    """
    accounts, issuer = config.accounts, Issuer(peppers, now)
    wanted = Wanted(
        teams=[
            Team(
                id="", name=one.name, parent=one.parent, zone=one.zone, contact=one.contact, status=_status(one.enabled)
            )
            for one in accounts.teams
        ],
        people=[Person(id="", email=one.email, name=one.name, status=_status(one.enabled)) for one in accounts.people],
        keys=[_key(index, one, peppers[0], environment) for index, one in enumerate(accounts.keys)],
    )
    try:
        feed.change_now(lambda d: plan(d, wanted, issuer.id, issuer.now()), AUTHOR, issuer.now())
    except FieldError as error:
        raise ConfigError([f"accounts.{error.field}: {error.problem}"], hint=f"{error.expected}.") from None
    except StoreFailed as error:
        raise ConfigError([f"accounts.store: {error}"]) from None


def _key(index: int, entry: KeyConfig, pepper: bytes, environment: Mapping[str, str]) -> tuple[Key, Secret]:
    apis: Any = tuple(entry.apis)
    key = Key(
        id="", name=entry.name, team=entry.team, person=entry.person, models=tuple(entry.models), apis=apis,
        addresses=tuple(entry.addresses), tags=_tags(entry.tags), status=_status(entry.enabled),
        expires=_instant(index, entry.expires),
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
        raise ConfigError([f"{path}.variable: {entry.variable} is not set"], hint=_GENERATE)
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
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"accounts.keys[{index}].expires: {text!r} is not a time"
        raise ConfigError([message], hint="Write 2026-12-31, or 2026-12-31T12:00:00+01:00.") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def _tags(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = (text.partition("=") for text in texts)
    return tuple(sorted((name.strip(), value.strip()) for name, _, value in pairs))


def _status(enabled: bool) -> Any:
    return "active" if enabled else "disabled"
