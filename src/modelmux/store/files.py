"""Files that a gateway keeps between starts: where they are, and how one is created complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from modelmux.config.home import expand_user

# No symbolic link is followed: in a shared directory another user could create it. Flags a platform lacks are left out.
_CREATE: Final = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL
    | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)  # fmt: skip


def state_directory(named: str | None, environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """The directory of the setting ``server.state_dir``, else that of the service manager, else the platform's.

    :raises RuntimeError: there is no home directory.
    """
    if named:
        return expand_user(named)
    from_manager = environment.get("STATE_DIRECTORY", "").partition(":")[0]  # StateDirectory= of a systemd unit
    if from_manager.startswith("/"):
        return Path(from_manager)
    if platform == "win32":
        local = environment.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "modelmux"
    home = Path(environment.get("HOME") or Path.home())
    if platform == "darwin":
        return home / "Library" / "Application Support" / "modelmux"
    state = environment.get("XDG_STATE_HOME", "")  # relative paths are invalid by the XDG specification
    return (Path(state) if state.startswith("/") else home / ".local" / "state") / "modelmux"


def create_once(path: Path, write: Callable[[Path], None]) -> None:
    """Create a file that only its owner can read (mode 0600), unless there is one. What root creates belongs to
    the owner of its directory, so that no command of root's locks a service out.

    Whoever opens ``path`` finds nothing or the complete file, and of several processes that create it at once, one
    succeeds and all find its file.

    :param write: writes the content to the path that it gets, an empty file beside ``path``.
    :raises OSError: it cannot be created.
    """
    missing = [one for one in (path.parent, *path.parent.parents) if not one.exists()]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, f"{path.parent} is not a directory") from None
    for directory in reversed(missing):
        _inherit_owner(directory)
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    os.close(os.open(draft, _CREATE, 0o600))
    try:
        _inherit_owner(draft)
        write(draft)
        _sync(draft)
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(draft, path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def replace_private(path: Path, content: bytes) -> None:
    """Replace a file that only its owner can read, in one step: whoever opens it finds the old content or the new one.
    Where root does it, it belongs to the owner of its directory.

    :raises OSError: it is as it was.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    os.close(os.open(draft, _CREATE, 0o600))
    try:
        _inherit_owner(draft)
        draft.write_bytes(content)
        _sync(draft)
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def dangling(path: Path) -> str | None:
    """Why a symbolic link leads nowhere, and what to do; None for anything else."""
    if path.exists() or not path.is_symlink():
        return None
    target = os.path.realpath(path)
    return f"{path}: a symbolic link to {target}, which does not exist; mount its disk, or remove the link"


def tighten(path: Path) -> bool:
    """Let only the owner of a file read it.

    :returns: whether others could until now.
    :raises OSError: that cannot be changed.
    """
    if os.name != "posix" or not path.stat().st_mode & 0o077:
        return False
    path.chmod(0o600)
    return True


def _inherit_owner(path: Path) -> None:
    """What root creates belongs to the owner of the directory that it is in."""
    if os.name != "posix" or os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):  # root can use it nevertheless
        owner = _owner_of(path.parent)
        if _owner_of(path).st_uid != owner.st_uid:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _owner_of(path: Path) -> os.stat_result:
    return path.stat()


def _sync(path: Path) -> None:
    """Have the system write a file to its disk, so that a power failure does not leave an empty one."""
    fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
