"""The URL of a PostgreSQL database: what of it is understood, and how it is shown without its password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, unquote_plus, urlencode, urlsplit

SCHEMES: Final = ("postgresql://", "postgres://")
#: Parameters that are passed on. Others would be settings of the session, which PgBouncer refuses.
PARAMETERS: Final = frozenset({
    "host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "ssl_min_protocol_version",
    "ssl_max_protocol_version", "target_session_attrs", "passfile", "krbsrvname",
})  # fmt: skip
#: A parameter that is not passed on: seconds that a step of an upgrade may take, and what it is without it.
MIGRATION: Final = "migration_timeout"
MIGRATION_TIMEOUT: Final = 600.0
#: The setting that names a database unless another one is meant.
ACCOUNTS: Final = "accounts.store"
EXAMPLE: Final = "postgresql://modelmux:PASSWORD@db.example.com/modelmux?sslmode=verify-full"
#: User and password, hosts, database, parameters. Other characters of a password are percent-encoded.
_FORM: Final = re.compile(r"postgres(?:ql)?://(?:[^\s/?#@]*@)?[^\s/?#@]*/[^\s/?#]+(?:\?[^\s#]*)?")
#: PostgreSQL takes up to 2 ** 31 - 1 milliseconds, which are a little more.
_SECONDS: Final = re.compile(r"[1-9][0-9]{0,5}")
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


class BadUrl(ValueError):
    """It is not one that can be used. The message does not quote it."""


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A URL that was checked.

    :param url: with its password, which repr leaves out, and without ``MIGRATION``.
    :param hosts: with their ports; a folder of sockets if ``host`` is a parameter; empty for the usual one.
    :param setting: which names it, for messages.
    :param migration_timeout: seconds that a statement of a migration may take.
    """

    url: str = field(repr=False)
    hosts: str
    database: str
    setting: str = ACCOUNTS
    migration_timeout: float = MIGRATION_TIMEOUT

    def __str__(self) -> str:
        """Without user and password."""
        return f"postgresql://{self.hosts}/{self.database}"


def is_postgres(text: str) -> bool:
    """Whether a text is meant to be the URL of a PostgreSQL database."""
    return text.startswith(SCHEMES)


def parse_postgres_url(text: str, setting: str = ACCOUNTS) -> PostgresUrl:
    """:raises BadUrl:"""
    if not _FORM.fullmatch(text):
        raise BadUrl("it is not the URL of a database; write / ? # @ : and % of a password as %2F %3F %23 %40 %3A %25")
    parts = urlsplit(text)
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "password" in parameters or "user" in parameters:
        raise BadUrl("user and password have to be in front of the host, as in USER:PASSWORD@HOST")
    known = PARAMETERS | {MIGRATION}
    unknown = sorted(parameters.keys() - known)
    if unknown:
        raise BadUrl(f"it has the parameter {unknown[0][:40]!r}; expected some of {', '.join(sorted(known))}")
    seconds = parameters.get(MIGRATION, f"{MIGRATION_TIMEOUT:g}")
    if not _SECONDS.fullmatch(seconds):
        raise BadUrl(f"{MIGRATION}: expected seconds, up to 999999, as in {MIGRATION}=7200")
    mode = parameters.get("sslmode", "prefer")
    if mode not in _SSL_MODES:
        raise BadUrl(f"sslmode: expected one of {', '.join(_SSL_MODES)}")
    hosts = parts.netloc.rpartition("@")[2] or parameters.get("host", "")
    return PostgresUrl(_passed_on(text), unquote(hosts), unquote(parts.path[1:]), setting, float(seconds))


def _passed_on(text: str) -> str:
    head, mark, query = text.partition("?")
    others = [one for one in query.split("&") if unquote_plus(one.partition("=")[0]) != MIGRATION]
    return f"{head}{mark if others else ''}{'&'.join(others)}"


def urls_of_hosts(url: PostgresUrl) -> tuple[str, ...]:
    """The URL with each of its hosts alone, in their order."""
    parts = urlsplit(url.url)
    head, mark, query = url.url.partition("?")
    user, at, hosts = parts.netloc.rpartition("@")
    if hosts:
        return tuple(f"{parts.scheme}://{user}{at}{host}{parts.path}{mark}{query}" for host in hosts.split(","))
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    names, ports = parameters.get("host", "").split(","), parameters.get("port", "").split(",")
    if len(names) == 1 or len(ports) not in (1, len(names)):
        return (url.url,)  # with other numbers of ports than of hosts it is refused
    pairs = zip(names, ports if len(ports) > 1 else ports * len(names), strict=True)
    alone = ({key: value for key, value in (("host", host), ("port", port)) if value} for host, port in pairs)
    return tuple(f"{head}?{urlencode(parameters | one)}" for one in alone)
