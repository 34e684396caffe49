"""What the gateway keeps on this machine: whether its seal key, stored responses and ledger can be kept. Leaves no
file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.config import Config, ConfigError
from modelmux.config.home import visible
from modelmux.store.file_kinds import ACCOUNTS, HEADER_BYTES, RESPONSES, FileKind, has_sqlite
from modelmux.store.files import dangling
from modelmux.store.ledger.open_ledger import ledger_path
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


def check_state(context: DoctorContext) -> Iterator[Result]:
    """The seal key and the store of responses, as ``serve`` would have them."""
    if context.config is not None:
        state = LocalState.of_service(context.config, context.process)
        yield check_seal_key(context.config, state)
        yield check_store(context.config, state)
        if context.config.accounts.enabled:
            yield check_ledger(context.config, context.process)


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


def check_ledger(config: Config, environment: Mapping[str, str]) -> Result:
    """Whether rows can be written. Without a ledger the gateway does not start."""
    try:
        path = ledger_path(config, environment)
    except ConfigError as error:
        return Result(_LEDGER, "fail", error.problems[0], error.hint)
    problem = dangling(path) or unwritable(Path(os.path.realpath(path)).parent)
    if problem is None and visible(path):
        problem = file_problem(path, ACCOUNTS)
    if problem is not None:
        return Result(_LEDGER, "fail", problem, "make its directory writable, or set accounts.store to another path")
    return Result(_LEDGER, "ok", f"in {path}")


def unwritable(directory: Path) -> str | None:
    """Why a directory cannot be created or written to by the user of this command; None if it can. A file without a
    name is created in it, or in the nearest parent that exists: permissions do not tell of systems such as /proc."""
    existing = next((path for path in (directory, *directory.parents) if visible(path)), Path("/"))
    if not existing.is_dir():
        return f"{directory}: {existing} is not a directory"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{directory}: no permission to write in {existing}"
    try:
        tempfile.TemporaryFile(dir=existing).close()
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
