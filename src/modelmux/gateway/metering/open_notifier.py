"""What tells of events by a configuration, with all that it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from modelmux.accounts.directory import Directory
from modelmux.config.schema import Config
from modelmux.gateway.metering.alert_sources import ExpiringKeys, LedgerLag
from modelmux.gateway.metering.endpoints import Endpoints
from modelmux.gateway.metering.notifier import Notifier
from modelmux.gateway.metering.unsaved_alerts import UnsavedAlerts
from modelmux.gateway.metering.webhook_guard import guard
from modelmux.runtime import Runtime
from modelmux.store.directory.open_directory import known_peppers
from modelmux.store.ledger.alerts import AlertStore
from modelmux.telemetry.log import Log
from modelmux.upstream.base import Upstream
from modelmux.upstream.pool import HttpPool


def open_notifier(
    config: Config,
    environment: Mapping[str, str],
    alerts: AlertStore,
    directory: Callable[[], Directory],
    lag: LedgerLag,
    runtime: Runtime,
    log: Log,
) -> Notifier:
    """:param directory: returns that of now. :param lag: of this process."""

    def open_guarded() -> Upstream:
        """Connects directly, whatever proxy the environment names: that would resolve names again."""
        return HttpPool(max_idle=0, resolver=guard(config.accounts.webhook_networks).resolve)

    return Notifier(
        alerts,
        Endpoints(config.accounts, directory, lambda: known_peppers(config, environment)),
        runtime,
        log,
        open_guarded=open_guarded,
        sources=(ExpiringKeys(alerts, directory, runtime),),
        unsaved=UnsavedAlerts(lambda: lag.unsaved, runtime, log),
    )
