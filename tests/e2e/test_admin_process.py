"""The process of the admin API: one more child, which is watched like a worker, and whose writes every worker has
before they are answered.

Risk: a revoked key works on some worker after the API has answered; the end of that process disturbs requests; it
outlives the gateway.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from modelmux.gateway.metering.webhook import signature
from modelmux.process.workers.admin_child import NICENESS
from support.cli import run_process
from support.processes import Process, free_port
from support.workers import alive, children, get, listening, serving, until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]
TESTS = Path(__file__).parents[1]
TOKEN = "mmx-admin-of-the-first-owner"
BODY = {"model": "claude-sonnet-4-6", "max_tokens": 1000, "messages": [{"role": "user", "content": "Hi"}]}
#: Connections, each of which one of the workers takes.
CONNECTIONS = 12
CONFIG = """
[server]
state_dir = "{folder}"
api_keys = ["sk-of-the-operator"]
{server}
[auth]
access_token = "t"
[vertex]
project = "p"
location = "global"
base_url = "{upstream}"
{more}
"""
ACCOUNTS = '[accounts]\nenabled = true\n[admin]\nlisten = "127.0.0.1:PORT"\ntoken = "{token}"\n'


class Admin:
    """A gateway with accounts, and its admin API."""

    def __init__(
        self,
        folder: Path,
        upstream: Process,
        more: str = ACCOUNTS.format(token=TOKEN),
        *,
        server: str = "",
        port: int | None = None,
        seldom: bool = False,
    ) -> None:
        self.folder = folder
        self._upstream = upstream
        self.port = port or free_port()
        self._server = server
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=100)
        self.write(more)
        self._seldom = seldom

    def write(self, more: str) -> None:
        more = more.replace("PORT", str(self.port))
        text = CONFIG.format(folder=self.folder, server=self._server, upstream=self._upstream.url, more=more)
        (self.folder / "config.toml").write_text(text)

    def start(self, workers: int = 1, **variables: str) -> None:
        port = free_port()
        variables.setdefault("MODELMUX_ADMIN_LISTEN", "")  # that of the file
        self.process = Process(
            self.folder / "log", "serve", "--config", str(self.folder / "config.toml"), "--port", str(port),
            "--workers", str(workers), port=port,
            module=("support.seldom_read",) if self._seldom else ("modelmux",), PYTHONPATH=str(TESTS), **variables,
        )  # fmt: skip

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = TOKEN) -> httpx2.Response:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return self.client.request(method, f"/admin/v1{path}", json=body, headers=headers)

    def new_key(self, name: str = "laptop") -> dict[str, Any]:
        response = self.call("POST", "/keys", {"name": name})
        assert response.status_code in (200, 201), response.text
        key: dict[str, Any] = response.json()
        return key

    def modelmux(self, *arguments: str) -> str:
        result = run_process(*arguments, "--config", str(self.folder / "config.toml"), home=self.folder)
        assert result.code == 0, result.stderr
        return result.stdout.strip()

    @property
    def pid(self) -> int:
        """Of the process that listens for the admin API."""
        return next(pid for pid in children(self.process.pid) if self.port in ports_of(pid))

    def statuses(self, secret: str) -> set[int]:
        """What requests on connections of their own get."""
        found = set()
        for _ in range(CONNECTIONS):
            with httpx2.Client() as client:
                headers = {"x-api-key": secret, "anthropic-version": "2023-06-01"}
                found.add(client.post(f"{self.process.url}/v1/messages", json=BODY, headers=headers).status_code)
        return found


def ports_of(pid: int) -> set[int]:
    """Those that a process listens on."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(fd.readlink()))
        except OSError:
            continue
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture
def begin(tmp_path: Path, upstream: Process) -> Iterator[Callable[..., Admin]]:
    """Starts a gateway, ``begin(workers=4)``, and sees that all of it is gone after."""
    with ExitStack() as stack:

        def start(workers: int = 1, *, upstream: Process = upstream, folder: Path = tmp_path, **options: Any) -> Admin:
            variables = {name: options.pop(name) for name in [*options] if name.isupper()}
            admin = Admin(folder, upstream, **options)
            admin.start(workers, **variables)
            stack.callback(end, admin)
            admin.process.wait_ready("/readyz")
            until(lambda: "apis=admin" in admin.process.output())  # a process that ends before that ends the start
            return admin

        yield start


def end(admin: Admin) -> None:
    pids = children(admin.process.pid)
    admin.process.stop()
    admin.client.close()
    until(lambda: not any(map(alive, pids)))
    assert not listening(admin.port)


@pytest.mark.parametrize("workers", [1, 4])
def test_every_worker_has_a_change_when_it_is_answered(begin: Callable[..., Admin], workers: int) -> None:
    admin = begin(workers, seldom=True)
    assert len(children(admin.process.pid)) == workers + 1
    until(lambda: serving(admin.process) == workers)
    shown = json.loads(get(f"{admin.process.url}/readyz")[1])["workers"]
    assert shown == {"ready": workers, "total": workers}, "it is not one of them"
    assert f"http://127.0.0.1:{admin.port}/admin/v1" in admin.process.output()
    key = admin.new_key()
    assert "pending_workers" not in key
    assert admin.statuses(key["secret"]) == {200}
    assert admin.statuses("sk-mmx-unknown") == admin.statuses(TOKEN) == {401}
    response = admin.call("POST", f"/keys/{key['id']}/revoke")
    assert response.status_code == 200, response.text
    assert "pending_workers" not in response.json()
    assert admin.statuses(key["secret"]) == {401}


def test_a_worker_that_does_not_answer_is_told(begin: Callable[..., Admin]) -> None:
    admin = begin(3, seldom=True)
    key = admin.new_key()
    stopped = next(pid for pid in children(admin.process.pid) if pid != admin.pid)
    os.kill(stopped, signal.SIGSTOP)
    try:
        response = admin.call("POST", f"/keys/{key['id']}/revoke")
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert response.json()["pending_workers"] == 1
    until(lambda: admin.statuses(key["secret"]) == {401})


def test_calls_that_it_refuses_are_in_the_log(begin: Callable[..., Admin]) -> None:
    admin = begin()
    assert admin.call("GET", "/keys", token="canary-of-a-wrong-token").status_code == 401
    assert httpx2.get(f"http://127.0.0.1:{admin.port}/admin/v1/keys", headers={"host": "a.example"}).status_code == 421
    until(lambda: admin.process.output().count("request_refused") == 2)
    lines = [line for line in admin.process.output().splitlines() if "request_refused" in line]
    assert all("worker=admin" in line and "client=127.0.0.1" in line for line in lines)
    assert "status=401" in lines[0]
    assert "status=421" in lines[1]
    assert "canary" not in admin.process.output()


def test_it_is_restarted_and_requests_go_on(begin: Callable[..., Admin], emulate: Callable[..., Process]) -> None:
    admin = begin(upstream=emulate("--tokens-per-second", "40"))
    secret = admin.new_key()["secret"]
    body = {**BODY, "stream": True, "messages": [{"role": "user", "content": "say exactly: " + "word " * 50}]}
    headers = {"x-api-key": secret, "anthropic-version": "2023-06-01"}
    with (
        httpx2.Client(timeout=100) as client,
        client.stream("POST", f"{admin.process.url}/v1/messages", json=body, headers=headers) as stream,
    ):
        lines = stream.iter_lines()
        text = next(lines)
        killed = admin.pid
        os.kill(killed, signal.SIGKILL)
        until(lambda: not alive(killed))
        text += "".join(lines)
    assert "message_stop" in text
    assert "error" not in text
    until(lambda: get(f"http://127.0.0.1:{admin.port}/livez")[0] == 200)
    admin.client.close()
    admin.client = httpx2.Client(base_url=f"http://127.0.0.1:{admin.port}", timeout=100)
    assert admin.call("GET", "/keys").status_code == 200
    assert admin.pid != killed
    assert "worker=admin" in admin.process.output()
    usual = os.getpriority(os.PRIO_PROCESS, admin.process.pid)
    threads = [int(one.name) for one in Path(f"/proc/{admin.pid}/task").iterdir()]
    assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads} == {min(19, usual + NICENESS)}
    (worker,) = {*children(admin.process.pid)} - {admin.pid}
    assert os.getpriority(os.PRIO_PROCESS, worker) == usual
    assert "modelmux_worker_restarts_total 0" in get_metrics(admin)


def get_metrics(admin: Admin) -> str:
    with httpx2.Client() as client:
        response = client.get(f"{admin.process.url}/metrics", headers={"authorization": "Bearer sk-of-the-operator"})
    return response.text


def test_one_that_hangs_is_replaced(begin: Callable[..., Admin], tmp_path: Path) -> None:
    """Five seconds are the least that a child gets, see ``hang_timeout``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        admin = begin(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="300000")
        hung = admin.pid
        os.kill(hung, signal.SIGSTOP)
        until(lambda: not alive(hung))
        until(lambda: get(f"http://127.0.0.1:{admin.port}/livez")[0] == 200)
        assert "has not responded for 5 s: killed" in admin.process.output()
        assert serving(admin.process) == 1


def test_a_gateway_can_be_replaced_beside_the_one_before(begin: Callable[..., Admin], tmp_path: Path) -> None:
    old = begin(server="reuse_port = true")
    (tmp_path / "new").mkdir()
    new = begin(server="reuse_port = true", folder=tmp_path / "new", port=old.port)
    old.process.signal(signal.SIGTERM)
    assert old.process.wait(100) == 0
    assert new.client.get("/livez").status_code == 200
    assert listening(new.port)
    new.process.signal(signal.SIGTERM)
    assert new.process.wait(100) == 0


def test_the_commands_work_over_it(begin: Callable[..., Admin], tmp_path_factory: pytest.TempPathFactory) -> None:
    admin = begin()
    home = tmp_path_factory.mktemp("elsewhere")
    elsewhere = {"MODELMUX_ADMIN_URL": f"http://127.0.0.1:{admin.port}", "MODELMUX_ADMIN_TOKEN": TOKEN}
    made = run_process("keys", "create", "--name", "ci", "--budget", "5/day", home=home, **elsewhere)
    assert made.code == 0, made.stderr
    assert admin.statuses(made.stdout.strip()) == {200}
    assert "ci" in run_process("budget", "list", home=home, **elsewhere).stdout
    assert run_process("keys", "revoke", "ci", "--now", home=home, **elsewhere).code == 0
    assert admin.statuses(made.stdout.strip()) == {401}


def test_a_reload_changes_the_token(begin: Callable[..., Admin]) -> None:
    admin = begin()
    assert admin.call("GET", "/keys").status_code == 200
    admin.write(ACCOUNTS.format(token="another-token-of-the-owner") + "# changed\n")
    admin.process.signal(signal.SIGHUP)
    until(lambda: "reloaded" in admin.process.output())
    assert admin.call("GET", "/keys").status_code == 401
    assert admin.call("GET", "/keys", token="another-token-of-the-owner").status_code == 200


def test_a_reload_does_not_move_the_listener(begin: Callable[..., Admin]) -> None:
    admin = begin()
    admin.write(ACCOUNTS.format(token=TOKEN).replace("127.0.0.1:PORT", "0.0.0.0:1"))
    admin.process.signal(signal.SIGHUP)
    until(lambda: "reloaded" in admin.process.output())
    assert "admin.listen changed: restart the gateway to apply it" in admin.process.output()
    assert admin.call("GET", "/keys").status_code == 200


def test_without_a_token_it_says_what_to_do(begin: Callable[..., Admin]) -> None:
    admin = begin(more=ACCOUNTS.format(token="").replace('token = ""', ""))
    for token in (None, TOKEN):
        response = admin.call("GET", "/keys", token=token)
        assert response.status_code == 401
        assert "set admin.token" in response.json()["error"]["message"]
    assert admin.client.get("/livez").json() == {"status": "ok"}
    assert "the admin API has no token" in admin.process.output()


def test_requests_of_a_revoked_key_end_with_an_error(
    begin: Callable[..., Admin], emulate: Callable[..., Process]
) -> None:
    admin = begin(2, upstream=emulate("--tokens-per-second", "5"))
    key = admin.new_key()
    body = {**BODY, "stream": True, "messages": [{"role": "user", "content": "say exactly: " + "word " * 500}]}
    headers = {"x-api-key": key["secret"], "anthropic-version": "2023-06-01"}
    with (
        httpx2.Client(timeout=100) as client,
        client.stream("POST", f"{admin.process.url}/v1/messages", json=body, headers=headers) as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines)
        admin.modelmux("keys", "revoke", key["id"], "--now")
        text = "".join(lines)
    assert "was revoked" in text
    assert "message_stop" not in text


def test_it_ends_when_its_supervisor_is_killed(begin: Callable[..., Admin]) -> None:
    admin = begin()
    pids = children(admin.process.pid)
    admin.process.signal(signal.SIGKILL)
    admin.process.wait(100)
    until(lambda: not any(map(alive, pids)))
    assert not listening(admin.port)


def test_a_port_that_is_taken_is_an_error_with_a_remedy(tmp_path: Path, upstream: Process) -> None:
    admin = Admin(tmp_path, upstream)
    variables = {"MODELMUX_ADMIN_LISTEN": upstream.url.removeprefix("http://")}
    result = run_process("serve", "--config", str(tmp_path / "config.toml"), "--port", "0", home=tmp_path, **variables)
    assert result.code == 1
    assert "the admin API: port" in result.stderr
    assert "is in use" in result.stderr
    assert "Set admin.listen" in result.stderr
    admin.client.close()


@pytest.mark.parametrize(
    ("more", "listen"), [("", None), (ACCOUNTS.format(token=TOKEN), "off")], ids=["without accounts", "off"]
)
def test_without_it_there_is_one_process(tmp_path: Path, upstream: Process, more: str, listen: str | None) -> None:
    admin = Admin(tmp_path, upstream, more)
    admin.start(**({} if listen is None else {"MODELMUX_ADMIN_LISTEN": listen}))
    admin.process.wait_ready("/readyz")
    assert not children(admin.process.pid)
    assert not listening(admin.port)
    end(admin)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_webhook_of_the_api_is_called_by_one_worker(
    begin: Callable[..., Admin], workers: int, tmp_path: Path
) -> None:
    """One process makes it, and another one calls it: by the store, and with the pepper that the first one made."""
    networks = ACCOUNTS.format(token=TOKEN).replace("[admin]", 'webhook_networks = ["127.0.0.0/8"]\n[admin]')
    admin = begin(workers, more=networks)
    calls: list[tuple[bytes, dict[str, str]]] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            calls.append((body, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/hook"
        made = admin.call("POST", "/webhooks", {"name": "r", "url": url}).json()
        printed = json.loads(admin.modelmux("webhooks", "test", "r", "--json"))
        shown = admin.call("GET", f"/webhooks/{made['id']}").json()
        server.shutdown()
        thread.join()
    assert (printed["status"], shown["last_delivery"]["id"]) == ("delivered", printed["id"])
    ((body, headers),) = calls
    time, _, signed = headers["x-modelmux-signature"].partition(",v1=")
    assert signed == signature(made["secret"].encode(), body, int(time.removeprefix("t=")))
    assert headers["x-modelmux-delivery"] == printed["id"]
    assert made["secret"] not in admin.process.output()
