"""Which file system a path is on, by the table of mounts of Linux. SQLite's write-ahead log and ``flock`` need a local
one."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Final

#: Types of file systems of another machine: NFS, SMB and SSH.
NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs"})
_TABLE: Final = Path("/proc/mounts")
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


def network_type(path: Path, table: Path = _TABLE) -> str | None:
    """The type of the network file system that a path is on; None if it is local, or that cannot be told."""
    try:
        type = type_of(str(path.resolve()), table.read_text("utf-8", "surrogateescape"))
    except (OSError, RuntimeError):  # not Linux; a link to itself
        return None
    return type if type in NETWORK else None


def type_of(path: str, mounts: str) -> str | None:
    """The type of the file system of an absolute path.

    :param mounts: the content of ``/proc/mounts``. Of several mounts on one directory, the last one counts.
    """
    directories = {path, *map(str, PurePosixPath(path).parents)}
    best: tuple[str, str | None] = ("", None)
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        directory = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[1])
        if directory in directories and len(directory) >= len(best[0]):
            best = (directory, fields[2])
    return best[1]
