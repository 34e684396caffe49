"""Risk: a system service is installed that cannot start: its program, configuration or key is out of its reach."""

from __future__ import annotations

import os
import re
import sys
from importlib import resources
from pathlib import Path

import pytest

from modelmux.cli.service import access, checks
from modelmux.cli.service.access import ENTER, READ, ServiceUser, hidden, refused
from modelmux.cli.service.checks import (
    file_problems,
    grants,
    missing_config,
    no_credentials,
    program_problems,
    service_environment,
)
from modelmux.config import Config

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="for systemd")

OTHERS = ServiceUser()
SERVICE = ServiceUser(990, frozenset({990}))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that everyone can enter, where nothing is hidden but its directory ``hidden``."""
    monkeypatch.setattr(access, "HIDDEN", {tmp_path / "hidden": "ProtectHome"})
    monkeypatch.setattr(checks, "find_group", lambda: 990)
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == os.getuid() and each != Path("/") and not each.stat().st_mode & 1:
            each.chmod(0o755)
    return tmp_path


def file(path: Path, mode: int = 0o644) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    path.chmod(mode)
    return path


def test_the_table_is_that_of_the_unit() -> None:
    unit = resources.files("modelmux.cli.service").joinpath("units", "system.service").read_text("utf-8")
    for setting in set(access.HIDDEN.values()):
        assert f"\n{setting}=yes\n" in unit
    assert f"\nUser={access.SYSTEM_USER}\n" in unit
    assert re.search(r"^ExecStart=\{program\} serve --config /etc/modelmux/config\.toml$", unit, re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "setting"),
    [
        ("/home/ann/key.json", "ProtectHome"), ("/root/.config/gcloud/x.json", "ProtectHome"),
        ("/run/user/1000/x", "ProtectHome"), ("/tmp/key.json", "PrivateTmp"), ("/var/tmp/key.json", "PrivateTmp"),
        ("/etc/modelmux/key.json", None), ("/homes/key.json", None), ("/opt/home/key.json", None),
    ],
)  # fmt: skip
def test_what_the_unit_hides(path: str, setting: str | None) -> None:
    problem = hidden(Path(path))
    assert problem is None if setting is None else setting in (problem or "")


def test_a_link_is_followed(folder: Path) -> None:
    key = file(folder / "hidden/key.json")
    link = folder / "key.json"
    link.symlink_to(key)
    assert str(key) in (hidden(link) or "")


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "need", "allowed"),
    [
        (0o400, 990, 0, READ, True), (0o040, 0, 990, READ, True), (0o004, 0, 0, READ, True),
        (0o640, 0, 0, READ, False), (0o600, 0, 990, READ, False),
        (0o077, 990, 990, READ, False),  # the owner's bits count, and no others
        (0o707, 0, 990, READ, False), (0o755, 0, 0, READ | ENTER, True), (0o744, 0, 0, READ | ENTER, False),
    ],
)  # fmt: skip
def test_permission_bits(mode: int, uid: int, gid: int, need: int, allowed: bool) -> None:
    info = os.stat_result((mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))
    assert SERVICE.may(need, info) is allowed


def test_each_directory_on_the_way_counts(folder: Path) -> None:
    key = file(folder / "closed/key.json")
    assert refused(key, OTHERS) is None
    key.parent.chmod(0o700)
    assert "closed cannot be entered by the user modelmux (mode 0700, owned by" in (refused(key, OTHERS) or "")
    key.parent.chmod(0o755)
    key.chmod(0o600)
    assert "key.json cannot be read by the user modelmux (mode 0600" in (refused(key, OTHERS) or "")
    assert "No such file" in (refused(folder / "nothing", OTHERS) or "")


def test_a_program_in_a_home_is_refused_with_a_place_to_go(folder: Path) -> None:
    (problem,) = program_problems([str(file(folder / "hidden/modelmux", 0o755))], OTHERS)
    assert "ProtectHome" in problem.message
    assert "/opt/modelmux/bin/modelmux service install --system" in problem.remedy
    assert list(program_problems([str(file(folder / "modelmux", 0o755))], OTHERS)) == []


def config(**auth: str) -> Config:
    return Config.from_dict({"auth": auth, "vertex": {"project": "p", "location": "global"}})


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="needs root: the files have to be root's")
def test_files_of_root_beside_the_configuration_are_made_readable(folder: Path) -> None:
    folder = folder / "modelmux"
    written = file(folder / "config.toml", 0o600)
    key = file(folder / "key.json", 0o600)
    folder.chmod(0o700)
    with_key = config(service_account_file=str(key))
    assert list(file_problems(written, with_key, SERVICE)) == []
    assert grants(written, with_key, SERVICE) == [
        ["chgrp", "modelmux", str(folder)], ["chmod", "750", str(folder)],
        ["chgrp", "modelmux", str(written)], ["chmod", "640", str(written)],
        ["chown", "modelmux", str(key)], ["chmod", "400", str(key)],
    ]  # fmt: skip
    for path, mode in ((folder, 0o750), (written, 0o640)):
        os.chown(path, 0, 990)
        path.chmod(mode)
    os.chown(key, 990, 0)
    assert grants(written, with_key, SERVICE) == []


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="needs root: the files have to be another's")
def test_files_that_an_administrator_gave_to_others_are_left_alone(folder: Path) -> None:
    written = file(folder / "config.toml", 0o640)
    os.chown(written, 0, 4242)
    (problem,) = file_problems(written, config(), SERVICE)
    assert "chgrp modelmux" in problem.remedy
    assert grants(written, config(), SERVICE) == []


def test_a_key_elsewhere_has_to_be_copied(folder: Path) -> None:
    written = file(folder / "config.toml")
    key = file(folder / "hidden/key.json", 0o600)
    (problem,) = file_problems(written, config(service_account_file=str(key)), SERVICE)
    assert problem.about == "auth.service_account_file"
    assert problem.remedy.startswith(f"install -m 600 {key} {folder / 'key.json'}, and set auth.service_account_file")
    (problem,) = file_problems(written, config(service_account_file="~/key.json"), SERVICE)
    assert problem.message == "/nonexistent/key.json: No such file or directory"


def test_a_missing_configuration_names_the_command_and_the_file_that_is_not_read(tmp_path: Path) -> None:
    wanted = tmp_path / "etc/config.toml"
    problem = missing_config(wanted, {"HOME": str(tmp_path)})
    assert "modelmux config init --system" in problem.remedy
    own = tmp_path / ".config/modelmux/config.toml"
    own.parent.mkdir(parents=True)
    own.write_text("")
    assert f"install -D -m 600 {own} {wanted}" in missing_config(wanted, {"HOME": str(tmp_path)}).remedy


def test_without_credentials_the_operator_is_told_what_is_left() -> None:
    assert no_credentials(config(access_token="t"), {}) is None
    note = no_credentials(config(), {})
    assert note is not None
    assert "metadata server" in note.message
    assert no_credentials(config(), {"GOOGLE_APPLICATION_CREDENTIALS": "/etc/key.json"}) is None
    note = no_credentials(config(), {"GOOGLE_APPLICATION_CREDENTIALS": "/root/key.json"})
    assert note is not None
    assert "ProtectHome" in note.message


def test_the_environment_is_that_of_the_unit() -> None:
    variables = service_environment('MODELMUX_LOGS_DIRECTORY=/var/log/modelmux "A=two words"')
    assert variables["HOME"] == "/nonexistent"
    assert variables["STATE_DIRECTORY"] == "/var/lib/modelmux"
    assert variables["MODELMUX_LOGS_DIRECTORY"] == "/var/log/modelmux"
    assert variables["A"] == "two words"
    assert service_environment('broken "quote')["MODELMUX_LOGS_DIRECTORY"] == "/var/log/modelmux"
