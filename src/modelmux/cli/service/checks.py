"""Checks of a system service before it is installed, and by ``doctor --system``: each problem with its remedy.

The service reads ``/etc/modelmux/config.toml``, as the user ``modelmux``, in the environment of its unit.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

from modelmux.cli.config.checks import config_problems
from modelmux.cli.service.access import ENTER, READ, SYSTEM_USER, ServiceUser, find_group, find_user, hidden, refused
from modelmux.config import Config, ConfigError
from modelmux.config.load import load_all, user_file

#: What systemd sets for the unit's directories, and for a user without a home.
_DIRECTORIES: Final = {
    "HOME": "/nonexistent",
    "RUNTIME_DIRECTORY": "/run/modelmux",
    "STATE_DIRECTORY": "/var/lib/modelmux",
    "LOGS_DIRECTORY": "/var/log/modelmux",
}
_INSTALL: Final = (
    "install it where all can read it: python3 -m venv /opt/modelmux && /opt/modelmux/bin/pip install ., then "
    "/opt/modelmux/bin/modelmux service install --system; or use the Debian package (make deb); or use --user"
)


class Problem(NamedTuple):
    """What keeps the service from running.

    :param about: the setting or thing, in a few words.
    :param remedy: what to do.
    """

    about: str
    message: str
    remedy: str


def service_environment(unit_variables: str = "") -> dict[str, str]:
    """The variables of the service.

    :param unit_variables: what ``systemctl show -p Environment`` prints, for an installed unit.
    """
    unit = resources.files("modelmux.cli.service").joinpath("units", "system.service").read_text("utf-8")
    lines = [line.removeprefix("Environment=") for line in unit.splitlines() if line.startswith("Environment=")]
    variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **_DIRECTORIES}
    try:
        words = shlex.split(" ".join([*lines, unit_variables]))
    except ValueError:
        words = shlex.split(" ".join(lines))
    return variables | dict(word.split("=", 1) for word in words if "=" in word)


def installed_variables() -> str:
    """The variables of the installed unit, with those of ``systemctl edit``; empty if systemd does not run."""
    command = ["systemctl", "show", "modelmux.service", "--property=Environment", "--value"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout.strip()  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""


def this_program() -> list[str]:
    """The command of this installation."""
    own = Path(sys.executable).with_name("modelmux")
    program = str(own) if own.exists() else shutil.which("modelmux")
    return [program] if program else [sys.executable, "-m", "modelmux"]


def program_problems(program: Sequence[str], user: ServiceUser) -> Iterator[Problem]:
    """Whether the service can run an installation: the command and, of this one, Python and what it imports."""
    paths = [Path(program[0])]
    if program[0] == this_program()[0]:
        paths += [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[2]]
    for path in dict.fromkeys(paths):
        problem = refused(path, user, READ | ENTER)
        if problem is not None:
            yield Problem("program", problem, _INSTALL)
            return


def missing_config(file: Path, environment: Mapping[str, str]) -> Problem:
    """The problem of a configuration file that does not exist.

    :param environment: of the person who installs, who may have a file of their own.
    """
    own = user_file(environment)
    command = f"`modelmux config init --system` writes it, readable for the service ({SYSTEM_USER})"
    if own.exists():
        command += f"; or copy yours: install -D -m 600 {own} {file}"
    return Problem("configuration file", f"{file} does not exist, and the service reads no other file", command)


def file_problems(config_file: Path, config: Config, user: ServiceUser) -> Iterator[Problem]:
    """Whether the service can read its files. Those that ``grants`` makes readable are left out."""
    folder = config_file.parent
    for about, path in _files(config_file, config):
        problem = refused(path, user)
        if problem is None or _can_grant(path, folder):
            continue
        if path == config_file:
            remedy = f"chgrp {SYSTEM_USER} {folder} {path} && chmod 750 {folder} && chmod 640 {path}"
        else:
            copy = folder / path.name
            remedy = f'install -m 600 {path} {copy}, and set {about} = "{copy}"'
        yield Problem(about, problem, remedy)


def grants(config_file: Path, config: Config, user: ServiceUser) -> list[list[str]]:
    """The commands that make files of root in the directory of the configuration readable for the service: the
    configuration by its group, credentials by their owner; not by others."""
    folder, commands = config_file.parent, list[list[str]]()
    for _, path in _files(config_file, config):
        if refused(path, user) is None or not _can_grant(path, folder):
            continue
        if not user.may(ENTER, folder.stat()):
            commands += [["chgrp", SYSTEM_USER, str(folder)], ["chmod", "750", str(folder)]]
        if path == config_file:
            commands += [["chgrp", SYSTEM_USER, str(path)], ["chmod", "640", str(path)]]
        else:
            commands += [["chown", SYSTEM_USER, str(path)], ["chmod", "400", str(path)]]
    return [command for i, command in enumerate(commands) if command not in commands[:i]]


class Checked(NamedTuple):
    """The result of all checks.

    :param commands: make files readable for the service.
    :param notes: what may be right.
    """

    problems: Sequence[Problem] = ()
    commands: Sequence[Sequence[str]] = ()
    notes: Sequence[Problem] = ()


def check_system(program: Sequence[str], config_file: Path, environment: Mapping[str, str]) -> Checked:
    """Everything that a system service needs, before it is installed.

    :param environment: of the person who installs it.
    """
    user = find_user() or ServiceUser()
    problems = list(program_problems(program, user))
    if not config_file.exists():
        return Checked([*problems, missing_config(config_file, environment)])
    variables = service_environment(installed_variables())
    try:
        loaded = load_all(environment=variables, file=config_file, dotenv=None)
    except ConfigError as error:
        return Checked([*problems, *_config_problems(error.problems, [error.hint] if error.hint else [], config_file)])
    config = loaded.config
    problems += _config_problems(*config_problems(loaded), config_file)
    problems += file_problems(config_file, config, user)
    note = no_credentials(config, variables)
    return Checked(problems, grants(config_file, config, user), [note] if note else [])


def _config_problems(problems: Sequence[str], hints: Sequence[str], file: Path) -> Iterator[Problem]:
    remedy = "; ".join(hints) or f"correct it; `modelmux config validate {file}` checks it"
    yield from (Problem("configuration", problem, remedy) for problem in problems)


def no_credentials(config: Config, environment: Mapping[str, str]) -> Problem | None:
    """What an operator should know if the service is given no credentials."""
    auth = config.auth
    if auth.access_token or auth.service_account_json or auth.service_account_file:
        return None
    named = environment.get("GOOGLE_APPLICATION_CREDENTIALS")
    if named:
        problem = hidden(Path(named))
        return Problem("credentials", problem, "copy the file to /etc/modelmux") if problem else None
    return Problem(
        "credentials",
        "none are configured; the service does not see those of gcloud, only the metadata server of Google Cloud",
        "on another machine: install -m 600 KEY.json /etc/modelmux/key.json, and set auth.service_account_file",
    )


def _files(config_file: Path, config: Config) -> Iterator[tuple[str, Path]]:
    yield "configuration file", config_file
    if config.auth.service_account_file is not None:
        yield "auth.service_account_file", _as_service(config.auth.service_account_file)
    if config.tls.ca_file is not None:
        yield "tls.ca_file", _as_service(config.tls.ca_file)


def _as_service(path: str) -> Path:
    """A path as the service reads it: without a home, and from the root directory."""
    if path.startswith("~"):
        return Path(_DIRECTORIES["HOME"], *Path(path).parts[1:])
    return Path("/", path)


def _can_grant(path: Path, folder: Path) -> bool:
    """Whether a file is one of root's in the directory of the configuration, not a link to elsewhere, that still
    has root's group or the service's."""
    try:
        infos = [folder.stat(), path.lstat()]
    except OSError:
        return False
    groups = (0, find_group())
    plain = path.parent == folder and path.is_file() and not path.is_symlink() and hidden(path) is None
    return plain and all(info.st_uid == 0 and info.st_gid in groups for info in infos)
