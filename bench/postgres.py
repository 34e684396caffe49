"""A PostgreSQL server of its own, with its default settings: it waits for the disk at each commit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench.processes import free_port

_USER: Final = "modelmux"
_DATABASE: Final = "bench"
_START_TIMEOUT: Final = 60.0


def binary(name: str) -> Path | None:
    """A program of PostgreSQL, in PATH or where Debian puts each version; the newest one."""
    on_path = shutil.which(name)
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    installed = [folder / name for folder in reversed(folders) if (folder / name).exists()]
    return Path(on_path) if on_path else next(iter(installed), None)


def missing() -> str | None:
    """What has to be installed; None if all is."""
    try:
        import asyncpg  # noqa: F401
    except ImportError:
        return "asyncpg is not installed\nhint: pip install 'modelmux-gateway[postgres]'"
    if binary("initdb") is None or binary("postgres") is None:
        return "PostgreSQL is not installed\nhint: apt-get install postgresql"
    return None


class Server:
    """One that runs, with an empty database.

    :ivar port: on 127.0.0.1.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:  # it refuses to run as root
            names = {entry.pw_name: entry for entry in pwd.getpwall()}
            entry = names.get("postgres") or names["nobody"]
            self._as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        options: dict[str, Any] = {
            "cwd": folder,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        } | self._as_user
        data = folder / "data"
        initdb = [binary("initdb"), "-D", data, "-U", _USER, "--auth", "trust", "-E", "UTF8", "--locale", "C"]
        subprocess.run(list(map(str, initdb)), check=True, **options)
        settings = [
            f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "ssl=off"
        ]  # fmt: skip
        arguments = [argument for setting in settings for argument in ("-c", setting)]
        self._process = subprocess.Popen([str(binary("postgres")), "-D", str(data), *arguments], **options)

    def url(self, port: int | None = None, database: str = _DATABASE) -> str:
        """:param port: of what passes connections on to it."""
        return f"postgresql://{_USER}@127.0.0.1:{port or self.port}/{database}"

    def wait(self) -> None:
        """Until it answers, and make the database. :raises RuntimeError: it does not start."""
        end = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                self.fetch(f"CREATE DATABASE {_DATABASE}", "postgres")
            except (OSError, TimeoutError, _starting()):
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("PostgreSQL does not start") from None
                time.sleep(0.05)
            else:
                return

    def fetch(self, sql: str, database: str = _DATABASE) -> list[tuple[Any, ...]]:
        """Run one statement, past what counts bytes."""
        import asyncpg

        async def run() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self.url(database=database), timeout=20, ssl=False)
            try:
                return [tuple(row) for row in await connection.fetch(sql)]
            finally:
                await connection.close()

        return asyncio.run(run())

    def cpu_seconds(self) -> float:
        """User and system time of all of its processes, of those that have ended, too; in hundredths of a second."""
        pid = self._process.pid
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
        ticks = _ticks(pid, ended_too=True) + sum(_ticks(int(child)) for child in children.stdout.split())
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _starting() -> type[Exception]:
    import asyncpg

    error: type[Exception] = asyncpg.exceptions.CannotConnectNowError
    return error


def _ticks(pid: int, *, ended_too: bool = False) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0
    return sum(map(int, fields[11:15] if ended_too else fields[11:13]))


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """One in a temporary folder; stopped and deleted at the end."""
    folder = Path(tempfile.mkdtemp(prefix="mmx-pg-"))  # a short path: that of a socket has to be
    try:
        one = Server(folder)
        try:
            one.wait()
            yield one
        finally:
            one.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
