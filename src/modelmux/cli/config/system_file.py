"""``modelmux config init --system``: the configuration of a system service, which only root and the service read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from modelmux.cli.output import exit_with_error
from modelmux.cli.service.access import find_group, hidden
from modelmux.config.load import SYSTEM_FILE


def check_system_options(path: Path | None) -> None:
    """Exit unless root asks for a file that no other option names."""
    if path is not None:
        raise click.UsageError("--system and --path exclude each other")
    if not sys.platform.startswith("linux"):
        exit_with_error(["there are system services on Linux only"], "Leave out --system, and install a user service.")
    if os.geteuid() != 0:
        exit_with_error(
            [f"only root can write {SYSTEM_FILE}"],
            "sudo modelmux config init --system, with the path of modelmux if sudo does not find it.",
        )


def check_system_credentials(credentials: str | None) -> None:
    """Exit if the service would not see the credential file."""
    if credentials is None:
        return
    path = Path(credentials).expanduser()
    problem = hidden(path)
    if problem is not None:
        copy = SYSTEM_FILE.with_name("key.json")
        exit_with_error([problem], f"install -D -m 600 {path} {copy}, then --credentials {copy}")


def share_with_service(path: Path) -> str:
    """Let the group of the service read the file, if there is one already; else ``service install`` does it.

    :returns: what to do next.
    """
    group = find_group()
    if group is not None:
        for each, mode in ((path.parent, 0o750), (path, 0o640)):
            os.chown(each, -1, group)
            each.chmod(mode)
    return "`modelmux service install --system` installs and starts the service"
