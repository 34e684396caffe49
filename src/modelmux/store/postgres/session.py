"""A connection to PostgreSQL, and the transactions on it.

All of it works through PgBouncer in transaction mode, where each transaction may run on another connection of the
server. So every statement is within a transaction, settings are those of the transaction, locks end with it, and no
statement is prepared for later.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, Protocol

from modelmux.config.postgres_url import ACCOUNTS, PostgresUrl, urls_of_hosts
from modelmux.store.base import StoreFailed
from modelmux.store.postgres.problems import code_of

#: Seconds that opening a connection may take, of several hosts together.
CONNECT_TIMEOUT: Final = 5.0
REMEDY: Final = (
    "{setting} needs the package asyncpg, which is not installed; install modelmux-gateway[postgres], or set "
    "{setting} to {other}"
)
#: What a setting may be without asyncpg.
_OTHERS: Final = {ACCOUNTS: '"sqlite:accounts.db"'}
_APPLICATION: Final = "modelmux"
#: Classes of codes of a host that cannot be used now: its server starts, stops, or is a standby without reads; or a
#: connection is accepted and closed, as by a proxy that has no server.
_CANNOT_BE_USED: Final = ("57", "08")
_BEGIN: Final = (
    "BEGIN {mode}; SET LOCAL statement_timeout = {timeout}; SET LOCAL lock_timeout = {timeout}; "
    "SET LOCAL idle_in_transaction_session_timeout = {timeout}"
)
#: The server ends a client that is silent between two statements, but not one between the messages of a statement, of
#: which the driver sends two: one to learn the types of its parameters, and one with these.
_END_SILENT: Final = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() "
    "AND usename = current_user AND application_name = current_setting('application_name') "
    "AND state = 'active' AND wait_event = 'ClientRead' AND xact_start IS NOT NULL "
    "AND state_change < clock_timestamp() - make_interval(secs => $1)"
)
#: To write: each statement sees what others have committed before it. To read: from one state of the database.
WRITE: Final = "ISOLATION LEVEL READ COMMITTED READ WRITE"
READ: Final = "ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Session(Protocol):
    """What is used of asyncpg's connection, within a transaction."""

    async def execute(self, sql: str, *values: object) -> str: ...

    async def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None: ...

    async def fetch(self, sql: str, *values: object) -> list[Any]: ...

    async def fetchrow(self, sql: str, *values: object) -> Any: ...

    async def fetchval(self, sql: str, *values: object) -> Any: ...


def driver(setting: str = ACCOUNTS) -> Any:
    """The module asyncpg. :param setting: which needs it. :raises StoreFailed: it is not installed."""
    try:
        import asyncpg  # an extra
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise StoreFailed(REMEDY.format(setting=setting, other=_OTHERS.get(setting, '"memory"'))) from None
    return asyncpg


async def connect(url: PostgresUrl, timeout: float = CONNECT_TIMEOUT) -> Any:
    """A connection of asyncpg, to the first host of the URL that can be used.

    Each gets its share of the time: one that is switched off answers nothing, and the next one may have taken over.

    :raises StoreFailed: asyncpg is not installed. :raises Exception: of asyncpg, of the system.
    """
    module = driver(url.setting)
    *others, last = urls_of_hosts(url)
    options = {
        "timeout": timeout / (len(others) + 1), "statement_cache_size": 0,
        "server_settings": {"application_name": _APPLICATION},
    }  # fmt: skip
    for one in others:
        try:
            return await module.connect(one, **options)
        except (OSError, module.TargetServerAttributeNotMatched):
            continue
        except module.PostgresError as error:
            if code_of(error)[:2] not in _CANNOT_BE_USED:
                raise
    return await module.connect(last, **options)


async def begin(connection: Any, mode: str, timeout: float) -> None:
    """Begin a transaction. Its settings end with it: one trip to the server for all of them.

    :param mode: ``READ`` or ``WRITE``.
    :param timeout: seconds that a statement may take, or wait for a lock, and that the client may be silent.
    """
    await connection.execute(_BEGIN.format(mode=mode, timeout=max(1, round(timeout * 1000))))


async def limit(session: Session, timeout: float) -> None:
    """Within a transaction. :param timeout: seconds that each of its further statements may take."""
    await session.execute(f"SET LOCAL statement_timeout = {max(1, round(timeout * 1000))}")


async def limit_locking(session: Session, timeout: float) -> None:
    """Within a transaction, before a lock that others wait for.

    :param timeout: seconds that it waits for a lock, behind which others wait, and that the client may be silent.
    """
    milliseconds = max(1, round(timeout * 1000))
    await session.execute(
        f"SET LOCAL lock_timeout = {milliseconds}; SET LOCAL idle_in_transaction_session_timeout = {milliseconds}"
    )


async def end_silent(session: Session, seconds: float) -> int:
    """End other sessions of ModelMux that stopped within a statement, as do those of a process or a machine that stands
    still: what they have locked would be locked for as long as they do.

    :param seconds: for which they have sent nothing. :returns: how many.
    """
    count: int = await session.fetchval(_END_SILENT, seconds)
    return count


@contextlib.asynccontextmanager
async def ending(connection: Any) -> AsyncIterator[Session]:
    """The rest of a transaction around the block; rolled back if that raises."""
    try:
        yield connection
        await connection.execute("COMMIT")
    except BaseException as error:
        # One that was cancelled, as by a timeout, waits for an answer that may never come, and so would ROLLBACK: the
        # caller ends its connection.
        if isinstance(error, Exception) and not connection.is_closed() and connection.is_in_transaction():
            with contextlib.suppress(Exception):  # the first error tells more; the server rolls back what is cut off
                await connection.execute("ROLLBACK")
        raise
