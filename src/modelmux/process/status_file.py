"""The status file of a running gateway: how other commands find it and learn how a reload went.

The file is locked as long as its process lives, so that one left behind by a crash is never taken for a running one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

#: What the unit files give the service as its runtime directory.
SYSTEM_DIRECTORY: Final = Path("/run/modelmux")


class Status(msgspec.Struct, kw_only=True):
    """What a running gateway says of itself.

    :param generation: counts the configurations that were read, the refused ones too.
    :param problems: why the newest one was refused; empty if it is served.
    :param notes: what the newest one needs beside: a restart for some settings, deprecated names.
    """

    pid: int
    url: str
    port: int
    generation: int = 1
    problems: list[str] = []
    notes: list[str] = []


def directories(environment: Mapping[str, str]) -> list[Path]:
    """Where status files may lie, the one to write to first."""
    found = []
    if environment.get("RUNTIME_DIRECTORY"):
        found.append(Path(environment["RUNTIME_DIRECTORY"].partition(":")[0]))
    if environment.get("XDG_RUNTIME_DIR"):
        found.append(Path(environment["XDG_RUNTIME_DIR"]) / "modelmux")
    home = Path(environment.get("HOME") or Path.home())
    found.append(Path(environment.get("XDG_STATE_HOME") or home / ".local" / "state") / "modelmux")
    return [*dict.fromkeys([*found, SYSTEM_DIRECTORY])]


class StatusFile:
    """The status file of this process."""

    def __init__(self, directory: Path, status: Status) -> None:
        """:raises OSError: the file cannot be made, or another process holds it."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = directory / f"serve-{status.port}.json"
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise
        self.status = status
        self.write()

    def write(self) -> None:
        """Show the present status."""
        data = msgspec.json.encode(self.status)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data, 0)

    def leave(self) -> None:
        """Let go of the file in a forked process: it goes on being the other one's."""
        os.close(self._fd)

    def close(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self._fd)


def running(environment: Mapping[str, str]) -> Iterator[Status]:
    """The gateways of this user, or of the system, that run now."""
    for directory in directories(environment):
        for path in sorted(directory.glob("serve-*.json")):
            status = read(path)
            if status is not None:
                yield status


def read(path: Path) -> Status | None:
    """The status of the process that holds the file; None if none does, or it may not be read."""
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return msgspec.json.decode(file.read(), type=Status)
    except (OSError, msgspec.DecodeError):
        pass
    return None
