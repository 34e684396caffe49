"""A PostgreSQL server, and PgBouncer in front of it, in folders of their own, for the tests of one process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from support.processes import START_SECONDS, free_port

USER: Final = "modelmux"
PASSWORD: Final = "a/pass@word"
QUOTED: Final = "a%2Fpass%40word"
_SETTINGS: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200",
                    "shared_buffers": "16MB"}  # fmt: skip


def binary(name: str) -> Path | None:
    """A program of PostgreSQL: in PATH, or where Debian, Red Hat and others put each version; the newest one."""
    on_path = shutil.which(name)
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    newest = sorted(folders, key=lambda folder: float("".join(c for c in str(folder) if c in "0123456789.") or 0))
    installed = [folder / name for folder in reversed(newest) if (folder / name).exists()]
    return Path(on_path) if on_path else next(iter(installed), None)


def reason_to_skip() -> str | None:
    """Why there can be no server here; None if there can be one."""
    try:
        import asyncpg  # noqa: F401
    except ImportError:
        return "the extra postgres is not installed"
    if binary("initdb") is None or binary("postgres") is None:
        return "PostgreSQL is not installed (on Debian: postgresql)"
    return None


def other_user() -> dict[str, Any]:
    """Arguments of ``Popen``: PostgreSQL and PgBouncer do not run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def own_folder() -> Path:
    """A folder for its user. Its path is short: that of a socket has to be."""
    folder = Path(tempfile.mkdtemp(prefix="mmx-pg-"))
    user = other_user()
    if user:
        os.chown(folder, user["user"], user["group"])
    return folder


class Server:
    """:ivar port: at ``address``. :ivar folder: has its socket, too.

    :param prefix: a program that runs it as its user, in place of itself.
    """

    def __init__(self, address: str = "127.0.0.1", prefix: tuple[str, ...] = (), **settings: str) -> None:
        self.folder, self.port, self.address, self._prefix = own_folder(), free_port(), address, prefix
        own = {"port": str(self.port), "unix_socket_directories": str(self.folder), "listen_addresses": address}
        self._settings = _SETTINGS | own | settings
        self._numbers = itertools.count()
        self.make_data()
        self.start()

    def make_data(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        initdb = [binary("initdb"), "-D", self.folder / "data", "-U", USER, "--pwfile", password, "--no-sync",
                  "--auth", "scram-sha-256", "-E", "UTF8", "--locale", "C"]  # fmt: skip
        subprocess.run(
            list(map(str, initdb)), check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **other_user(), timeout=100
        )
        with (self.folder / "data" / "pg_hba.conf").open("a") as rules:  # for those that are reached from other hosts
            rules.write("host all all all scram-sha-256\nhost replication all all scram-sha-256\n")

    def start(self) -> None:
        options = itertools.chain.from_iterable(("-c", f"{name}={value}") for name, value in self._settings.items())
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [*self._prefix, str(binary("postgres")), "-D", str(self.folder / "data"), *options],
                stdout=log, stderr=log, cwd=self.folder, **({} if self._prefix else other_user()),
            )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.execute("SELECT 1", "postgres")
                return
            except Exception:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.02)

    def restart_with(self, **settings: str) -> None:
        self.stop()
        self._settings |= settings
        self.start()

    def private_file(self, name: str, data: bytes) -> str:
        """A file that only its user can read; its path."""
        path = self.folder / name
        path.write_bytes(data)
        path.chmod(0o600)
        user = other_user()
        if user:
            os.chown(path, user["user"], user["group"])
        return str(path)

    def signal(self, number: signal.Signals) -> None:
        """To the server and all of its processes."""
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self._process.pid)], capture_output=True, text=True
        )
        for pid in (self._process.pid, *map(int, children.stdout.split())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)  # a fast shutdown: connections are cut
        self._process.wait(100)

    def remove(self) -> None:
        self.signal(signal.SIGCONT)
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """Its URL."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}", "postgres")
        return self.url(name)

    def url(self, database: str, port: int | None = None) -> str:
        return f"postgresql://{USER}:{QUOTED}@{self.address}:{port or self.port}/{database}"

    def execute(self, sql: str, database: str) -> list[tuple[Any, ...]]:
        return execute(self.url(database), sql)


def execute(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Run one statement, in an event loop of its own."""
    import asyncpg

    async def run() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url, timeout=100, ssl=False)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return _in_thread(run)


def _in_thread(function: Any) -> Any:
    """A test may have an event loop that runs."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(function())).result()


class PgBouncer:
    """In transaction mode, with two connections to the server, so that transactions change between them."""

    def __init__(self, server: Server) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.skip("PgBouncer is not installed (on Debian: pgbouncer)")
        self.folder, self.port = own_folder(), free_port()
        (self.folder / "users").write_text(f'"{USER}" "{PASSWORD}"\n')
        settings = {
            "listen_addr": "127.0.0.1", "listen_port": self.port, "auth_type": "scram-sha-256",
            "auth_file": self.folder / "users", "pool_mode": "transaction", "default_pool_size": 2,
            "max_client_conn": 100, "unix_socket_dir": "", "logfile": self.folder / "log", "server_round_robin": 1,
        }  # fmt: skip
        lines = [f"{name} = {value}" for name, value in settings.items()]
        target = f"* = host=127.0.0.1 port={server.port} user={USER} password={PASSWORD}"
        (self.folder / "pgbouncer.ini").write_text("\n".join(["[databases]", target, "[pgbouncer]", *lines, ""]))
        for name in ("users", "pgbouncer.ini"):
            (self.folder / name).chmod(0o644)
        self._process = subprocess.Popen(
            [program, "-q", str(self.folder / "pgbouncer.ini")], cwd=self.folder, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, **other_user(),
        )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 100).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.02)

    def remove(self) -> None:
        self._process.terminate()
        self._process.wait(100)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def _started() -> Iterator[Server]:
    reason = reason_to_skip()
    if reason is not None:
        pytest.skip(reason)
    server = Server()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """One for all tests of a process, each of which makes databases of its own."""
    with _started() as server:
        yield server


@pytest.fixture
def own_postgres_server() -> Iterator[Server]:
    """One that a test may stop."""
    with _started() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Server) -> str:
    """Of an empty database."""
    return postgres_server.new_database()


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: Server) -> Iterator[PgBouncer]:
    """One for all tests of a process."""
    bouncer = PgBouncer(postgres_server)
    yield bouncer
    bouncer.remove()


@pytest.fixture
def pooled_url(postgres_url: str, postgres_server: Server, pgbouncer: PgBouncer) -> str:
    """Of an empty database, through PgBouncer in transaction mode."""
    return postgres_server.url(postgres_url.rpartition("/")[2], pgbouncer.port)
