"""The service managers that ``modelmux service`` installs into: where their files lie, what these hold, which commands
make them known. Plans only; ``service.py`` carries them out.
"""

from __future__ import annotations

import plistlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final

#: Name of the launchd job.
LABEL: Final = "dev.modelmux.gateway"
_SYSTEM_USER: Final = "modelmux"
_OWNED: Final = (
    "Its configuration is /etc/modelmux/config.toml; let only the service read it: "
    f"chown root:{_SYSTEM_USER} /etc/modelmux/config.toml && chmod 640 /etc/modelmux/config.toml"
)


@dataclass(frozen=True)
class ServicePlan:
    """How to install, remove and ask about the service.

    :param file: the unit or property list; ``content`` is what it holds.
    :param before: commands that must work before it is installed; each only if its check fails.
    :param start: commands that make it known and start it. ``stop`` those that end it, ``forget`` those to run once
        the file is gone, ``status`` the one that tells how it is.
    :param notes: what is left to do by hand.
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


def systemd_user(program: list[str], environment: Mapping[str, str]) -> ServicePlan:
    """A service of the user's own systemd."""
    base = Path(environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or Path.home()) / ".config")
    control = ["systemctl", "--user"]
    return ServicePlan(
        manager="systemd (user)",
        file=base / "systemd" / "user" / "modelmux.service",
        content=_unit("user.service", program),
        start=[[*control, "daemon-reload"], [*control, "enable", "--now", "modelmux.service"]],
        stop=[[*control, "disable", "--now", "modelmux.service"]],
        forget=[[*control, "daemon-reload"]],
        status=[*control, "--no-pager", "status", "modelmux.service"],
        notes=["To keep it running while you are logged out: loginctl enable-linger"],
    )


def systemd_system(program: list[str]) -> ServicePlan:
    """A service of the machine, under a user of its own."""
    return ServicePlan(
        manager="systemd",
        file=Path("/etc/systemd/system/modelmux.service"),
        content=_unit("system.service", program),
        before=[
            (
                ["getent", "passwd", _SYSTEM_USER],
                ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
                 "--shell", "/usr/sbin/nologin", _SYSTEM_USER],
            )
        ],
        start=[["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", "modelmux.service"]],
        stop=[["systemctl", "disable", "--now", "modelmux.service"]],
        forget=[["systemctl", "daemon-reload"]],
        status=["systemctl", "--no-pager", "status", "modelmux.service"],
        notes=[_OWNED],
    )  # fmt: skip


def launchd(program: list[str], environment: Mapping[str, str], uid: int) -> ServicePlan:
    """An agent of the user's own launchd."""
    home = Path(environment.get("HOME") or Path.home())
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
    """A word of a command line in a unit file, where % and $ have meanings and spaces separate."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or " " in word else word
