"""``modelmux connect``: prints what to set in a client, writes it, and checks it."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import click
import msgspec
from click.shell_completion import CompletionItem
from msgspec import Struct

from modelmux.catalog import ModelCard
from modelmux.cli.connect.check import Checker
from modelmux.cli.connect.client_key import STALE, ClientKey, KeyAccess, choose_key, key_access
from modelmux.cli.connect.gateway_url import BadUrl, GatewayUrl, configured_url, listens_everywhere, parse_url
from modelmux.cli.connect.names import LONG_CONTEXT, ModelNames, choose_names
from modelmux.cli.connect.render import KEY_PLACEHOLDER, KEY_VARIABLE, NO_KEY, Setup, filled_notes, lines, render
from modelmux.cli.connect.served import served_names
from modelmux.cli.connect.table import API_TITLES, Client, clients
from modelmux.cli.connect.write import location, shell_path, shown_location, writable_file, write_settings
from modelmux.cli.doctor.report import result_line
from modelmux.cli.doctor.result import Result
from modelmux.cli.exit import USAGE
from modelmux.cli.options import config_options, load_dotenv_into_environment, read_config
from modelmux.cli.output import exit_with_config_error, exit_with_error, print_json, print_lines, warn
from modelmux.config import ConfigError
from modelmux.errors import ModelNotFound
from modelmux.routing.routes import Routes
from modelmux.upstream.pool import HttpPool
from modelmux.upstream.proxy import Proxies
from modelmux.upstream.trust import Trust, configured_trust

_HEAD: Final = ("CLIENT", "MODES", "NAME")


class _Gateway(Struct, frozen=True):
    """What is known about the gateway.

    :param served: names -> model.
    :param configured: whether the operator listed these names; if not, they are the catalog's.
    :param routes: None if no configuration of this machine says what is served.
    :param access: whether it needs a key, and what kind.
    :param ca_file: ``tls.ca_file``.
    """

    url: GatewayUrl
    served: dict[str, ModelCard]
    configured: bool
    routes: Routes | None
    key: ClientKey
    access: KeyAccess
    ca_file: str | None


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    table = clients()
    return [
        CompletionItem(name, help=table.modes(name)[0].title) for name in table.names if name.startswith(incomplete)
    ]


@click.command()
@click.argument("client", required=False, shell_complete=_complete)
@click.option("--mode", type=click.Choice(list(API_TITLES)), help="API to use, for clients that speak several.")
@click.option("-m", "--model", help="Model that the client is to use; by default one that the gateway serves.")
@click.option("--url", help="URL of the gateway as the client sees it, instead of the configured host and port.")
@click.option(
    "--api-key", metavar="KEY", help=f"Key for the gateway; by default ${KEY_VARIABLE}, then the configured one."
)
@click.option("--show-key", is_flag=True, help="Print the key itself instead of a reference to it.")
@click.option("--write", is_flag=True, help="Write the client's own settings file, after showing what changes.")
@click.option("--yes", is_flag=True, help="With --write: do not ask.")
@click.option("--check", is_flag=True, help="Call the gateway as the client would (two answers of a few tokens).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@config_options
def connect(
    client: str | None, mode: str | None, model: str | None, url: str | None, api_key: str | None, show_key: bool,
    write: bool, yes: bool, check: bool, as_json: bool, config_path: Path | None, overrides: dict[str, Any],
) -> None:  # fmt: skip
    """Print what to set in CLIENT so that it uses this gateway; without CLIENT, list the clients."""
    if client is None:
        _list(as_json=as_json)
        return
    if write and as_json:
        exit_with_error(["--write and --json exclude each other"], "--json prints the settings.", code=USAGE)
    entry = _entry(client, mode)
    gateway = _gateway(config_path, overrides, url, api_key)
    names = _names(entry, gateway, model)
    warn([*names.warnings, *_url_warnings(entry, gateway.url)])
    if write:
        _write(entry, gateway, names, yes=yes)
    if check:
        _check(entry, gateway, names, as_json=as_json)
    elif not write:
        _print(entry, gateway, names, show_key=show_key, as_json=as_json)


def _list(*, as_json: bool) -> None:
    table = clients()
    rows = [
        (name, ",".join(each.api for each in table.modes(name)), table.modes(name)[0].title) for name in table.names
    ]
    if as_json:
        print_json([{"client": name, "modes": modes.split(","), "title": title} for name, modes, title in rows])
        return
    widths = [max(len(row[column]) for row in (_HEAD, *rows)) for column in range(2)]
    for name, modes, title in (_HEAD, *rows):
        click.echo(f"{name:<{widths[0]}}  {modes:<{widths[1]}}  {title}")
    print_lines("hint", ["`modelmux connect CLIENT` prints what to set; --write writes it, --check tries it"], "cyan")


def _entry(name: str, mode: str | None) -> Client:
    table = clients()
    entries = table.modes(name)
    if not entries:
        _exit_unknown(name)
    if mode is None:
        return entries[0]
    entry = next((entry for entry in entries if entry.api == mode), None)
    if entry is None:
        modes = ", ".join(entry.api for entry in entries)
        exit_with_error([f"{entries[0].title} has no mode {mode}"], f"Its modes: {modes}.", code=USAGE)
    return entry


def _exit_unknown(name: str) -> NoReturn:
    import difflib

    matches = difflib.get_close_matches(name, clients().names, n=1)
    exit_with_error(
        [f"unknown client {name!r}" + (f": did you mean {matches[0]}?" if matches else "")],
        "`modelmux connect` lists the clients; others work with the settings of openai-python or anthropic-python.",
        code=USAGE,
    )


def _gateway(config_path: Path | None, overrides: Mapping[str, Any], url: str | None, api_key: str | None) -> _Gateway:
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)
    exported = bool(os.environ.get(KEY_VARIABLE))
    load_dotenv_into_environment()
    config = loaded.config
    key = choose_key(api_key, os.environ.get(KEY_VARIABLE), config, is_here=url is None, exported=exported)
    try:
        address = parse_url(url) if url is not None else configured_url(config.server)
    except BadUrl as error:
        exit_with_error([error.problem], error.hint)
    if url is None and listens_everywhere(config.server):
        print_lines("note", ["other machines reach the gateway under the name of this one: pass it with --url"], "cyan")
    served, routes = served_names(config, is_here=url is None, elsewhere="pass its URL with --url")
    configured = routes is not None and bool(routes.configured)
    access = key_access(config) if url is None else KeyAccess(None)
    return _Gateway(address, served, configured, routes, key, access, config.tls.ca_file)


def _names(entry: Client, gateway: _Gateway, model: str | None) -> ModelNames:
    served = gateway.served
    if model is not None and gateway.routes is not None:
        name = model.removesuffix(LONG_CONTEXT)
        try:
            served = {**served, name: gateway.routes.find(name).card}
        except ModelNotFound as error:
            warn([f"{error.message.removesuffix('.')}: the gateway rejects requests for it ({error.hint})"])
    return choose_names(entry, served, model, configured=gateway.configured)


def _url_warnings(entry: Client, url: GatewayUrl) -> list[str]:
    if entry.public and (url.is_loopback or not url.is_encrypted):
        return [f"{entry.title} cannot reach {url.root}: pass a public https URL with --url"]
    if not url.is_encrypted and not url.is_loopback:
        return [f"the key and all requests go to {url.host} unencrypted; use https on networks that others can read"]
    return []


def _print(entry: Client, gateway: _Gateway, names: ModelNames, *, show_key: bool, as_json: bool) -> None:
    usable = gateway.key.accepted if gateway.key.is_stale else gateway.key.key
    key = usable.reveal() if usable is not None and show_key else None
    if show_key and usable is None and gateway.access.needs_key is not False:
        warn(["the key is not known here: pass it with --api-key"])
    if key is None and usable is None and gateway.access.needs_key is False:
        key = NO_KEY
    path = shown_location(entry.file, os.environ) if entry.file is not None else ""
    setup = render(entry, gateway.url, names, key, path)
    if gateway.key.is_stale:
        warn([_stale("the first of them is printed instead" if key else "unset it, or set it to one of them")])
    printed = setup  # of variables, the file is not printed as well
    if entry.file is not None and entry.file.environment_key and not as_json:
        printed = msgspec.structs.replace(setup, content="")
    notes = [*_key_notes(gateway, printed, key), *_client_notes(entry, path), *_file_notes(entry)]
    if as_json:
        print_json({
            "client": entry.name, "mode": entry.api, "title": entry.title, "url": gateway.url.root,
            "model": names.model, **{k: v for k, v in msgspec.to_builtins(setup).items() if v}, "notes": notes,
        })  # fmt: skip
        return
    for line in lines(entry, setup, gateway.url):
        click.echo(line)
    print_lines("note", notes, "cyan")


def _stale(remedy: str) -> str:
    return f"{STALE}, so the gateway refuses it: {remedy}"


def _key_notes(gateway: _Gateway, setup: Setup, key: str | None = None) -> list[str]:
    """What to do about the key where the settings only refer to it.

    :param key: to show in a note if the settings cannot contain it.
    """
    variable, placeholder = setup.mentions(KEY_VARIABLE), setup.mentions(KEY_PLACEHOLDER)
    if not placeholder and (not variable or gateway.key.reference_works):
        return []
    if gateway.access.needs_key is False and gateway.key.key is None:
        return [f"this gateway needs no key, but clients insist on one: export {KEY_VARIABLE}={NO_KEY}"]
    if key is not None:
        return [f"the settings refer to a variable: export {KEY_VARIABLE}={shlex.quote(key)}"]
    action = f"set {KEY_VARIABLE} to it" if variable else f"write it in place of {KEY_PLACEHOLDER}"
    shown = "; --show-key prints it" if gateway.access.is_static else ""
    return [f"the key is {gateway.access.kind}: {action}{shown}"]


def _client_notes(entry: Client, path: str) -> list[str]:
    shown = shell_path(str(Path(path).parent))
    here = location(entry.file, os.environ).parent if entry.file is not None else None
    files = {name for name in entry.notes_if_absent if here is not None and (here / name).exists()}
    return filled_notes(entry, shown, {name for name, value in os.environ.items() if value}, files)


def _file_notes(entry: Client) -> list[str]:
    if entry.file is None or entry.file.write:
        return []
    return [
        f"`modelmux connect {entry.name} --mode {entry.api} --write` adds this to {location(entry.file, os.environ)}"
    ]


def _write(entry: Client, gateway: _Gateway, names: ModelNames, *, yes: bool) -> None:
    chosen = gateway.key
    if chosen.is_stale and entry.file is not None and not entry.file.secret:
        warn([_stale("set it to one of them before you start the client")])
    file = writable_file(entry)
    if chosen.is_stale and file.secret:
        exit_with_error(
            [f"{STALE}; nothing was written"],
            f"`unset {KEY_VARIABLE}` writes the configured key; --api-key KEY writes another one.",
        )
    offered = chosen.key.reveal() if chosen.key is not None else None
    key = NO_KEY if offered is None and gateway.access.needs_key is False else offered
    if key is None and file.secret:
        exit_with_error(
            [f"{shown_location(file, os.environ)} has to hold the key, which is not known here"],
            f"Pass it with --api-key, or set {KEY_VARIABLE}.",
        )
    write_settings(entry, file, render(entry, gateway.url, names, key), offered, yes=yes)
    if not file.secret:
        print_lines("note", _key_notes(gateway, render(entry, gateway.url, names, None)), "cyan")


def _check(entry: Client, gateway: _Gateway, names: ModelNames, *, as_json: bool) -> None:
    """Prints the result of each step; exits with 1 if one failed."""
    try:
        proxies = Proxies.from_environment(os.environ)
        trust = configured_trust(gateway.ca_file, os.environ)
    except ConfigError as error:
        exit_with_config_error(error)
    except ValueError as error:
        exit_with_error([str(error)], "Use http://host:port, or unset the variable.")
    if gateway.key.is_stale:
        warn([_stale("unset it, or set it to one of them")])
    results = asyncio.run(_run(entry, gateway.url, names, gateway.key, proxies, trust, quiet=as_json))
    failed = any(result.status == "fail" for result in results)
    if as_json:
        print_json({"client": entry.name, "mode": entry.api, "url": gateway.url.root, "model": names.model,
                    "ok": not failed, "checks": msgspec.to_builtins(results)})  # fmt: skip
    else:
        click.echo(f"\n{entry.title} {'cannot' if failed else 'can'} use {gateway.url.root}.")
    if failed:
        sys.exit(1)


async def _run(
    entry: Client, url: GatewayUrl, names: ModelNames, key: ClientKey, proxies: Proxies, trust: Trust, *, quiet: bool
) -> list[Result]:
    pool = HttpPool(proxies=proxies, ssl_context=trust.context())
    results = []
    try:
        async for result in Checker(pool, entry, url, names.model.removesuffix(LONG_CONTEXT), key).results():
            results.append(result)
            if not quiet:
                click.echo(result_line(result))
    finally:
        await pool.aclose()
    return results
