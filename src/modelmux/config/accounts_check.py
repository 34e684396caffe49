"""``[accounts]`` beyond its types: the zone, the names of tags, and the headers that name an end user."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.attribution import is_tag_name
from modelmux.accounts.fields import FieldError
from modelmux.config.check import Problem
from modelmux.config.errors import ConfigError
from modelmux.config.postgres_url import EXAMPLE, BadUrl, is_postgres, parse_postgres_url
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
    for setting, sentence in _database_problems(accounts):
        problems.append(Problem(("accounts", setting), sentence))
        hint = hint or f'Write "{EXAMPLE}".'
    if is_postgres(accounts.store) and accounts.enabled and not accounts.peppers:
        problems.append(Problem(("accounts", "peppers"), "none is set, and nodes that share a database need the same"))
        hint = hint or "Generate one with: openssl rand -hex 32"
    for index, name in enumerate(accounts.tags):
        if not is_tag_name(name):
            message = f"{_shown(name)} is not the name of a tag, which has up to 64 of a-z, 0-9, _, . and -"
            problems.append(Problem(("accounts", "tags", index), message))
    problems += _header_problems(accounts)
    for problem, remedy in (*_outage_problems(accounts), *_webhook_problems(accounts)):
        problems.append(problem)
        hint = hint or remedy
    if not accounts.enabled:
        unused = [name for name in _WITHOUT_ACCOUNTS if getattr(accounts, name)]
        problems += [
            Problem(("accounts", name), f"has no effect while accounts.enabled is false: {_WITHOUT_ACCOUNTS[name]}")
            for name in unused
        ]
        hint = hint or "Set accounts.enabled = true, or remove it." if unused else hint
    if problems:
        raise ConfigError([str(problem) for problem in problems], hint=hint)


def _database_problems(accounts: AccountsConfig) -> Iterator[tuple[str, str]]:
    """Settings and what is wrong with their URLs, which have passwords and are not quoted."""
    listen_url = None if accounts.listen_url is None else accounts.listen_url.reveal()
    if listen_url is not None and not is_postgres(accounts.store):
        yield "listen_url", "has no effect while accounts.store is not the URL of a PostgreSQL database"
    for path, url in (("store", accounts.store if is_postgres(accounts.store) else None), ("listen_url", listen_url)):
        if url is not None:
            try:
                parse_postgres_url(url)
            except BadUrl as error:
                yield path, str(error)


def outage_allowance(accounts: AccountsConfig) -> int:
    """nano-USD that all processes together may hold beyond leases; 0 for nothing. It has been checked."""
    is_open = accounts.on_outage == "open"
    return parse_amount("outage_allowance", accounts.outage_allowance, "usd") if is_open else 0


def _outage_problems(accounts: AccountsConfig) -> Iterator[tuple[Problem, str]]:
    """Each with its remedy."""
    path, is_open = ("accounts", "outage_allowance"), accounts.on_outage == "open"
    try:
        amount = parse_amount("outage_allowance", accounts.outage_allowance, "usd")
    except FieldError as error:
        yield Problem(path, error.problem), error.remedy
        return
    if amount < 0:
        yield Problem(path, "it is below 0"), 'Write US dollars in quotes, such as "5".'
    elif is_open and not amount:
        sentence = 'it is 0, so that accounts.on_outage = "open" serves nothing'
        yield Problem(path, sentence), 'Set an amount in USD such as "5", or remove accounts.on_outage.'
    elif amount and not is_open:
        yield Problem(path, 'has no effect while accounts.on_outage is "closed"'), 'Set accounts.on_outage = "open".'


def _webhook_problems(accounts: AccountsConfig) -> Iterator[tuple[Problem, str]]:
    """Each with its remedy."""
    if accounts.webhook is not None and (problem := webhook_problem(accounts.webhook.reveal())) is not None:
        yield Problem(("accounts", "webhook"), problem), 'Set a URL such as "https://example.com/hook".'
    if accounts.webhook_secret is not None and (problem := weakness(accounts.webhook_secret.reveal())) is not None:
        yield Problem(("accounts", "webhook_secret"), problem), "Generate one with: openssl rand -hex 24"
    for index, network in enumerate(accounts.webhook_networks):
        if not _is_network(network):
            sentence = f"{_shown(network)} is not a network"
            remedy = 'Write a network such as "10.20.0.0/16", without bits behind its length.'
            yield Problem(("accounts", "webhook_networks", index), sentence), remedy


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


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def target_of(url: str) -> str:
    """Path and query of a URL."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def header_names(headers: Sequence[str]) -> tuple[bytes, ...]:
    """``accounts.end_user_headers`` as they are compared, in their order. They have been checked."""
    return tuple(name.strip().lower().encode("ascii") for name in headers)


def _header_problems(accounts: AccountsConfig) -> Iterator[Problem]:
    """Of settings that name a header of requests."""
    users = [(("end_user_headers", index), name.strip()) for index, name in enumerate(accounts.end_user_headers)]
    address = [] if accounts.address_header is None else [(("address_header",), accounts.address_header)]
    for named, cannot in ((users, "name the end user"), (address, "tell an address")):
        for path, name in named:
            if not _TOKEN.fullmatch(name):
                yield Problem(("accounts", *path), f"{_shown(name)} is not the name of a header")
            elif name.lower() in _CREDENTIALS:
                yield Problem(("accounts", *path), f"{_shown(name)} has a credential, so it cannot {cannot}")


def _shown(text: str) -> str:
    return repr(text[:_MAX_SHOWN])
