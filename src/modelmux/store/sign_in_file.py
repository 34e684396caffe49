"""The file of sign-in links and sessions, which the process of the admin API shares with the commands that make links.

It is beside the database of accounts, not in it: a backup that is put back brings no session back to life. Each change
is made under a lock and replaces the file, so a link is used once, whoever asks at the same time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from modelmux.accounts.sign_ins import SignIns
from modelmux.store.base import StoreFailed
from modelmux.store.file_lock import LockTimeout, lock_file
from modelmux.store.files import create_once, replace_private

T = TypeVar("T")
#: Seconds.
_LOCK_TIMEOUT: Final = 5.0
_ACCESS: Final = "run this as the user of the gateway, or as root"
_decode: Final = msgspec.json.Decoder(SignIns).decode
_encode: Final = msgspec.json.Encoder().encode


def sign_in_path(database: Path) -> Path:
    """Beside the database of accounts."""
    return database.with_name(database.name + ".sessions")


class SignInFile:
    """Nothing is opened before the first call, and nothing stays open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: tuple[tuple[int, int, int], SignIns] | None = None

    def read(self) -> SignIns:
        """What is in it now; it is read again only if it was replaced. :raises StoreFailed:"""
        try:
            status = self.path.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            known = self._known
            if known is not None and known[0] == version:
                return known[1]
            state = _decode(self.path.read_bytes())
        except FileNotFoundError:
            return SignIns()
        except OSError as error:
            raise StoreFailed(f"{self.path}: {error.strerror or error}; {_ACCESS}") from None
        except msgspec.MsgspecError:
            raise StoreFailed(f"{self.path}: it is damaged; delete it, and sign in again") from None
        self._known = version, state
        return state

    def change(self, decide: Callable[[SignIns], tuple[SignIns, T]]) -> T:
        """Replace the file by what is decided from it; nothing comes between. An equal state is not written.

        :raises StoreFailed: nothing was changed.
        """
        lock_path = self.path.with_name(self.path.name + ".lock")
        try:
            create_once(self.path, _write_empty)
            with lock_file(lock_path, _LOCK_TIMEOUT, owner_of=self.path):
                self._known = None  # a file of the same size may have taken its place within a tick of the clock
                before = self.read()
                after, result = decide(before)
                if after != before:
                    replace_private(self.path, _encode(after))
                    self._known = None
        except LockTimeout:
            raise StoreFailed(f"{lock_path}: another process holds it for more than {_LOCK_TIMEOUT:g} s") from None
        except OSError as error:
            raise StoreFailed(f"{self.path}: {error.strerror or error}; {_ACCESS}") from None
        return result


def _write_empty(path: Path) -> None:
    path.write_bytes(_encode(SignIns()))
