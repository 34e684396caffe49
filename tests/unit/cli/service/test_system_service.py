"""Risk: the documented steps to a system service do not lead to one. With fake programs; trial.sh has systemd."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner, Result

from modelmux.cli.config import init as init_module
from modelmux.cli.config import system_file
from modelmux.cli.doctor import service as doctor_service
from modelmux.cli.main import main
from modelmux.cli.service import access, checks, command, managers

if sys.platform != "win32":
    import grp
    import pwd

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.getuid() != 0, reason="for systemd, and needs root"
)

CONFIG = """
[vertex]
project = "p"
location = "global"
base_url = "http://127.0.0.1:9"
[auth]
access_token = "t"
[server]
port = 0
"""


class Machine:
    """A machine whose files are in a folder, with fake programs on the PATH that write down how they were called."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.file = folder / "etc/modelmux/config.toml"
        self.unit = folder / "modelmux.service"
        self.calls = folder / "calls"
        programs = folder / "bin"
        programs.mkdir()
        for name in ("systemctl", "useradd", "chgrp", "chown"):
            (programs / name).write_text(f'#!/bin/sh\n[ "$1" = show ] || echo "{name} $@" >> {self.calls}\n')
            (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
        monkeypatch.setenv("HOME", str(folder / "home"))
        for module in (system_file, init_module, doctor_service, command):
            monkeypatch.setattr(module, "SYSTEM_FILE", self.file)
        monkeypatch.setattr(pwd, "getpwnam", self._nobody)
        monkeypatch.setattr(grp, "getgrnam", self._nobody)
        monkeypatch.setattr(access, "HIDDEN", {folder / "home": "ProtectHome"})
        monkeypatch.setattr(doctor_service, "UNITS", (str(self.unit),))
        real = managers.systemd_system
        monkeypatch.setattr(command, "systemd_system", lambda words: self._moved(real(words)))
        program = folder / "opt/modelmux"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        self.use(program, monkeypatch)
        for each in (folder, *folder.parents):
            if not each.stat().st_mode & 1:
                each.chmod(0o755)

    def _nobody(self, name: str) -> NoReturn:
        raise KeyError(name)  # whether or not the service is installed on the machine that runs the tests

    def _moved(self, plan: managers.ServicePlan) -> managers.ServicePlan:
        import dataclasses

        return dataclasses.replace(plan, file=self.unit)

    def use(self, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another installation than that of the tests, which may be in a home."""
        for module in (command, doctor_service):
            monkeypatch.setattr(module, "this_program", lambda: [str(program)], raising=False)
        monkeypatch.setattr(command, "check_system", lambda _, *rest: checks.check_system([str(program)], *rest))

    @property
    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def write(self, text: str = CONFIG, mode: int = 0o600) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.file.write_text(text)
        self.file.chmod(mode)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    environment = dict(os.environ)
    monkeypatch.setattr(os, "environ", os.environ)
    yield Machine(tmp_path, monkeypatch)  # type: ignore[misc]
    os.environ.clear()
    os.environ.update(environment)


def install(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["service", "install", "--system", *arguments])


def init(*arguments: str) -> Result:
    return CliRunner().invoke(
        main, ["config", "init", "--system", "--yes", "--project", "my-project", "--location", "global", *arguments]
    )


def test_a_configuration_is_written_where_the_service_reads_it(machine: Machine) -> None:
    result = init()
    assert (result.exit_code, machine.file.exists()) == (0, True)
    assert "modelmux service install --system" in result.output
    assert stat.S_IMODE(machine.file.stat().st_mode) == 0o600
    assert init().exit_code == 1
    assert CliRunner().invoke(main, ["config", "init", "--system", "--path", "x", "--yes"]).exit_code == 2


def test_a_group_that_exists_gets_to_read_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_file, "find_group", lambda: 4242)
    assert init().exit_code == 0
    info = machine.file.stat()
    assert (stat.S_IMODE(info.st_mode), info.st_gid) == (0o640, 4242)
    assert stat.S_IMODE(machine.file.parent.stat().st_mode) == 0o750


def test_credentials_that_the_service_cannot_see_are_refused_with_a_command(machine: Machine) -> None:
    key = machine.folder / "home/key.json"
    key.parent.mkdir()
    key.write_text(json.dumps({"type": "service_account"}))
    result = init("--credentials", str(key))
    assert (result.exit_code, machine.file.exists()) == (1, False)
    assert "ProtectHome" in result.output
    assert f"install -D -m 600 {key} {machine.file.with_name('key.json')}" in result.output


def test_only_root_writes_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for result in (init(), install()):
        assert result.exit_code == 1
        assert "root" in result.output
    assert machine.called == []


def test_a_service_without_a_configuration_is_not_installed(machine: Machine) -> None:
    result = install()
    assert (result.exit_code, machine.unit.exists()) == (1, False)
    assert f"error: {machine.file} does not exist" in result.output
    assert "hint: `modelmux config init --system` writes it" in result.output
    assert not any("systemctl" in call for call in machine.called)


def test_a_service_with_an_invalid_configuration_is_not_installed(machine: Machine) -> None:
    machine.write(CONFIG + "nonsense = 1\n")
    result = install()
    assert (result.exit_code, machine.unit.exists()) == (1, False)
    assert "nonsense" in result.output


def test_a_program_out_of_reach_is_not_installed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write()
    program = machine.folder / "home/modelmux"
    program.parent.mkdir()
    program.write_text("")
    machine.use(program, monkeypatch)
    result = install()
    assert (result.exit_code, machine.unit.exists()) == (1, False)
    assert "/opt/modelmux/bin/modelmux service install --system" in result.output


def test_a_service_that_can_run_is_installed_and_its_files_are_made_readable(machine: Machine) -> None:
    machine.write()
    dry = install("--dry-run")
    assert f"$ chgrp modelmux {machine.file}" in dry.output
    assert machine.called == []
    result = install()
    assert result.exit_code == 0, result.output
    assert machine.unit.exists()
    assert f"chgrp modelmux {machine.file}" in machine.called
    assert stat.S_IMODE(machine.file.stat().st_mode) == 0o640
    assert machine.called[-2:] == ["systemctl daemon-reload", "systemctl enable --now modelmux.service"]
    assert "modelmux doctor --system" in result.output


def test_a_dry_run_says_what_would_stop_it(machine: Machine) -> None:
    result = install("--dry-run")
    assert (result.exit_code, machine.called) == (0, [])
    assert f"would stop here: {machine.file} does not exist" in result.output


def test_without_credentials_it_is_installed_with_a_warning(machine: Machine) -> None:
    machine.write('[vertex]\nproject = "p"\nlocation = "global"\n')
    result = install()
    assert result.exit_code == 0
    assert "warning: credentials: none are configured" in result.output


def section(result: Result) -> dict[str, dict[str, str]]:
    assert result.exit_code in (0, 1), result.output
    found = json.loads(result.stdout)["checks"]
    return {check["check"]: check for check in found if check["section"] in ("service", "files")}


def test_doctor_looks_at_the_service_and_not_at_the_person(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELMUX_SERVER_PORT", "no number")
    monkeypatch.setenv("VERTEX_PROJECT", "of-the-person")
    machine.write()
    checked = section(CliRunner().invoke(main, ["doctor", "--system", "--json"]))
    assert checked["unit"]["status"] == "warn"
    assert checked["files"]["hint"] == "`modelmux service install --system` makes it readable for the service"
    assert checked[str(machine.file)]["status"] == "ok"
    assert os.environ["HOME"] == "/nonexistent"
    assert "VERTEX_PROJECT" not in os.environ
    assert CliRunner().invoke(main, ["doctor", "--system", "--config", "x"]).exit_code == 2


def test_doctor_checks_the_program_of_the_installed_unit(machine: Machine) -> None:
    machine.write()
    machine.unit.write_text(f'[Service]\nExecStart="{machine.folder}/home/a b/modelmux" serve --config x\n')
    checked = section(CliRunner().invoke(main, ["doctor", "--system", "--json"]))
    assert checked["unit"]["status"] == "ok"
    assert f"{machine.folder}/home/a b/modelmux is in" in checked["program"]["detail"]


def test_doctor_without_a_configuration_says_how_to_write_one(machine: Machine) -> None:
    checked = section(CliRunner().invoke(main, ["doctor", "--system", "--json"]))
    assert checked["configuration file"]["status"] == "fail"
    assert "config init --system" in checked["settings"]["hint"]
