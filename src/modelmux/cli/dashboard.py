"""``modelmux dashboard``, and what makes sign-in links of the dashboard."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from modelmux.accounts.sign_ins import OWNER, Subject
from modelmux.cli.accounts.api.open_api import needs_this_machine
from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import exit_with_config_error, exit_with_error, print_lines, warn
from modelmux.cli.running_gateway import running_version
from modelmux.config import Config, ConfigError
from modelmux.config.admin_check import admin_address
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed

_EVERY_INTERFACE: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - compared
_OFF: Final = (
    'Set admin.listen = "127.0.0.1:3001" and restart the gateway: the dashboard shows what its processes know. With '
    "accounts.enabled = true it has keys, budgets and costs, too, and the gateway asks for a key."
)
_NO_LISTENER: Final = 'Set admin.listen = "127.0.0.1:3001" and restart the gateway.'
_REDIRECT: Final = '<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={link}">'

at_option = click.option(
    "--at",
    metavar="URL",
    help="Address of the dashboard, if it is not that of admin.listen: of a proxy in front of it.",
)


@click.command()
@config_options
@at_option
@click.option("--open", "opens", is_flag=True, help="Open the link in a browser.")
@needs_this_machine
def dashboard(config_path: Path | None, overrides: dict[str, Any], at: str | None, opens: bool) -> None:
    """Print a link that signs you in to the dashboard as the owner: once, within ten minutes."""
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)
    link = new_link(loaded.config, OWNER, at)
    print_link(link)
    if opens and not _open(link, loaded.config):
        warn(["no browser could be opened; open the link yourself"])


def new_link(config: Config, subject: Subject, at: str | None) -> str:
    """A sign-in link; exits if there is no dashboard.

    :param at: where it is, if not where the configuration says.
    """
    from modelmux.admin.sessions import Sessions  # not needed to print help
    from modelmux.store.ledger.open_ledger import ledger_path
    from modelmux.store.sign_in_file import SignInFile, sign_in_path

    base = _checked(at) if at is not None else _address(config)
    runtime = Runtime()
    try:
        file = SignInFile(sign_in_path(ledger_path(config, os.environ)))
        token = Sessions(file, None, lambda: int(runtime.now() * 1_000_000)).new_link(subject)
    except ConfigError as error:
        exit_with_config_error(error)
    except StoreFailed as error:
        exit_with_error([f"the link cannot be kept: {error}"])
    return f"{base}/dashboard/sign-in?token={token}"


def print_link(link: str) -> None:
    """The link alone on stdout, and what it is on stderr."""
    click.echo(link)
    print_lines("note", ["it is good for one sign-in within ten minutes; who has it can use it"], "cyan")


def _open(link: str, config: Config) -> bool:
    """In a browser, by a file that only this user can read: other users see the arguments of its program."""
    from modelmux.store.files import replace_private
    from modelmux.store.ledger.open_ledger import ledger_path

    path = ledger_path(config, os.environ).with_name("sign-in.html").absolute()
    try:
        replace_private(path, _REDIRECT.format(link=link).encode())
        return webbrowser.open(path.as_uri())
    except OSError:
        return False


def _address(config: Config) -> str:
    try:
        address = admin_address(config)
    except ConfigError as error:
        exit_with_config_error(error)
    if address is None:
        if not config.accounts.enabled and config.admin.listen is None:
            exit_with_error(["admin.listen is not set and accounts are off, so there is no dashboard"], _OFF)
        exit_with_error(['admin.listen is "off", and with it the dashboard'], _NO_LISTENER)
    host, port = address
    host = _EVERY_INTERFACE.get(host, host)
    if running_version(host.strip("[]"), port) is None:
        warn([f"no gateway serves the dashboard at {host}:{port} now; `modelmux serve` starts one"])
    return f"http://{host}:{port}"


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise click.BadParameter(f"{url!r} is not such as https://admin.example.com", param_hint="--at")
    return f"{parts.scheme}://{parts.netloc}"
