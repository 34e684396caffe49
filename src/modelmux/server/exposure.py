"""Who can reach a gateway that asks for no key, and the admin API: nobody but this machine, unless the operator says
otherwise."""

from __future__ import annotations

from modelmux.config import Config, ConfigError
from modelmux.config.admin_check import admin_address, admin_tokens, check_admin
from modelmux.config.proxy_sign_in import check_peers_of_public_listener
from modelmux.server.auth import is_loopback


def is_exposed(config: Config, host: str) -> bool:
    """Whether strangers reach a gateway that listens on ``host``, and nothing in front of it authenticates them."""
    return not config.server.allow_unauthenticated and not is_loopback(host)


def check_exposure(config: Config) -> None:
    """Refuse to listen where strangers are without asking for a key.

    :raises ConfigError: with what to do.
    """
    server = config.server
    if config.accounts.enabled:  # which asks for one, see account_keys
        _check_keyless_paths(config)
    if config.accounts.enabled or admin_address(config) is not None:
        check_admin(config)
        _check_admin_listener(config)
    if config.accounts.enabled:
        return
    if not server.api_keys and is_exposed(config, server.host):
        raise ConfigError(
            [f"server.host = {server.host!r} can be reached from other machines, and server.api_keys is empty"],
            hint="Set server.api_keys or accounts.enabled = true, or listen on 127.0.0.1, or set "
            "server.allow_unauthenticated = true if something in front of the gateway authenticates.",
        )


def _check_admin_listener(config: Config) -> None:
    address = admin_address(config)
    if address is not None and not is_loopback(address[0]) and not admin_tokens(config.admin):
        raise ConfigError(
            [f"admin.listen = {config.admin.listen!r} can be reached from other machines, and admin.token is not set"],
            hint="Set admin.token (MODELMUX_ADMIN_TOKEN), or listen on 127.0.0.1:3001, or switch the admin API off "
            'with admin.listen = "off".',
        )
    if address is not None and not is_loopback(address[0]):
        check_peers_of_public_listener(config.admin)


def _check_keyless_paths(config: Config) -> None:
    server = config.server
    if not server.keyless_vertex_paths:
        return
    if config.accounts.require_key:
        raise ConfigError(
            ["server.keyless_vertex_paths serves requests without a key, and accounts.require_key forbids that"],
            hint="Remove one of the two. Clients in Vertex mode can send a key: see docs/clients/claude-code.md.",
        )
    if is_exposed(config, server.host):
        who = f"server.host = {server.host!r} can be reached from other machines"
        raise ConfigError(
            [f"{who}, and server.keyless_vertex_paths lets all of them use every model without a key"],
            hint="Remove server.keyless_vertex_paths, or listen on 127.0.0.1, or set server.allow_unauthenticated = "
            "true if something in front of the gateway authenticates.",
        )
