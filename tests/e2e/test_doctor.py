"""``modelmux doctor`` and ``validate``: the whole report, word for word, and its exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cli import check_snapshot, run, run_process
from support.emulator_server import ThreadedEmulator, threaded
from support.processes import Process, free_port

CONFIG = """
[server]
port = {port}
[vertex]
project = "my-project"
location = "global"
base_url = "{url}"
[[vertex.models]]
name = "sonnet"
model = "claude-sonnet-4-6"
locations = ["global", "eu"]
[[vertex.models]]
name = "other"
model = "{model}"
[auth]
access_token = "ya29.very-secret"
"""


@pytest.fixture(scope="module")
def emulator() -> Iterator[ThreadedEmulator]:
    with threaded() as running:
        yield running


@pytest.fixture
def configure(tmp_path: Path, emulator: ThreadedEmulator) -> Callable[..., dict[str, str]]:
    """Writes the user's file; gives what differs from run to run."""

    def write(model: str = "claude-opus-5", **more: str) -> dict[str, str]:
        port = free_port()
        file = tmp_path / ".config/modelmux/config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CONFIG.format(**({"port": port, "url": emulator.base_url, "model": model} | more)))
        file.chmod(0o600)
        return {emulator.base_url.removeprefix("http://"): "EMULATOR", f"port {port}": "port PORT"}

    return write


def timeless(text: str) -> str:
    return re.sub(r"\d+ ms", "N ms", text)


def report(*arguments: str, home: Path, **variables: str) -> Any:
    result = run("doctor", *arguments, home=home, NO_GCE_CHECK="true", **variables)
    return type(result)(result.arguments, result.code, timeless(result.stdout), result.stderr, result.home)


def test_a_good_configuration(tmp_path: Path, configure: Callable[..., dict[str, str]]) -> None:
    replace = configure()
    result = report("--live", home=tmp_path)
    assert result.code == 0, result.text()
    assert "ya29" not in result.stdout
    check_snapshot("doctor_good", result, replace=replace)


def test_a_model_that_does_not_answer(tmp_path: Path, configure: Callable[..., dict[str, str]]) -> None:
    replace = configure("claude-opuss-5")
    assert report(home=tmp_path).code == 0
    result = report("--live", home=tmp_path)
    assert result.code == 1
    check_snapshot("doctor_live_failure", result, replace=replace)


def test_nothing_configured_says_what_to_do(tmp_path: Path) -> None:
    result = report(home=tmp_path, MODELMUX_SERVER_PORT=str(port := free_port()))
    assert result.code == 1
    check_snapshot("doctor_nothing", result, replace={f"port {port}": "port PORT"})


def test_a_wrong_file_is_reported_and_the_rest_left_out(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("[server]\nprot = 1\n[vertex]\nlocation = 5\n")
    result = report("--config", "wrong.toml", "--live", home=tmp_path)
    assert result.code == 1
    check_snapshot("doctor_wrong_file", result)


def test_json_is_one_object_with_every_check(tmp_path: Path, configure: Callable[..., dict[str, str]]) -> None:
    configure("claude-opuss-5")
    result = run("doctor", "--live", "--json", home=tmp_path)
    assert result.code == 1
    report_json = json.loads(result.stdout)
    assert report_json["ok"] is False
    assert {"files", "origins", "models", "credentials", "network", "server", "live"} == {
        check["section"] for check in report_json["checks"]
    }
    (failed,) = [check for check in report_json["checks"] if check["status"] == "fail"]
    assert failed["check"] == "other@global"
    assert failed["hint"]
    assert "very-secret" not in result.stdout


def section(name: str, output: str) -> list[str]:
    """The lines of a section, without its title."""
    _, _, rest = output.partition(f"\n{name}: ")
    return [line for line in re.split(r"\n(?=\S|$)", rest)[0].splitlines() if line.startswith("  ")]


def test_many_deployments_are_one_line_and_verbose_shows_each(tmp_path: Path, emulator: ThreadedEmulator) -> None:
    where = (
        "--set",
        "vertex.project=p",
        "--set",
        "vertex.location=global",
        "--set",
        f"vertex.base_url={emulator.base_url}",
    )
    variables = {"MODELMUX_AUTH_ACCESS_TOKEN": "t", "MODELMUX_SERVER_PORT": str(free_port())}
    every = section("Models", report(*where, "--verbose", home=tmp_path, **variables).stdout)
    assert len(every) > 10
    assert all(emulator.base_url in line for line in every)
    (line,) = section("Models", report(*where, home=tmp_path, **variables).stdout)
    names = [line.split()[1].removesuffix(":") for line in every]
    assert line == (
        f"  ok    {len(every)} deployments: {', '.join(names[:3])} and {len(every) - 3} more; "
        "--verbose shows each with its URL"
    )
    checks = json.loads(run("doctor", *where, "--json", home=tmp_path, **variables).stdout)["checks"]
    assert [check["check"] for check in checks if check["section"] == "models"] == names


def test_a_model_with_a_warning_is_not_folded(tmp_path: Path, emulator: ThreadedEmulator) -> None:
    (tmp_path / "many.toml").write_text(
        f'[vertex]\nproject = "p"\nbase_url = "{emulator.base_url}"\n[[vertex.models]]\nname = "good"\n'
        'model = "claude-sonnet-4-6"\nlocations = ["global", "eu", "us", "europe-west1"]\n'
        '[[vertex.models]]\nname = "odd"\nmodel = "claude-opuss-5"\nlocation = "us"\n'
    )
    result = report("--config", "many.toml", home=tmp_path, MODELMUX_AUTH_ACCESS_TOKEN="t")
    folded, warning = section("Models", result.stdout)
    assert folded.startswith("  ok    5 deployments: good@global, good@eu, good@us and 2 more; ")
    assert warning.startswith("  warn  odd: claude-opuss-5 is not in the catalog")


def test_missing_credentials_are_one_problem(tmp_path: Path, configure: Callable[..., dict[str, str]]) -> None:
    configure()
    without_token(tmp_path / ".config/modelmux/config.toml")
    result = report("--live", home=tmp_path, GOOGLE_APPLICATION_CREDENTIALS="absent.json")
    assert result.code == 1
    *_, verdict, problem = result.stdout.splitlines()
    assert verdict.startswith("1 problem")
    assert problem.startswith("  fail  credentials file: absent.json: No such file or directory  hint: ")
    assert section("Credentials", result.stdout)[1].startswith(
        "  fail  access token: The Google credentials file does not"
    )
    assert "repeats" not in run("doctor", "--json", home=tmp_path, GOOGLE_APPLICATION_CREDENTIALS="absent.json").stdout


def test_validate_is_doctor_under_its_old_name(tmp_path: Path, configure: Callable[..., dict[str, str]]) -> None:
    configure()
    result = run("validate", home=tmp_path)
    assert result.code == 0
    assert result.stderr == "note: `modelmux validate` is deprecated; use `modelmux doctor`\n"
    assert "sonnet@eu: http://" in result.stdout


def test_a_running_gateway_holds_the_port_rightly(tmp_path: Path, serve: Any, emulator: ThreadedEmulator) -> None:
    gateway: Process = serve(emulator.base_url)
    port = gateway.url.rpartition(":")[2]
    result = run_process("doctor", "--set", f"server.port={port}", "--set", "vertex.project=p", "--set",
                       "vertex.location=global", "--set", f"vertex.base_url={emulator.base_url}",
                       home=tmp_path, MODELMUX_AUTH_ACCESS_TOKEN="t")  # fmt: skip
    assert result.code == 0, result.text()
    assert f"port {port} on 127.0.0.1: modelmux " in result.stdout
    assert "is running there" in result.stdout


def without_token(file: Path) -> None:
    file.write_text(file.read_text().partition("[auth]")[0])


def test_a_token_is_minted_by_the_metadata_server(
    tmp_path: Path, configure: Callable[..., dict[str, str]], emulator: ThreadedEmulator
) -> None:
    configure()
    without_token(tmp_path / ".config/modelmux/config.toml")
    host = emulator.base_url.removeprefix("http://")
    # A process of its own: google-auth reads these when it is imported.
    result = run_process("doctor", "--live", home=tmp_path, GCE_METADATA_HOST=host, GCE_METADATA_IP=host)
    assert result.code == 0, result.text()
    assert "access token: obtained with metadata server, valid for" in result.stdout
    assert "ya29" not in result.stdout


def test_a_missing_key_file_is_a_failure_with_its_remedy(
    tmp_path: Path, configure: Callable[..., dict[str, str]]
) -> None:
    configure()
    without_token(tmp_path / ".config/modelmux/config.toml")
    result = run("doctor", "--set", "auth.service_account_file=absent.json", "--json", home=tmp_path)
    assert result.code == 1
    checks = {check["check"]: check for check in json.loads(result.stdout)["checks"]}
    assert checks["credentials file"]["status"] == "fail"
    assert checks["access token"]["status"] == "fail"
    assert "auth.service_account_file" in checks["access token"]["hint"]
