"""What an error of PostgreSQL, or of the network before it, means for an operator, and what to do about it."""

from __future__ import annotations

import ssl
from typing import Final

from modelmux.config.postgres_url import ACCOUNTS, PostgresUrl
from modelmux.store.base import StoreFailed

_UNREACHABLE: Final = "cannot be reached ({}); check host and port of {setting}, and that the server runs"
_DENIED: Final = "refuses user or password ({}); check them in {setting}, and pg_hba.conf of the server"
_RIGHTS: Final = "denies a right ({}); let the user of {setting} own its database or schema"
_BUSY: Final = "is busy ({}); if that lasts, look at pg_stat_activity"
#: The code of a statement that took too long.
QUERY_CANCELED: Final = "57014"
#: The code of a statement that waited too long for a lock.
LOCK_NOT_AVAILABLE: Final = "55P03"
#: Code of an error, or the class that begins it -> problem and remedy (PostgreSQL 15, appendix A).
_BY_CODE: Final = {
    "28": _DENIED,
    "3D000": "has no such database ({}); create it, or correct {setting}",
    "42501": _RIGHTS,
    "25006": "takes no writes ({}); name the primary, or add target_session_attrs=read-write to {setting}",
    QUERY_CANCELED: _BUSY,
    LOCK_NOT_AVAILABLE: _BUSY,
    "53300": "has no connection left ({}); raise max_connections, or put PgBouncer in front",
    "53100": "has a full disk ({}); make room on it",
    "57": "is stopping or starting ({}); it is tried again",
    "08": "cut the connection ({}); it is tried again",
}
#: A transaction that is repeated: it collided with another one.
_COLLIDED: Final = frozenset({"40001", "40P01"})
_LONGEST: Final = 200


def code_of(error: BaseException) -> str:
    """The SQLSTATE; empty if the server did not answer."""
    return str(getattr(error, "sqlstate", None) or "")


def is_collision(error: BaseException) -> bool:
    """Whether the same transaction may succeed when it is repeated."""
    return code_of(error) in _COLLIDED


def is_of_server(error: BaseException) -> bool:
    """Whether an error is one of PostgreSQL, its driver or the network, and no mistake of the caller."""
    return code_of(error) != "" or isinstance(error, OSError) or type(error).__module__.startswith("asyncpg")


def describe(error: BaseException, setting: str = ACCOUNTS) -> str:
    """A problem and its remedy, without the database. :param setting: which names it."""
    text = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
    if isinstance(error, TimeoutError):
        return _UNREACHABLE.format("no answer in time", setting=setting)
    if isinstance(error, ssl.SSLError) or (isinstance(error, ConnectionError) and "SSL" in text):
        return f"cannot be reached by TLS ({text}); check sslmode and sslrootcert in {setting}"
    code = code_of(error)
    form = _BY_CODE.get(code) or _BY_CODE.get(code[:2])
    if form is not None:
        return form.format(text, setting=setting)
    if isinstance(error, OSError):
        return _UNREACHABLE.format(error.strerror or text, setting=setting)
    return f"failed ({text})"


def failure(url: PostgresUrl, error: BaseException) -> StoreFailed:
    """The error for the log."""
    return StoreFailed(f"{url}: {describe(error, url.setting)}")
