"""Writing a file that holds secrets: readable by its owner only, completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path


def write_private_file(path: Path, text: str, *, replace: bool) -> Path | None:
    """Write a file with mode 0600 atomically; missing directories are created with mode 0700.

    :param replace: replace an existing file, after copying it to the same name with the suffix ``.bak``.
    :returns: the copy, if there is one.
    :raises FileExistsError: the file exists and must not be replaced.
    :raises OSError:
    """
    path = path.resolve() if path.is_symlink() else path  # keep the link
    if path.parent.exists() and not path.parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    backup = None
    if replace and path.exists():
        backup = path.with_name(path.name + ".bak")
        _write(backup, path.read_bytes(), replace=True)
    _write(path, text.encode(), replace=replace)
    return backup


def _write(path: Path, content: bytes, *, replace: bool) -> None:
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")  # mode 0600
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
    """Name the file only if the name is free, atomically where the file system supports it."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(path) from None
        temporary.rename(path)


def _sync(directory: Path) -> None:
    with contextlib.suppress(OSError, AttributeError):  # not every platform can open directories
        number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
