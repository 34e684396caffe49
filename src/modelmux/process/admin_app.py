"""What the listener of the admin API serves by a configuration: the API and the dashboard, over the same operations."""

from __future__ import annotations

import os
from collections.abc import Callable

from modelmux.accounts.directory import Directory
from modelmux.admin.app import AdminApp
from modelmux.admin.backend import Backend
from modelmux.admin.listener import AdminListener
from modelmux.admin.sessions import Sessions
from modelmux.admin.tokens import authenticator
from modelmux.config import Config, build_routes
from modelmux.config.admin_check import admin_tokens, gateway_url
from modelmux.runtime import Runtime
from modelmux.server.refused import RefusedRequests
from modelmux.store.ledger.open_ledger import ledger_path
from modelmux.store.sign_in_file import SignInFile, sign_in_path
from modelmux.telemetry.log import Log
from modelmux.wire.redaction import redaction_of


def serve_admin(
    listener: AdminListener,
    config: Config,
    backend: Backend,
    directory: Callable[[], Directory],
    log: Log,
    refused: RefusedRequests,
    runtime: Runtime,
) -> Sessions:
    """Serve by a configuration from the next request on. :raises ConfigError: a name that is not a host.

    :param directory: that of now, for the teams of tokens.
    :returns: the sessions of the dashboard.
    """
    from modelmux.dashboard.app import Dashboard  # not needed by other processes, and with it the templates
    from modelmux.dashboard.page import Site

    owner_token = None if config.admin.token is None else config.admin.token.reveal()
    sessions = Sessions(SignInFile(sign_in_path(ledger_path(config, os.environ))), owner_token, backend.now)
    secrets = [*(key.reveal() for key in config.server.api_keys), *admin_tokens(config.admin)]
    refused.redact = redaction_of(secrets)
    api = AdminApp(backend, authenticator(config.admin, directory), sessions=sessions, log=log, refused=refused)
    names = build_routes(config, config.build_catalog(), runtime.today()).visible_names
    site = Site(gateway_url=gateway_url(config), model=next(iter(names), "MODEL"))
    listener.serve(config, api, Dashboard(api, sessions, site))
    return sessions
