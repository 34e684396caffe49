"""``[accounts]`` beyond its types: the zone, the names of tags, and the headers that name an end user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, tzinfo
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from modelmux.accounts.attribution import is_tag_name
from modelmux.config.check import Problem
from modelmux.config.errors import ConfigError
from modelmux.config.price_overrides import AccountsConfig
from modelmux.config.weak_keys import weakness
from modelmux.wire.http import Origin

#: RFC 9110, 5.6.2: what a name of a header consists of.
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
#: Headers with a credential, which a row must not have, not even as a hash.
_CREDENTIALS: Final = frozenset({
    "api-key", "authorization", "cookie", "proxy-authorization", "x-amz-security-token", "x-api-key", "x-auth-token",
    "x-goog-api-key", "x-goog-iap-jwt-assertion", "x-serverless-authorization",
})  # fmt: skip
_TARGET: Final = re.compile(r"/[\x21-\x7e]*")
_HOST: Final = re.compile(r"[0-9A-Za-z._:-]+")
#: What to do about a zone that is unknown.
ZONE_HINT: Final = (
    'Name one such as Europe/Berlin. If no name but UTC works, install "tzdata" of your system or of Python.'
)
#: What nothing would look at without accounts, so that more is allowed than the file says.
_WITHOUT_ACCOUNTS: Final = {
    "keys": "requests would need none of these keys",
    "require_key": "requests would need none of these keys",
    "budgets": "nothing would be counted or refused",
    "limits": "nothing would be counted or refused",
}
#: Longest value that is repeated in a message.
_MAX_SHOWN: Final = 100


def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name. UTC needs no database of time zones.

    :raises ValueError: this machine has no such zone.
    """
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; not a name; a directory of zones
        raise ValueError(f"{name[:_MAX_SHOWN]!r} is not a time zone of this machine") from None


def check_accounts(accounts: AccountsConfig) -> None:
    """:raises ConfigError: naming every value that cannot be used."""
    problems: list[Problem] = []
    hint = None
    try:
        zone_of(accounts.zone)
    except ValueError as error:
        problems.append(Problem(("accounts", "zone"), str(error)))
        hint = ZONE_HINT
    for index, name in enumerate(accounts.tags):
        if not is_tag_name(name):
            message = f"{_shown(name)} is not the name of a tag, which has up to 64 of a-z, 0-9, _, . and -"
            problems.append(Problem(("accounts", "tags", index), message))
    for index, name in enumerate(accounts.end_user_headers):
        problem = _header_problem(name.strip())
        if problem is not None:
            problems.append(Problem(("accounts", "end_user_headers", index), problem))
    if accounts.webhook is not None and (problem := webhook_problem(accounts.webhook.reveal())) is not None:
        problems.append(Problem(("accounts", "webhook"), problem))
        hint = hint or 'Set a URL such as "https://example.com/hook".'
    if accounts.webhook_secret is not None and (problem := weakness(accounts.webhook_secret.reveal())) is not None:
        problems.append(Problem(("accounts", "webhook_secret"), problem))
        hint = hint or "Generate one with: openssl rand -hex 24"
    if not accounts.enabled:
        unused = [name for name in _WITHOUT_ACCOUNTS if getattr(accounts, name)]
        problems += [
            Problem(("accounts", name), f"has no effect while accounts.enabled is false: {_WITHOUT_ACCOUNTS[name]}")
            for name in unused
        ]
        hint = hint or "Set accounts.enabled = true, or remove it." if unused else hint
    if problems:
        raise ConfigError([str(problem) for problem in problems], hint=hint)


def webhook_problem(url: str) -> str | None:
    """What is wrong with a URL, which may be a secret and is not quoted."""
    try:
        origin, parts = Origin.parse(url), urlsplit(url)
    except ValueError:
        return "it is not an http or https URL"
    if parts.username is not None or parts.password is not None:
        return "a user and a password cannot be in the URL"
    if not _TARGET.fullmatch(target_of(url)) or not _HOST.fullmatch(origin.host):
        return "it has characters that a URL cannot have"
    return None


def target_of(url: str) -> str:
    """Path and query of a URL."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def header_names(headers: Sequence[str]) -> tuple[bytes, ...]:
    """``accounts.end_user_headers`` as they are compared, in their order. They have been checked."""
    return tuple(name.strip().lower().encode("ascii") for name in headers)


def _header_problem(name: str) -> str | None:
    if not _TOKEN.fullmatch(name):
        return f"{_shown(name)} is not the name of a header"
    if name.lower() in _CREDENTIALS:
        return f"{_shown(name)} has a credential, so it cannot name the end user"
    return None


def _shown(text: str) -> str:
    return repr(text[:_MAX_SHOWN])
