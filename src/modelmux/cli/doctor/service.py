"""The system service: its user, and whether it reaches the program, its configuration and its credentials.

``modelmux doctor --system`` runs the other checks by what the service would read, in the environment of its unit.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.cli.output import exit_with_error
from modelmux.config.load import SYSTEM_FILE

UNITS: Final = ("/etc/systemd/system/modelmux.service", "/lib/systemd/system/modelmux.service")
#: Variables of this process that are about its output only.
_OF_TERMINAL: Final = ("TERM", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "LANG", "LC_ALL")


def system_context(overrides: Mapping[str, Any]) -> DoctorContext:
    """What the system service would read. The environment of this process becomes that of the service: Google's library
    looks for credentials there."""
    if not sys.platform.startswith("linux"):
        exit_with_error(["there are system services on Linux only"], "Leave out --system.")
    from modelmux.cli.service.access import find_group
    from modelmux.cli.service.checks import installed_variables, service_environment

    environment = service_environment(installed_variables())
    of_terminal = {name: value for name in _OF_TERMINAL if (value := os.environ.get(name)) is not None}
    os.environ.clear()
    os.environ.update(of_terminal | environment)
    return DoctorContext(
        SYSTEM_FILE, overrides, environment, environment, dotenv=None, of_service=True, group=find_group()
    )


def check_service(context: DoctorContext) -> Iterator[Result]:
    """The user, the unit, and what ``service install`` checks as well."""
    from modelmux.cli.service.access import SYSTEM_USER, find_user
    from modelmux.cli.service.checks import check_system, this_program

    assert context.config_path is not None
    user = find_user()
    if user is None:
        yield Result("user", "fail", f"{SYSTEM_USER} does not exist", "`modelmux service install --system` creates it")
    else:
        yield Result("user", "ok", f"{SYSTEM_USER} ({user.uid})")
    unit = next(filter(os.path.exists, UNITS), None)
    if unit is None:
        yield Result("unit", "warn", "not installed", "`modelmux service install --system` installs it")
    else:
        yield Result("unit", "ok", unit)
    program = program_of(unit) if unit is not None else None
    check = check_system(program or this_program(), context.config_path, context.process)
    for problem in check.problems:
        yield Result(problem.about, "fail", problem.message, problem.remedy)
    for command in check.commands[-1:]:
        detail = f"{command[-1]} cannot be read by the user {SYSTEM_USER} yet"
        yield Result("files", "warn", detail, "`modelmux service install --system` makes it readable for the service")
    for note in check.notes:
        yield Result(note.about, "warn", note.message, note.remedy)
    if not (check.problems or check.commands):
        yield Result("reach", "ok", "the program and all files are within reach of the service")


def program_of(unit: str) -> list[str] | None:
    """The command that a unit starts; None if it cannot be told."""
    try:
        lines = Path(unit).read_text("utf-8", "replace").splitlines()
        command = next(line for line in lines if line.startswith("ExecStart="))
        return shlex.split(command.removeprefix("ExecStart="))[:1] or None
    except (OSError, StopIteration, ValueError):
        return None
