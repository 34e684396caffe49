"""Service managers: the path and content of their files, and the commands to install and remove a service.

Plans only; ``command.py`` executes them.
"""

from __future__ import annotations

import plistlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final

from modelmux.cli.service.access import SYSTEM_USER
from modelmux.config.home import home_directory

#: Name of the launchd job.
LABEL: Final = "dev.modelmux.gateway"


@dataclass(frozen=True)
class ServicePlan:
    """How to install, remove and query the service.

    :param file: the unit or property list, with this ``content``.
    :param before: pairs of a check and a command; the command runs before the installation if the check fails.
    :param start: commands that load and start it; ``stop`` ends it, ``forget`` runs after the file was removed, and
        ``status`` prints its state.
    :param notes: what remains to be done by hand.
    :param is_system: it runs as a user of its own, whatever the person who installs it can reach.
    """

    manager: str
    file: Path
    content: bytes
    start: list[list[str]]
    stop: list[list[str]]
    forget: list[list[str]]
    status: list[str]
    before: list[tuple[list[str], list[str]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_system: bool = False


def systemd_user(program: list[str], environment: Mapping[str, str]) -> ServicePlan:
    """A user service of systemd."""
    base = Path(environment.get("XDG_CONFIG_HOME") or home_directory(environment) / ".config")
    control = ["systemctl", "--user"]
    return ServicePlan(
        manager="systemd (user)",
        file=base / "systemd" / "user" / "modelmux.service",
        content=_unit("user.service", program),
        start=[[*control, "daemon-reload"], [*control, "enable", "--now", "modelmux.service"]],
        stop=[[*control, "disable", "--now", "modelmux.service"]],
        forget=[[*control, "daemon-reload"]],
        status=[*control, "--no-pager", "status", "modelmux.service"],
        notes=["To keep it running after you log out: loginctl enable-linger"],
    )


def systemd_system(program: list[str]) -> ServicePlan:
    """A system service of systemd, with a dedicated user."""
    return ServicePlan(
        manager="systemd",
        file=Path("/etc/systemd/system/modelmux.service"),
        content=_unit("system.service", program),
        before=[
            (
                ["getent", "passwd", SYSTEM_USER],
                ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
                 "--shell", "/usr/sbin/nologin", SYSTEM_USER],
            )
        ],
        start=[["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", "modelmux.service"]],
        stop=[["systemctl", "disable", "--now", "modelmux.service"]],
        forget=[["systemctl", "daemon-reload"]],
        status=["systemctl", "--no-pager", "status", "modelmux.service"],
        notes=["`modelmux doctor --system` checks what it can reach"],
        is_system=True,
    )  # fmt: skip


def launchd(program: list[str], environment: Mapping[str, str], uid: int) -> ServicePlan:
    """A user agent of launchd."""
    home = home_directory(environment)
    file = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
    job = {
        "Label": LABEL,
        "ProgramArguments": [*program, "serve"],
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ProcessType": "Interactive",
        "ExitTimeOut": 45,
        "Umask": 0o077,
        "StandardErrorPath": str(home / "Library" / "Logs" / "modelmux" / "launchd.log"),
    }
    return ServicePlan(
        manager="launchd",
        file=file,
        content=plistlib.dumps(job),
        start=[["launchctl", "bootstrap", f"gui/{uid}", str(file)]],
        stop=[["launchctl", "bootout", f"gui/{uid}/{LABEL}"]],
        forget=[],
        status=["launchctl", "print", f"gui/{uid}/{LABEL}"],
    )


def _unit(name: str, program: list[str]) -> bytes:
    text = resources.files("modelmux.cli.service").joinpath("units", name).read_text("utf-8")
    return text.replace("{program}", " ".join(_quoted(word) for word in program)).encode()


def _quoted(word: str) -> str:
    """A word of a command line in a unit file, where % and $ are special and spaces separate words."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or " " in word else word
