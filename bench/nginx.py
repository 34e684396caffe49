"""nginx as an upstream that replies immediately, and as the plain reverse proxy that serves as the baseline."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench import payloads
from bench.processes import MeasuredProcess, free_port

_COMMON = """daemon off; pid {home}/nginx.pid; error_log {home}/error.log; worker_processes 1; {user}
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 32m; client_body_buffer_size 2m;
  client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3;
  uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5; default_type application/json;
  {rest}
}}
"""
#: nginx rejects a POST for a static file; ``error_page`` serves the file instead. ``mirror`` makes nginx read the whole
#: request body first, as real upstreams do: an earlier reply would force connections to close.
_MOCK = """server {{
    listen 127.0.0.1:{port} backlog=4096; root {home};
    location = /read {{ internal; return 204; }}
    location = /message.json {{ }}
    location = /stream.sse {{ types {{}} default_type text/event-stream; }}
    location ~ (streamRawPredict$|^/stream/) {{ rewrite ^ /post/stream.sse last; }}
    location = /post/stream.sse {{ mirror /read; alias {home}/stream.sse; error_page 405 =200 /stream.sse; }}
    location = /post/message.json {{ mirror /read; alias {home}/message.json; error_page 405 =200 /message.json; }}
    location / {{ rewrite ^ /post/message.json last; }}
  }}"""
_PASS = """upstream mock {{ server {upstream}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
      proxy_request_buffering off;
    }}
  }}"""


def installed() -> bool:
    """Whether nginx is installed."""
    return shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin") is not None


@contextlib.contextmanager
def _running(home: Path, rest: str, port: int, cores: set[int] | None) -> Iterator[tuple[MeasuredProcess, str]]:
    home.mkdir(parents=True, exist_ok=True)
    config = home / "nginx.conf"
    config.write_text(_COMMON.format(home=home, rest=rest, user="user root;" if home.owner() == "root" else ""))
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin") or "nginx"
    process = MeasuredProcess([nginx, "-c", str(config), "-p", str(home)], home / "log.txt", cores)
    try:
        process.wait_for(f"http://127.0.0.1:{port}/message.json")
        process.include_children()
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.stop()


@contextlib.contextmanager
def mock(
    folder: Path, *, deltas: int, cores: set[int] | None = None, name: str = "mock"
) -> Iterator[tuple[MeasuredProcess, str]]:
    """Reply to every request immediately: a message, or a stream of ``deltas`` if the path asks for a stream."""
    home, port = folder / name, free_port()
    home.mkdir(parents=True, exist_ok=True)
    (home / "message.json").write_bytes(payloads.message())
    (home / "stream.sse").write_bytes(payloads.stream(deltas))
    with _running(home, _MOCK.format(home=home, port=port), port, cores) as running:
        yield running


@contextlib.contextmanager
def pass_through(
    folder: Path, upstream: str, *, cores: set[int] | None = None, name: str = "pass"
) -> Iterator[tuple[MeasuredProcess, str]]:
    """Forward every request unchanged and unbuffered, over keep-alive connections."""
    port = free_port()
    rest = _PASS.format(upstream=upstream.removeprefix("http://"), port=port)
    with _running(folder / name, rest, port, cores) as running:
        yield running
