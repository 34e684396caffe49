"""``modelmux connect`` against a real gateway in front of the emulator: the checks pass, and what is written works."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelmux.cli.connect.table import clients
from support.cli import run
from support.clients import environment
from support.processes import Process
from support.programs import counts_tokens, is_served

KEY = "sk-e2e-connect"


@pytest.fixture(scope="module")
def guarded(serve: Callable[..., Process], emulator: Process) -> Process:
    return serve(emulator.url, server=f'api_keys = ["{KEY}"]')


@pytest.mark.parametrize(("name", "api"), [(c.name, c.api) for c in clients().client if c.names != "other"])
def test_every_client_passes_its_check(name: str, api: str, guarded: Process, tmp_path: Path) -> None:
    if not is_served(api):
        pytest.skip(f"the gateway does not serve {api} yet")
    result = run(
        "connect", name, "--mode", api, "--check", "--json", "--url", guarded.url, "--api-key", KEY, home=tmp_path
    )
    checks = json.loads(result.stdout)["checks"]
    served = [check for check in checks if check["check"] != "count tokens" or counts_tokens()]
    assert [check for check in served if check["status"] != "ok"] == []
    assert result.code == 0


def test_a_wrong_key_fails_with_a_remedy(guarded: Process, tmp_path: Path) -> None:
    result = run("connect", "openai-python", "--check", "--url", guarded.url, "--api-key", "sk-wrong", home=tmp_path)
    assert result.code == 1
    assert "the key is not accepted" in result.stdout
    assert "hint" in result.stdout


def test_an_unknown_model_fails(guarded: Process, tmp_path: Path) -> None:
    result = run("connect", "openai-python", "--check", "--url", guarded.url, "--api-key", KEY, "--model", "no-model",
                 home=tmp_path)  # fmt: skip
    assert result.code == 1
    assert "no-model" in result.stdout


def test_a_url_with_a_wrong_path_fails(guarded: Process, tmp_path: Path) -> None:
    result = run(
        "connect", "openai-python", "--check", "--url", f"{guarded.url}/wrong", "--api-key", KEY, home=tmp_path
    )
    assert result.code == 1
    assert "status 404" in result.stdout


def test_the_printed_program_runs(guarded: Process, tmp_path: Path) -> None:
    printed = run("connect", "openai-python", "--url", guarded.url, "--api-key", KEY, "--show-key", home=tmp_path)
    ended = subprocess.run(
        [sys.executable, "-"], input=printed.stdout, env=environment(tmp_path), cwd=tmp_path, capture_output=True,
        text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()


def test_the_printed_variables_are_read_by_a_shell(tmp_path: Path) -> None:
    printed = run("connect", "claude-code", "--url", "https://gw.example.com/llm", "--model", "a'b", home=tmp_path)
    script = f'{printed.stdout}\necho "$ANTHROPIC_BASE_URL|$ANTHROPIC_AUTH_TOKEN|$ANTHROPIC_MODEL"'
    ended = subprocess.run(
        ["/bin/sh", "-eu"], input=script, env={"MODELMUX_KEY": KEY}, capture_output=True, text=True, check=False
    )
    assert ended.stdout == f"https://gw.example.com/llm|{KEY}|a'b\n", ended.stderr


def test_a_shell_exports_no_empty_key(tmp_path: Path) -> None:
    printed = run("connect", "claude-code", "--url", "https://gw.example.com", home=tmp_path)
    for variables in ({}, {"MODELMUX_KEY": ""}):
        script = f"{printed.stdout}\necho reached"
        ended = subprocess.run(["/bin/sh"], input=script, env=variables, capture_output=True, text=True, check=False)
        assert ended.returncode != 0
        assert ended.stdout == ""
        assert "MODELMUX_KEY: set it to a key of the gateway" in ended.stderr
