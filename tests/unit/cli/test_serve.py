"""Risk: ``modelmux serve`` does not say why it cannot start, or what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelmux.store.directory.sqlite_directory import SqliteDirectory
from modelmux.version import __version__
from support.cli import run
from support.stub_gateway import as_json, stub_gateway

VERTEX = {"VERTEX_PROJECT": "p", "VERTEX_LOCATION": "global"}


@pytest.mark.parametrize("name", ["modelmux", "another"])
def test_a_port_that_is_in_use(name: str, tmp_path: Path) -> None:
    with stub_gateway({"GET /": as_json({"name": name, "version": __version__})}) as stub:
        port = stub.url.rpartition(":")[2]
        result = run("serve", "--port", port, home=tmp_path, **VERTEX)
    assert result.code == 1
    assert f"port {port} on 127.0.0.1 is in use" in result.stderr
    ours = name == "modelmux"
    assert (f"is in use by a modelmux that is running ({__version__})" in result.stderr) == ours
    assert ("`modelmux reload`" in result.stderr) == ours
    assert "--port" in result.stderr


def test_a_port_that_is_in_use_leaves_the_keys_to_the_gateway_that_has_it(tmp_path: Path) -> None:
    config, store = tmp_path / "config.toml", SqliteDirectory(tmp_path / "accounts.db")
    config.write_text(
        f'[vertex]\nproject = "p"\nlocation = "global"\n[accounts]\nenabled = true\nstore = "sqlite:{store.path}"\n'
        f'[[accounts.keys]]\nname = "ci"\nsha256 = "{"ab" * 32}"\n'
    )
    with stub_gateway({"GET /": as_json({"name": "modelmux", "version": __version__})}) as stub:
        port = stub.url.rpartition(":")[2]
        result = run("serve", "--port", port, "--config", str(config), home=tmp_path)
    assert f"port {port} on 127.0.0.1 is in use" in result.stderr
    assert store.load().version == 0


def test_only_what_is_missing_is_named(tmp_path: Path) -> None:
    for name, text, other in (("LOCATION", "project", "LOCATION"), ("PROJECT", "location", "PROJECT")):
        result = run("serve", home=tmp_path, **{f"VERTEX_{name}": "global"})
        assert result.code == 1
        assert f"{text} is set\nhint: " in result.stderr
        assert f"VERTEX_{other}" not in result.stderr
