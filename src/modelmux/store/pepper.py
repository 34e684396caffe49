"""The pepper: what secrets of keys are hashed with, so that whoever has the database alone cannot test guesses."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from pathlib import Path
from typing import Final

from modelmux.store.base import StoreFailed
from modelmux.store.files import create_once, tighten

_BYTES: Final = 32
REMEDY: Final = "put back the file from a backup, or set accounts.peppers; without it, every key has to be rotated"
_ACCESS: Final = "let the user of the gateway read it, and create files in its directory"


def pepper_path(database: Path) -> Path:
    """Beside the database, not inside it."""
    return database.with_name(database.name + ".pepper")


def load_pepper(database: Path) -> bytes:
    """The pepper of a database, which is made if there is none.

    :raises StoreFailed: it cannot be read or made.
    """
    path = pepper_path(database)
    try:
        create_once(path, _write)
        with contextlib.suppress(OSError):  # it may be another user's, or on a disk that is mounted to be read
            tighten(path)
        pepper = bytes.fromhex(path.read_text("ascii").strip())
    except OSError as error:
        raise StoreFailed(f"{path}: {error.strerror or error}; {_ACCESS}") from None
    except ValueError:
        raise StoreFailed(f"{path}: not a pepper; {REMEDY}") from None
    if len(pepper) != _BYTES:
        raise StoreFailed(f"{path}: not a pepper of {_BYTES} bytes; {REMEDY}")
    return pepper


def pepper_id(pepper: bytes) -> str:
    """Names a pepper without telling it."""
    return hashlib.sha256(b"modelmux pepper id" + pepper).hexdigest()[:8]


def _write(path: Path) -> None:
    path.write_text(secrets.token_hex(_BYTES) + "\n", "ascii")
