"""Writing a file with secrets in it: for its owner only, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path


def write_private_file(path: Path, text: str, *, replace: bool) -> Path | None:
    """Write a file of mode 0600 in one step; folders that are missing are made with mode 0700.

    :param replace: whether a file that is there is replaced; a copy of it stays beside it with the suffix ``.bak``.
    :returns: the copy, if there is one.
    :raises FileExistsError: there is one and it may not be replaced.
    :raises OSError:
    """
    path = path.resolve() if path.is_symlink() else path  # a link stays a link
    if path.parent.exists() and not path.parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    backup = None
    if replace and path.exists():
        backup = path.with_name(path.name + ".bak")
        _put(backup, path.read_bytes(), replace=True)
    _put(path, text.encode(), replace=replace)
    return backup


def _put(path: Path, content: bytes, *, replace: bool) -> None:
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")  # of mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            _link(temporary, path)
        _sync(path.parent)
    finally:  # also when the user interrupts
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def _link(temporary: Path, path: Path) -> None:
    """Give a file its name only if the name is free, at that very moment where the file system can do that."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if path.exists():
            raise FileExistsError(path) from None
        temporary.rename(path)


def _sync(folder: Path) -> None:
    with contextlib.suppress(OSError, AttributeError):  # not every platform opens folders; the file itself is safe
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
