"""``modelmux service``: the right files at the right places, in the right order, and nothing half done."""

from __future__ import annotations

import plistlib
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from modelmux.cli.main import main
from modelmux.cli.service.managers import launchd, systemd_system, systemd_user

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="these commands are for systemd")


class Systemctl:
    """A ``systemctl`` on the PATH that writes down what it was asked, and fails on demand."""

    def __init__(self, folder: Path) -> None:
        self.calls = folder / "calls"
        self.program = folder / "bin" / "systemctl"
        self.program.parent.mkdir()
        self.fail_on("nothing")

    def fail_on(self, word: str) -> None:
        self.program.write_text(
            f'#!/bin/sh\necho "$@" >> {self.calls}\ncase "$*" in *{word}*) echo "no bus" >&2; exit 1;; esac\n'
        )
        self.program.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    made = Systemctl(tmp_path)
    monkeypatch.setenv("PATH", f"{made.program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["service", *arguments, "--user"])


def file(tmp_path: Path) -> Path:
    return tmp_path / ".config/systemd/user/modelmux.service"


def test_install_writes_enables_and_starts(tmp_path: Path, systemctl: Systemctl) -> None:
    result = run("install")
    assert (result.exit_code, systemctl.asked) == (0, ["--user daemon-reload", "--user enable --now modelmux.service"])
    text = file(tmp_path).read_text()
    assert "{program}" not in text
    assert f"ExecStart={Path(sys.executable).with_name('modelmux')} serve\n" in text
    assert run("install").exit_code == 0  # the same again is no conflict


def test_a_changed_file_is_not_replaced_unasked(tmp_path: Path, systemctl: Systemctl) -> None:
    run("install", "--no-start")
    file(tmp_path).write_text("[Service]\nExecStart=/mine\n")
    result = run("install")
    assert (result.exit_code, systemctl.asked) == (1, [])
    assert "--force" in result.stderr
    assert run("install", "--force", "--no-start").exit_code == 0
    assert "/mine" not in file(tmp_path).read_text()


def test_a_manager_that_refuses_is_told_of(systemctl: Systemctl) -> None:
    systemctl.fail_on("enable")
    result = run("install")
    assert result.exit_code == 1
    assert "error: systemctl --user enable --now modelmux.service: no bus" in result.stderr


def test_uninstall_stops_and_removes_even_if_stopping_fails(tmp_path: Path, systemctl: Systemctl) -> None:
    assert run("uninstall").exit_code == 1
    run("install", "--no-start")
    systemctl.fail_on("disable")
    result = run("uninstall")
    assert (result.exit_code, file(tmp_path).exists()) == (0, False)
    assert systemctl.asked == ["--user disable --now modelmux.service", "--user daemon-reload"]
    assert "no bus" in result.stderr


def test_a_dry_run_changes_nothing(tmp_path: Path, systemctl: Systemctl) -> None:
    result = run("install", "--dry-run")
    assert (result.exit_code, systemctl.asked, file(tmp_path).exists()) == (0, [], False)
    assert "$ systemctl --user enable --now modelmux.service" in result.stdout
    run("install", "--no-start")
    assert "$ rm" in run("uninstall", "--dry-run").stdout
    assert file(tmp_path).exists()


def test_status_of_nothing(tmp_path: Path, systemctl: Systemctl) -> None:
    result = run("status")
    assert result.exit_code == 1
    assert result.stdout == f"running: no gateway\ninstalled: no ({file(tmp_path)})\n"


def test_a_program_with_odd_characters_stands_in_a_unit_as_it_is() -> None:
    text = systemd_user(['/a b/$x/100%/"q"\\'], {"HOME": "/h"}).content.decode()
    assert 'ExecStart="/a b/$$x/100%%/\\"q\\"\\\\" serve\n' in text


def test_the_service_of_the_machine_has_a_user_of_its_own() -> None:
    plan = systemd_system(["/usr/bin/modelmux"])
    assert plan.before[0][0] == ["getent", "passwd", "modelmux"]
    assert "--system" in plan.before[0][1]
    assert "User=modelmux\n" in plan.content.decode()


def test_launchd_gets_a_property_list() -> None:
    plan = launchd(["/opt/modelmux"], {"HOME": "/Users/ann"}, 501)
    assert plan.file == Path("/Users/ann/Library/LaunchAgents/dev.modelmux.gateway.plist")
    job = plistlib.loads(plan.content)
    assert job["ProgramArguments"] == ["/opt/modelmux", "serve"]
    assert plan.start == [["launchctl", "bootstrap", "gui/501", str(plan.file)]]
