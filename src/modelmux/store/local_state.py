"""What a gateway keeps on its own machine: a directory, and in it the key that it seals with if none is configured."""

from __future__ import annotations

import platform
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from modelmux.config.schema import Config
from modelmux.config.seal_keys import parse_seal_key
from modelmux.store.counters.shared import CounterTable, counter_table
from modelmux.store.files import create_once, state_directory, tighten

KEY_FILE: Final = "seal.key"
_KEY_BYTES: Final = 64
#: What to do where the key cannot be kept.
KEY_REMEDY: Final = (
    "set server.state_dir to a writable directory, or server.seal_keys to the output of `openssl rand -hex 64`"
)
MEMORY_KEY_WARNING: Final = (
    "the seal key is kept in memory ({}): what clients got sealed cannot be opened after a restart; " + KEY_REMEDY
)


class LocalState:
    """Made before workers are forked, so that all of them have the same key.

    :param directory: None to write nothing.
    :param problem: why there is no directory, for people.
    """

    def __init__(self, directory: Path | None, problem: str | None = None) -> None:
        self.directory = directory
        #: What an operator should do about the key, a sentence each.
        self.warnings: tuple[str, ...] = ()
        self.problem = problem
        #: What workers count in together; None for a process that counts alone.
        self.counters: CounterTable | None = None
        #: Names those that count limits together, among nodes that share accounts.
        self.node = f"{platform.node()}:{secrets.token_hex(4)}"
        self._memory_key = secrets.token_bytes(_KEY_BYTES)
        self._key: bytes | None = None

    @classmethod
    def of_service(cls, config: Config, environment: Mapping[str, str]) -> LocalState:
        """For a gateway that runs as a program of its own: what it seals can be opened after a restart."""
        try:
            state = cls(state_directory(config.server.state_dir, environment))
        except RuntimeError:
            state = cls(None, "there is no home directory")
        if config.accounts.enabled:
            state.counters = counter_table(config.server.workers)
        return state

    @classmethod
    def of_library(cls, config: Config, environment: Mapping[str, str]) -> LocalState:
        """For a gateway inside another program: nothing is written unless a setting needs a directory."""
        needs_directory = (
            config.server.state_dir
            or config.responses.store == "sqlite"
            or config.accounts.enabled
            or config.traces.enabled
            or config.capture.enabled
        )
        return cls.of_service(config, environment) if needs_directory else cls(None)

    def worker_ended(self, worker: int) -> None:
        """What it had running is over. :param worker: from 1; no other process has its number yet."""
        if self.counters is not None:
            self.counters.worker_ended(worker)

    def seal_key(self) -> bytes:
        """The key that this gateway made, now or at an earlier start. Where it cannot be kept, it is in memory and
        ``warnings`` say so."""
        if self._key is None:
            self._key = self._load_key()
        return self._key

    def _load_key(self) -> bytes:
        problem, path = self.problem, None if self.directory is None else self.directory / KEY_FILE
        if path is not None:
            try:
                return self._read_or_create(path)
            except OSError as error:
                problem = f"{path}: {error.strerror or error}"
            except ValueError as error:
                problem = f"{path}: {error}"
        if problem is not None:
            self.warnings = (MEMORY_KEY_WARNING.format(problem),)
        return self._memory_key

    def _read_or_create(self, path: Path) -> bytes:
        """:raises OSError, ValueError: the file cannot be created, read or used."""
        create_once(path, write_key)
        key = read_key(path)
        try:
            was_open = tighten(path)
        except OSError as error:  # a mounted file, for example
            self.warnings = (f"{path}: others can read it ({error.strerror or error}); run chmod 600 on it",)
        else:
            if was_open:
                self.warnings = (
                    f"{path}: others could read it until now; delete it to have a new key made at a restart",
                )
        return key


def write_key(path: Path) -> None:
    """Write a new random key."""
    path.write_text(secrets.token_hex(_KEY_BYTES) + "\n", "ascii")


def read_key(path: Path) -> bytes:
    """:raises OSError, ValueError: the file cannot be read, or holds no key."""
    with path.open("rb") as file:
        return parse_seal_key(file.read(1024).decode("ascii", "replace"))
