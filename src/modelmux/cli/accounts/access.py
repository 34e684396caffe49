"""What the commands of accounts read and change: the protocol, and the store of a configuration behind it."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final, Protocol

from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.budget_windows import WindowState, current_adjustments
from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.records import Key, Secret
from modelmux.cli.output import printable, warn
from modelmux.cli.usage.end_users import end_user_as_stored
from modelmux.cli.usage.options import read_zone
from modelmux.config import Config
from modelmux.config.home import visible
from modelmux.runtime import Runtime
from modelmux.store.directory.base import AuditLimits, AuditRow, Author, DirectoryStore
from modelmux.store.directory.issuer import Issuer, NewIds
from modelmux.store.directory.open_directory import open_directory, read_peppers
from modelmux.store.ledger.budget_states import states_of
from modelmux.store.ledger.open_ledger import database_of, ledger_path

if sys.platform != "win32":
    import pwd

_MICRO: Final = 1_000_000
_OTHER_USER: Final = (
    "if the gateway runs as another user or a service, pass the path of its file: --set accounts.store=sqlite:…"
)


class SecretIssuer(Protocol):
    """Makes ids and secrets: see ``Issuer``."""

    def id(self, prefix: str) -> str: ...

    def secret(self, key: str) -> tuple[str, Secret]: ...


class Access(Protocol):
    """The accounts of a gateway.

    :ivar config: that of the gateway, if it is on this machine.
    :ivar author: in whose name changes are made.
    :ivar now: microseconds in UTC.
    """

    @property
    def config(self) -> Config | None: ...

    @property
    def ids(self) -> NewIds: ...

    @property
    def author(self) -> Author: ...

    @property
    def now(self) -> int: ...

    async def read(self) -> Directory:
        """The directory of now. Nothing is created."""
        ...

    async def secrets_of(self, directory: Directory, key: Key) -> list[Secret]:
        """Those of a key that may still be valid, the newest last."""
        ...

    async def states_of(
        self, directory: Directory, chosen: Iterable[tuple[Budget, str | None]], most: int = 100
    ) -> list[list[WindowState]]:
        """See ``budget_states``."""
        ...

    async def adjustments_of(self, directory: Directory, budget: Budget) -> list[Adjustment]:
        """Those that count now, in the order in which they apply."""
        ...

    async def zone(self) -> tzinfo:
        """``accounts.zone``."""
        ...

    def end_user(self, name: str) -> str:
        """An end user as windows of budgets have it."""
        ...

    def issuer(self) -> SecretIssuer:
        """For new secrets alone: what they are hashed with is made if it is not there."""
        ...

    async def change(self, decide: Callable[[Directory], Edit]) -> tuple[Directory, Edit]:
        """Change it, in the author's name; the edit is what was written."""
        ...

    def text_of(self, issued: str) -> str:
        """The secret that was written, after a change with one of the issuer."""
        ...

    async def audit(self, subject: str | None, limit: int) -> list[AuditRow]:
        """Changes, the newest first."""
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True)
class StoreAccess:
    """The directory of a configuration."""

    store: DirectoryStore
    config: Config
    ids: NewIds
    new_issuer: Callable[[], Issuer]
    author: Author
    now: int

    @classmethod
    def of(cls, config: Config, runtime: Runtime) -> StoreAccess:
        """:raises ConfigError:"""
        store = open_directory(config)
        return cls(
            store=store,
            config=config,
            ids=NewIds(runtime.now),
            new_issuer=lambda: Issuer(read_peppers(config, directory=store.load), runtime.now),
            author=Author(user_name(), "cli"),
            now=int(runtime.now() * _MICRO),
        )

    async def read(self) -> Directory:
        directory, path = await self.store.read(Directory()), ledger_path(self.config)
        if database_of(self.config) is None and not visible(path):
            warn([f"there is no file {printable(path)} yet; {_OTHER_USER}"])
        return directory

    async def secrets_of(self, directory: Directory, key: Key) -> list[Secret]:
        secrets = directory.secrets_of(key.id)
        return [one for one in secrets if one.valid_until is None or one.valid_until > self.now]

    async def states_of(
        self, directory: Directory, chosen: Iterable[tuple[Budget, str | None]], most: int = 100
    ) -> list[list[WindowState]]:
        read_zone(None, self.config)  # exits with a remedy if this machine lacks it
        return await states_of(self.config, directory, self.now, chosen, most)

    async def adjustments_of(self, directory: Directory, budget: Budget) -> list[Adjustment]:
        return current_adjustments(directory, budget, self.now, await self.zone())

    async def zone(self) -> tzinfo:
        return read_zone(None, self.config)[1]

    def end_user(self, name: str) -> str:
        return end_user_as_stored(name, self.config)

    def issuer(self) -> Issuer:
        return self.new_issuer()

    async def change(self, decide: Callable[[Directory], Edit]) -> tuple[Directory, Edit]:
        path = ledger_path(self.config)
        was_there = visible(path)
        changed = await self.store.change(decide, self.author, self.now)
        if not was_there and visible(path):
            warn([f"there was no file {printable(path)}, and one was made; {_OTHER_USER}"])
        return changed

    def text_of(self, issued: str) -> str:
        return issued

    async def audit(self, subject: str | None, limit: int) -> list[AuditRow]:
        return (await self.store.audit(subject=subject, limits=AuditLimits(limit))).rows

    async def aclose(self) -> None:
        await self.store.aclose()


def user_name() -> str:
    """Of this process, as the system knows it: variables such as ``LOGNAME`` may name anybody."""
    if sys.platform == "win32":
        return getpass.getuser()
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # such as in a container
        return f"uid {uid}"
