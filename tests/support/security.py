"""Helpers for security tests: requests byte by byte, the routes of a gateway, its source as syntax trees, and gateways
whose secrets are canaries.
"""

from __future__ import annotations

import ast
import asyncio
import functools
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmux import Config
from modelmux.app import Gateway
from modelmux.telemetry.log import make_log
from support.asgi import Response
from support.clock import current_runtime
from support.fakes import FakeUpstream

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "modelmux"
KEY = "sk-modelmux-canary-key-a1"
TOKEN = "ya29.canary-token-b2"
PROJECT = "canary-project-c3"
PROMPT = "canary prompt d4"
BEARER = [(b"authorization", f"Bearer {KEY}".encode())]

Pairs = list[tuple[bytes, bytes]]


class Tokens:
    """Always the same token, which only Google may see."""

    async def token(self) -> str:
        return TOKEN

    async def renew(self, rejected: str) -> str:
        return TOKEN

    async def aclose(self) -> None:
        pass


@dataclass
class Guarded:
    """A gateway whose key, token and project are canaries, and its output."""

    app: Gateway
    upstream: FakeUpstream
    out: io.StringIO

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its log lines."""
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def metric(self, name: str, **labels: str) -> float:
        return self.app.metrics.registry.get_sample_value(name, labels) or 0.0

    def seen(self, *responses: Response) -> str:
        """Everything that can be read from outside: logs, metrics, reprs, responses."""
        parts = [self.out.getvalue(), self.app.metrics.expose().decode(), repr(self.app), repr(vars(self.app))]
        return "\n".join(parts + [f"{r.status} {r.headers} {r.body.decode()}" for r in responses])


def guarded(*script: Any, style: str = "json", **settings: Any) -> Guarded:
    """A gateway with an API key; ``settings`` are merged over its tables."""
    tables: dict[str, Any] = {
        "server": {"api_keys": [KEY], "log_level": "trace"},
        "vertex": {"project": PROJECT, "location": "global", "prompt_caching": False},
    }
    for name, table in settings.items():
        tables[name] = {**tables.get(name, {}), **table}
    out, upstream = io.StringIO(), FakeUpstream(script)
    log = make_log("trace", style, out)
    app = Gateway(
        Config.from_dict(tables), log=log, upstream=upstream, tokens=Tokens(), environment={}, runtime=current_runtime()
    )
    return Guarded(app, upstream, out)


class Unread(AssertionError):
    """The application read a body that it must not read."""


async def send(
    app: Any, method: str, path: str, headers: Pairs | None = None, body: bytes | None = b"", *, query: bytes = b"",
    **scope: Any,
) -> Response:  # fmt: skip
    """One request as an ASGI server passes it, with no defaults. ``body`` None: reading it fails the test."""
    response, delivered = Response(), False

    async def receive() -> dict[str, Any]:
        nonlocal delivered
        if body is None:
            raise Unread("the body was read")
        if delivered:
            await asyncio.Event().wait()  # the client is connected
        delivered = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def answer(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            response.status = message["status"]
            for name, value in message["headers"]:
                assert not set(name + value) & {0, 10, 13}, "a header's line could be broken"
                response.headers[name.decode("ascii")] = value.decode("latin-1")
        elif message["type"] == "http.response.body":
            response.parts.append(message.get("body", b""))
            response.complete = not message.get("more_body", False)

    request = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"), "root_path": "", "query_string": query, "scheme": "http",
        "headers": headers or [], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 3000), **scope,
    }  # fmt: skip
    await app(request, receive, answer)
    return response


def routes(app: Gateway) -> list[tuple[str, str]]:
    """Every (method, path) that ``app`` serves, with a value for each path parameter."""
    inner: Any = app._current.application
    while not hasattr(inner, "_exact"):
        inner = inner._application
    routes = list(inner._exact)
    for _, by_method in inner._templates:
        for method, served in by_method.items():
            routes.append((method, re.sub(r"\{[^}]*\}", "x", served.surface.path)))
    return routes


@functools.cache
def syntax() -> list[tuple[str, ast.Module]]:
    """(path below the package, syntax tree) of every module."""
    files = sorted(SOURCE.rglob("*.py"))
    return [(str(file.relative_to(SOURCE)), ast.parse(file.read_text("utf-8"))) for file in files]


def called(*names: str) -> Iterator[str]:
    """``file:line`` of every call of one of ``names``, written like ``eval`` or ``yaml.load``."""
    for file, tree in syntax():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
                yield f"{file}:{node.lineno}"


def imported(*modules: str) -> Iterator[str]:
    """``file: module`` of every import of ``modules`` or what is in them."""
    for file, tree in syntax():
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            yield from (f"{file}: {name}" for name in names if name.partition(".")[0] in modules)
