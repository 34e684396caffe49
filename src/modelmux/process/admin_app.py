"""What the listener of the admin API serves by a configuration: the API and the dashboard, over the same operations."""

from __future__ import annotations

import os
from collections.abc import Callable

from modelmux.accounts.directory import Directory
from modelmux.admin.app import AdminApp
from modelmux.admin.backend import Backend
from modelmux.admin.listener import AdminListener
from modelmux.admin.metrics_page import MetricsPage, ReadMetrics
from modelmux.admin.open_proxy_sign_in import proxy_sign_in
from modelmux.admin.sessions import Sessions
from modelmux.admin.tokens import authenticator
from modelmux.config import Config, build_routes
from modelmux.config.admin_check import admin_tokens, gateway_url, roles_of
from modelmux.gateway.explained.translated import dialect_options
from modelmux.runtime import Runtime
from modelmux.server.refused import RefusedRequests
from modelmux.store.ledger.open_ledger import ledger_path
from modelmux.store.sign_in_file import SignInFile, sign_in_path
from modelmux.telemetry.log import Log
from modelmux.wire.http import Origin
from modelmux.wire.redaction import redaction_of


def serve_admin(
    listener: AdminListener,
    config: Config,
    backend: Backend,
    directory: Callable[[], Directory],
    log: Log,
    refused: RefusedRequests,
    runtime: Runtime,
    models_at: Origin,
    read_metrics: ReadMetrics | None = None,
) -> Sessions:
    """Serve by a configuration from the next request on. :raises ConfigError: a name that is not a host.

    :param directory: that of now, for the teams of tokens. :param read_metrics: the sums over all workers; None: no
        ``/metrics``.
    :param models_at: where this process reaches the listener of models.
    :returns: the sessions of the dashboard.
    """
    from modelmux.dashboard.app import Dashboard  # not needed by other processes, and with it the templates
    from modelmux.dashboard.page import Site
    from modelmux.dashboard.playground.gateway import PlaygroundGateway

    owner_token = None if config.admin.token is None else config.admin.token.reveal()
    file = SignInFile(sign_in_path(ledger_path(config, os.environ)))
    sessions = Sessions(file, owner_token, backend.now, roles=roles_of(config.admin))
    secrets = [*(key.reveal() for key in config.server.api_keys), *admin_tokens(config.admin)]
    refused.redact = redaction_of(secrets)
    proxy = proxy_sign_in(config, backend, log, listener.proxy)
    api = AdminApp(
        backend, authenticator(config.admin, directory), sessions=sessions, proxy=proxy, log=log, refused=refused
    )
    routes, url = build_routes(config, config.build_catalog(), runtime.today()), gateway_url(config)
    playground = PlaygroundGateway(
        origin=models_at, url=url, routes=routes, options=dialect_options(config), strict=config.server.strict
    )
    model, trace_url = next(iter(routes.visible_names), "MODEL"), config.telemetry.trace_url
    site = Site(gateway_url=url, model=model, playground=playground, trace_url=trace_url)
    metrics = None if read_metrics is None else MetricsPage(api.callers, read_metrics)
    listener.serve(config, api, Dashboard(api, sessions, site), metrics)
    listener.proxy = proxy
    return sessions
