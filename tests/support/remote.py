"""Commands over the admin API, and the same ones on the file of a store."""

from __future__ import annotations

from pathlib import Path

from support.admin_server import TOKEN, AdminServer
from support.cli import CommandResult, run


def remote(server: AdminServer, home: Path, *arguments: str, token: str = TOKEN) -> CommandResult:
    return run(*arguments, "--url", server.url, home=home, MODELMUX_ADMIN_TOKEN=token)


def local(path: Path, home: Path, *arguments: str) -> CommandResult:
    store = ("--set", "accounts.enabled=true", "--set", f"accounts.store=sqlite:{path}")
    return run(*arguments, *store, "--set", "vertex.project=p", "--set", "vertex.location=global", home=home)


def done(server: AdminServer, home: Path, *arguments: str) -> CommandResult:
    result = remote(server, home, *arguments)
    assert result.code == 0, result.stderr
    return result
