"""Third-party HTTP servers as processes: uvicorn with h11 and httptools, hypercorn, nginx."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from modelmux.wire.http import Origin
from support.processes import free_port

APP = Path(__file__).with_name("http_app.py")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)")

_NGINX_CONF = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; default_type text/plain; client_max_body_size 64m; lingering_timeout 1s;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{
    listen 127.0.0.1:{port}{tls};
    {settings}
    root {dir}/files;
    location = /hello {{ return 200 "hello"; }}
    location = /empty {{ return 204; }}
    location = /limited {{ client_max_body_size 1k; proxy_pass http://127.0.0.1:{port}/hello; }}
    location /files/ {{ alias {dir}/files/; }}
  }}
}}
"""


@contextmanager
def _stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(100)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(100)


@contextmanager
def asgi_server(name: str, *, tls: tuple[str, str] | tuple[()] = ()) -> Iterator[Origin]:
    """:param name: h11, httptools or hypercorn. :param tls: certificate and key files."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as sock:  # it listens already, so there is no need to wait
        sock.set_inheritable(True)
        port = sock.getsockname()[1]
        arguments = [sys.executable, str(APP), name, str(sock.fileno()), *tls]
        process = subprocess.Popen(arguments, pass_fds=[sock.fileno()])
    with _stopped(process):
        yield Origin("https" if tls else "http", "localhost" if tls else "127.0.0.1", port)


@contextmanager
def nginx_server(settings: str = "", *, tls: tuple[str, str] | tuple[()] = ()) -> Iterator[Origin]:
    """:param settings: further directives of the server."""
    assert NGINX is not None
    with tempfile.TemporaryDirectory(prefix="modelmux-nginx-") as folder:
        directory = Path(folder)
        directory.chmod(0o755)  # its workers run as another user
        (directory / "files").mkdir()
        (directory / "files" / "large").write_bytes(b"x" * 30_000_000)
        port = free_port()
        if tls:
            settings += f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]};"
        text = _NGINX_CONF.format(dir=directory, port=port, tls=" ssl" if tls else "", settings=settings)
        (directory / "nginx.conf").write_text(text)
        arguments = [NGINX, "-p", folder, "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log")]
        process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
        with _stopped(process):
            _wait_until_listening(port, process)
            yield Origin("https" if tls else "http", "localhost" if tls else "127.0.0.1", port)


def _wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 100
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.01)


class Authority:
    """A certificate authority of the test's own, and certificates by it, as files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ca = trustme.CA()
        self.file = str(directory / "ca.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def certificate(self, *hosts: str) -> tuple[str, str]:
        """Certificate and key files for ``hosts``."""
        leaf = self._ca.issue_cert(*hosts)
        cert, key = self._directory / f"{hosts[0]}.pem", self._directory / f"{hosts[0]}.key"
        cert.unlink(missing_ok=True)
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(str(cert), append=True)
        leaf.private_key_pem.write_to_path(str(key))
        return str(cert), str(key)
