"""The URL of a Redis or Valkey server: what of it is understood, and how it is shown without its password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

EXAMPLE: Final = "rediss://modelmux:PASSWORD@redis.example.com:6379/0"
#: Scheme -> whether it is over TLS.
_SCHEMES: Final = {"redis": False, "rediss": True, "valkey": False, "valkeys": True}
#: User and password, host, port, database. Other characters of a password are percent-encoded.
_FORM: Final = re.compile(
    r"(?:redis|valkey)s?://(?:[^\s/?#@:]*(?::[^\s/?#@]*)?@)?(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[0-9]{0,5})?"
)
_PORT: Final = 6379
#: The setting that names a server unless another one is meant.
LIMITS: Final = "limits.redis"


class BadRedisUrl(ValueError):
    """It is not one that can be used. The message does not quote it."""


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A URL that was checked.

    :param user, password: None for none; repr leaves them out.
    :param setting: which names it, for messages.
    """

    host: str
    port: int
    database: int
    is_tls: bool
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    setting: str = LIMITS

    def __str__(self) -> str:
        """Without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.is_tls else ''}://{host}:{self.port}/{self.database}"


def is_redis(text: str) -> bool:
    """Whether a text is meant to be the URL of a Redis or Valkey server."""
    return text.startswith(tuple(f"{scheme}://" for scheme in _SCHEMES))


def parse_redis_url(text: str, setting: str = LIMITS) -> RedisUrl:
    """:raises BadRedisUrl:"""
    if not _FORM.fullmatch(text):
        raise BadRedisUrl(
            "it is not the URL of a Redis server; write / ? # @ : and % of a password as %2F %3F %23 %40 %3A %25"
        )
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if port is not None and not 0 < port < 65536:
        raise BadRedisUrl("its port is not from 1 to 65535")
    return RedisUrl(
        host=parts.hostname or "",
        port=port or _PORT,
        database=int(parts.path[1:] or 0),
        is_tls=_SCHEMES[parts.scheme],
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        setting=setting,
    )
