"""What the gateway keeps on this machine: whether its seal key, stored responses and ledger can be kept. Leaves no
file.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from modelmux.cli.doctor.conversations import check_shared_responses, check_thinking
from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.config import Config, ConfigError
from modelmux.config.captures import captured_days, captured_whose, captures
from modelmux.config.home import visible
from modelmux.config.postgres_url import is_postgres
from modelmux.store.base import StoreFailed, StoreOutdated
from modelmux.store.file_kinds import ACCOUNTS, CAPTURES, CAPTURES_FILE, HEADER_BYTES, RESPONSES, FileKind, has_sqlite
from modelmux.store.files import dangling
from modelmux.store.ledger.base import Ledger, LedgerState
from modelmux.store.ledger.open_ledger import ledger_path, open_existing_ledger, store_name
from modelmux.store.local_state import KEY_FILE, KEY_REMEDY, LocalState, read_key
from modelmux.store.open_responses import (
    FILE_NAME,
    FILE_REMEDY,
    STORE_REMEDY,
    describe_duration,
    left_over,
    not_shared,
    store_kind,
)  # fmt: skip

_KEY: Final = "seal key"
_STORE: Final = "stored responses"
_LEDGER: Final = "ledger"
_LEDGER_REMEDY: Final = "make its directory writable, with room on its disk, or set accounts.store to another path"
_CAPTURES: Final = "captured bodies"
_FAILOVER: Final = "database failover"
#: What has to fit on the disk of a directory that is written to.
_ROOM_BYTES: Final = 64 * 1024
_NO_STANDBY: Final = (
    "synchronous_standby_names is empty: a failover may lose what was written last, and then budgets may be passed by "
    "what nodes had leased and spent in it"
)
_STANDBY_REMEDY: Final = (
    "set it on the primary, with a standby; nothing has to be done where the storage of the database is replicated "
    "before it answers"
)


def check_state(context: DoctorContext) -> Iterator[Result]:
    """The seal key and the store of responses, as ``serve`` would have them."""
    if context.config is not None:
        state = LocalState.of_service(context.config, context.process)
        yield check_seal_key(context.config, state)
        yield check_store(context.config, state)
        yield from check_thinking(context.config)
        yield from check_captures(context.config, state)
        if context.config.accounts.enabled:
            yield from check_ledger(context.config, context.process)


def check_seal_key(config: Config, state: LocalState) -> Result:
    """Whether there is a key that outlives a restart."""
    count = len(config.server.seal_keys)
    if count:
        return Result(_KEY, "ok", f"{count} configured" if count > 1 else "configured")
    if state.directory is None:
        return Result(_KEY, "warn", f"is kept in memory: {state.problem}", KEY_REMEDY)
    path = state.directory / KEY_FILE
    try:
        read_key(path)
        mode = path.stat().st_mode & 0o777
    except (FileNotFoundError, NotADirectoryError):
        problem = unwritable(state.directory)
        if problem is not None:
            return Result(_KEY, "warn", f"would be kept in memory: {problem}", KEY_REMEDY)
        return Result(_KEY, "ok", f"{path} will be created")
    except OSError as error:
        return Result(_KEY, "warn", f"{path}: {error.strerror or error}", KEY_REMEDY)
    except ValueError as error:
        return Result(
            _KEY, "warn", f"{path}: {error}", "delete the file, and restart the gateway to have a new one made"
        )
    if os.name == "posix" and mode & 0o077:
        return Result(_KEY, "warn", f"{path}; mode {mode:04o} lets others read it", f"run chmod 600 {path}")
    return Result(_KEY, "ok", str(path))


def check_store(config: Config, state: LocalState) -> Result:
    """Where responses are stored, and whether they can be."""
    kind, ttl = store_kind(config, state), describe_duration(float(config.responses.ttl))
    if kind == "postgres":
        return check_shared_responses(config, state, _STORE)
    if kind in ("off", "memory"):
        where = "turned off by responses.store" if kind == "off" else f"in memory, for {ttl} after their last use"
        problems = [*filter(None, (not_shared(config) if kind == "memory" else None, left_over(state)))]
        return Result(_STORE, "warn" if problems else "ok", where, "; ".join(problems) or None)
    if state.directory is None:
        return Result(_STORE, "warn", f"turned off: {state.problem}", STORE_REMEDY)
    path = state.directory / FILE_NAME
    problem, remedy = unwritable(state.directory), STORE_REMEDY
    if problem is None and visible(path):
        problem, remedy = file_problem(path, RESPONSES), FILE_REMEDY
    if problem is not None:
        return Result(_STORE, "warn", f"turned off: {problem}", remedy)
    return Result(_STORE, "ok", f"in {path}, for {ttl} after their last use")


def check_captures(config: Config, state: LocalState) -> Iterator[Result]:
    """Whose bodies are kept, and where; nothing where none are."""
    path = None if state.directory is None else state.directory / CAPTURES_FILE
    try:
        is_on = captures(config)
    except ConfigError as error:
        yield Result(_CAPTURES, "fail", error.problems[0], error.hint)
        return
    if not is_on:
        if path is not None and visible(path):
            remedy = "delete it, with -wal and -shm beside it; otherwise they are dropped when their time is over"
            yield Result(_CAPTURES, "warn", f"none are kept any more, and {path} has those of before", remedy)
        return
    problem = f"cannot be kept: {state.problem}" if path is None else unwritable(path.parent)
    if path is None or problem is not None:
        yield Result(_CAPTURES, "fail", str(problem), KEY_REMEDY)
        return
    if visible(path) and (problem := file_problem(path, CAPTURES)) is not None:
        yield Result(_CAPTURES, "warn", f"lost: {problem}", "delete the file, or move it away")
        return
    yield Result(_CAPTURES, "ok", f"{captured_whose(config)}, in {path} for {captured_days(config)}")


def check_ledger(config: Config, environment: Mapping[str, str]) -> Iterator[Result]:
    """Whether rows can be written. Without a ledger the gateway does not start. And of nodes, how many there are."""
    if not is_postgres(config.accounts.store):
        yield _check_file(config, environment)
        return
    try:
        path = ledger_path(config, environment)
    except ConfigError as error:
        yield Result(_LEDGER, "fail", error.problems[0], error.hint)
        return
    yield from _check_database(config, path)


def _check_file(config: Config, environment: Mapping[str, str]) -> Result:
    try:
        path = ledger_path(config, environment)
    except ConfigError as error:
        return Result(_LEDGER, "fail", error.problems[0], error.hint)
    problem = dangling(path) or unwritable(Path(os.path.realpath(path)).parent)
    if problem is None and visible(path):
        problem = file_problem(path, ACCOUNTS)
    if problem is not None:
        return Result(_LEDGER, "fail", problem, _LEDGER_REMEDY)
    if visible(path):
        from modelmux.store.accounts_check import check_accounts_file  # a Python may have been built without sqlite3

        try:
            check_accounts_file(path)
        except StoreFailed as error:
            problem, _, remedy = str(error).partition("; ")
            return Result(_LEDGER, "fail", problem, remedy or _LEDGER_REMEDY)
    return Result(_LEDGER, "ok", f"in {path}")


def _check_database(config: Config, path: Path) -> Iterator[Result]:
    """Whether the database can be read, and this node can write what it has for itself. Nothing is changed."""
    problem = unwritable(path.parent)
    if problem is not None:
        yield Result(_LEDGER, "fail", problem, "make it writable, or set server.state_dir to another directory")
        return
    where = f"in {store_name(config)}"
    try:
        state = asyncio.run(_look_at(open_existing_ledger(config)))
    except StoreOutdated:
        yield Result(_LEDGER, "ok", f"{where}, which the next start of the gateway prepares")
        return
    except StoreFailed as error:
        problem, _, remedy = str(error).partition("; ")
        yield Result(_LEDGER, "fail", problem, remedy or "look at the log of the database")
        return
    yield Result(_LEDGER, "ok", f"{where}; nodes alive: {state.nodes}")
    if state.has_standby:
        yield Result(_FAILOVER, "ok", "what is written is on a synchronous standby, too")
    else:
        yield Result(_FAILOVER, "warn", _NO_STANDBY, _STANDBY_REMEDY)


async def _look_at(ledger: Ledger) -> LedgerState:
    try:
        return await ledger.state()
    finally:
        await ledger.aclose()


def unwritable(directory: Path) -> str | None:
    """Why a directory cannot be created or written to by the user of this command; None if it can. A file without a
    name is written in it, or in the nearest parent that exists: permissions do not tell of systems such as /proc, nor
    of a full disk."""
    existing = next((path for path in (directory, *directory.parents) if visible(path)), Path("/"))
    if not existing.is_dir():
        return f"{directory}: {existing} is not a directory"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{directory}: no permission to write in {existing}"
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(bytes(_ROOM_BYTES))
            file.flush()
    except OSError as error:
        return f"{directory}: cannot write in {existing}: {error.strerror or error}"
    return None


def file_problem(path: Path, kind: FileKind) -> str | None:
    """Why a file cannot be used. It is not opened as a database: files that SQLite creates on the
    way would belong to the user of this command."""
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError as error:
        return f"{path}: {error.strerror or error}"
    if not os.access(path, os.W_OK):
        return f"{path}: no permission to write to it"
    if not has_sqlite():
        return "this Python has no module sqlite3"
    return kind.header_problem(path, header)
