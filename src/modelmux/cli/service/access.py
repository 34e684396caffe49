"""What the system service can reach: its unit hides directories, and its user needs permission.

``managers.py`` has the unit. Nothing here changes anything: files are looked at, and what is missing is told.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

if sys.platform != "win32":  # where there are no such services, but the command says so
    import grp
    import pwd

SYSTEM_USER: Final = "modelmux"
#: Directories that the unit hides -> the setting that does so. ``system.service`` has it; a test compares the two.
HIDDEN: dict[Path, str] = {
    Path("/home"): "ProtectHome",
    Path("/root"): "ProtectHome",
    Path("/run/user"): "ProtectHome",
    Path("/tmp"): "PrivateTmp",  # noqa: S108 - where a file must not be
    Path("/var/tmp"): "PrivateTmp",  # noqa: S108
}
READ: Final = 4
ENTER: Final = 1  # of a directory; of a file, execute


class ServiceUser(NamedTuple):
    """The user that the service runs as.

    :param uid: -1 for one that does not exist yet: it has the permissions of all others.
    """

    uid: int = -1
    gids: frozenset[int] = frozenset()

    def may(self, need: int, info: os.stat_result) -> bool:
        """Whether permission bits allow it: ``READ``, ``ENTER`` or both."""
        shift = 6 if info.st_uid == self.uid else 3 if info.st_gid in self.gids else 0
        return info.st_mode >> shift & need == need


def find_user(name: str = SYSTEM_USER) -> ServiceUser | None:
    """The user of a name; None if there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return ServiceUser(entry.pw_uid, frozenset(os.getgrouplist(name, entry.pw_gid)))


def find_group(name: str = SYSTEM_USER) -> int | None:
    """The number of a group; None if there is none."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def hidden(path: Path) -> str | None:
    """Why the service does not see a path, wherever its links lead; None if it does."""
    for each in dict.fromkeys((path.absolute(), path.resolve())):
        for directory, setting in HIDDEN.items():
            if each.is_relative_to(directory):
                where = "" if each == path.absolute() else f" leads to {each} and"
                return f"{path}{where} is in {directory}, which the unit hides from the service ({setting})"
    return None


def refused(path: Path, user: ServiceUser, need: int = READ) -> str | None:
    """Why the service cannot use a file or directory; None if it can."""
    problem = hidden(path)
    if problem is not None:
        return problem
    try:
        for parent in _parents(path):
            info = parent.stat()
            if not user.may(ENTER, info):
                return f"{parent} cannot be entered by the user {SYSTEM_USER} ({_owner(info)})"
        info = path.stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not user.may(need, info):
        verb = "read" if need & READ else "run"
        return f"{path} cannot be {verb} by the user {SYSTEM_USER} ({_owner(info)})"
    return None


def _parents(path: Path) -> Iterator[Path]:
    """The directories on the way, of the path and of where its links lead, outermost first."""
    own, real = reversed(path.absolute().parents), reversed(path.resolve().parents)
    yield from dict.fromkeys((*own, *real))


def _owner(info: os.stat_result) -> str:
    try:
        owner = pwd.getpwuid(info.st_uid).pw_name
    except KeyError:
        owner = str(info.st_uid)
    return f"mode {stat.S_IMODE(info.st_mode):04o}, owned by {owner}"
