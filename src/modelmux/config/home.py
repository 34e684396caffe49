"""The home directory, which a user may not have: a container's without an entry in passwd, a unit's dynamic user.

Everything that is kept there by default is optional, so nothing fails for want of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Final

#: Stands in for a home that does not exist: by Debian's convention no such directory is ever made.
NO_HOME: Final = Path("/nonexistent")


def home_directory(environment: Mapping[str, str]) -> Path:
    """``HOME``, or the home of the user; ``NO_HOME`` if there is neither."""
    named = environment.get("HOME")
    if named:
        return Path(named)
    try:
        return Path.home()
    except RuntimeError:
        return NO_HOME


def expand_user(path: str | PathLike[str]) -> Path:
    """A path with ``~`` replaced, if need be by ``NO_HOME``; with another user's ``~`` that is unknown, as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        first, *rest = Path(path).parts
        return NO_HOME.joinpath(*rest) if first == "~" else Path(path)


def visible(path: Path) -> bool:
    """Whether something exists at a path, as far as this user may see: ``Path.exists`` raises where a directory on the
    way is another user's, as with a ``HOME`` that ``sudo`` has kept."""
    try:
        path.stat()
    except OSError:
        return False
    return True
