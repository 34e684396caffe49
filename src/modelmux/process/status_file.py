"""The status file of a running gateway: other commands find the process by it, and the result of a reload in it.

The file is locked as long as its process runs, so that a file left behind by a crash is never mistaken for a running
gateway.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from modelmux.config.home import home_directory

#: The runtime directory in the unit files of the service.
SYSTEM_DIRECTORY: Final = Path("/run/modelmux")


class GatewayStatus(msgspec.Struct, kw_only=True):
    """The state of a running gateway.

    :param generation: counts the configurations that were read, including rejected ones.
    :param admin_url: of the admin API; empty without one.
    :param problems: why the newest one was rejected; empty if it is in force.
    :param advisories: what else the newest one needs: a restart for some settings, new names for deprecated ones.
    """

    pid: int
    url: str
    port: int
    admin_url: str = ""
    generation: int = 1
    problems: list[str] = []
    advisories: list[str] = msgspec.field(default_factory=list, name="notes")


def status_directories(environment: Mapping[str, str]) -> list[Path]:
    """The directories of status files, the preferred one to write to first."""
    directories = []
    if environment.get("RUNTIME_DIRECTORY"):
        directories.append(Path(environment["RUNTIME_DIRECTORY"].partition(":")[0]))
    if environment.get("XDG_RUNTIME_DIR"):
        directories.append(Path(environment["XDG_RUNTIME_DIR"]) / "modelmux")
    home = home_directory(environment)
    directories.append(Path(environment.get("XDG_STATE_HOME") or home / ".local" / "state") / "modelmux")
    return [*dict.fromkeys([*directories, SYSTEM_DIRECTORY])]


class StatusFile:
    """The status file of this process."""

    def __init__(self, directory: Path, status: GatewayStatus) -> None:
        """:raises OSError: the file cannot be created, or another process holds it."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._open(directory / f"serve-{status.port}.json")
        except BlockingIOError:  # of the gateway on the same port that this one is to replace
            self._open(directory / f"serve-{status.port}-{status.pid}.json")
        self.status = status
        self.write()

    def _open(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise

    def write(self) -> None:
        """Write the current status to the file, which is complete at any time for those who read it."""
        data = msgspec.json.encode(self.status)
        os.pwrite(self._fd, data.ljust(os.fstat(self._fd).st_size), 0)
        os.ftruncate(self._fd, len(data))

    def detach(self) -> None:
        """In a forked process: close the file, which still belongs to the parent."""
        os.close(self._fd)

    def close(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self._fd)


def running_gateways(environment: Mapping[str, str]) -> Iterator[GatewayStatus]:
    """The running gateways of this user and of the system."""
    for directory in status_directories(environment):
        try:
            files = sorted(directory.glob("serve-*.json"))
        except PermissionError:  # of another user, whose HOME was inherited
            continue
        for path in files:
            status = read_status(path)
            if status is not None:
                yield status


def read_status(path: Path) -> GatewayStatus | None:
    """The status of the process that holds the file; None without such a process, or if the file cannot be read."""
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return msgspec.json.decode(file.read(), type=GatewayStatus)
    except (OSError, msgspec.DecodeError):
        pass
    return None
