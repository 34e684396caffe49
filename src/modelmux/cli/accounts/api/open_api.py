"""The option ``--url``, and the admin API that it names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click
import msgspec

from modelmux.cli.accounts.api.access import ApiAccess
from modelmux.cli.accounts.api.client import TOKEN_VARIABLE, AdminClient, ApiError, admin_url
from modelmux.cli.options import config_options, load_dotenv_into_environment
from modelmux.cli.outgoing import ca_file_if_any, open_pool
from modelmux.cli.output import exit_with_error, warn
from modelmux.cli.sanitize import one_line
from modelmux.runtime import Runtime
from modelmux.store.directory.issuer import NewIds

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
URL_VARIABLE: Final = "MODELMUX_ADMIN_URL"
_KEY: Final = "modelmux.admin_url"
_HELP: Final = (
    f"Admin API of a gateway, instead of the files of this machine; with its token in ${TOKEN_VARIABLE}. "
    f"${URL_VARIABLE} by default."
)
#: Command -> the list of the API without which it is nothing.
_LISTS: Final = {"keys": "/keys", "teams": "/teams", "people": "/people", "budget": "/budgets", "limits": "/limits"}


def accounts_options(command: F) -> F:
    """``config_options``, and ``--url``."""
    return config_options(url_option(command))


def url_option(command: F) -> F:
    """Add ``--url``, for ``chosen_url``."""
    option = click.option("--url", metavar="URL", envvar=URL_VARIABLE, expose_value=False, callback=_note, help=_HELP)
    return option(command)


def needs_this_machine(command: F) -> F:
    """Let a command say that it works on files of the gateway, whatever ``--url`` or its variable names."""
    option = click.option(
        "--url", envvar=URL_VARIABLE, expose_value=False, hidden=True, callback=_refuse, is_eager=True
    )  # fmt: skip
    return option(command)


def chosen_url() -> str | None:
    """That of ``--url`` or its variable, for the command that runs."""
    url: str | None = click.get_current_context().meta.get(_KEY)
    return url


def open_api(url: str, config_path: Path | None, overrides: dict[str, Any]) -> ApiAccess:
    """No configuration is needed; ``tls.ca_file`` is used if there is one. :raises ApiError:"""
    runtime = Runtime()
    ids = NewIds(runtime.now)
    return ApiAccess(open_client(url, config_path, overrides, ids), ids, _LISTS.get(_group(), ""))


def open_client(url: str, config_path: Path | None, overrides: dict[str, Any], ids: NewIds) -> AdminClient:
    """:raises ApiError:"""
    address = admin_url(url)
    load_dotenv_into_environment()
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise ApiError(f"{TOKEN_VARIABLE} is not set", "Set it to a token of the admin API of that gateway.")
    if not token.isascii() or not token.isprintable():
        raise ApiError(f"{TOKEN_VARIABLE} is not a token", "It has to be printable ASCII characters.")
    if not address.is_encrypted and not address.is_loopback:
        warn([f"the token and secrets of keys go to {address.host} without encryption; use https://"])
    return AdminClient(open_pool(ca_file_if_any(config_path, overrides)), address, token, lambda: ids.id("cli_"))


def with_api(
    url: str, config_path: Path | None, overrides: dict[str, Any], action: Callable[[AdminClient], Awaitable[T]]
) -> T:
    """Do something with an admin API alone; exits with what went wrong."""

    async def run() -> T:
        client = open_client(url, config_path, overrides, NewIds(Runtime().now))
        try:
            return await action(client)
        finally:
            await client.aclose()

    try:
        return asyncio.run(run())
    except (ApiError, msgspec.ValidationError) as error:
        exit_with_api_error(error)


def exit_with_api_error(error: ApiError | msgspec.ValidationError) -> NoReturn:
    """Print what went wrong with an admin API, and exit."""
    if isinstance(error, ApiError):
        exit_with_error([one_line(error.message)], error.hint)
    hint = "Use the version of the gateway, which `modelmux doctor` on its machine shows."
    exit_with_error([one_line(f"the admin API replies what this version does not know: {error}")], hint)


def _group() -> str:
    """``keys`` of ``modelmux keys list``."""
    parent = click.get_current_context().parent
    return "" if parent is None else parent.info_name or ""


def _note(context: click.Context, _param: click.Parameter, url: str | None) -> None:
    if url is not None:
        context.meta[_KEY] = url


def _refuse(context: click.Context, _param: click.Parameter, url: str | None) -> None:
    if url is None and _KEY not in context.meta:
        return
    hint = f"Run it on the machine of the gateway, without --url and with {URL_VARIABLE} unset."
    exit_with_error([f"`{context.command_path}` works on the files of the gateway"], hint)
