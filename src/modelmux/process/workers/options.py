"""What a supervisor is started with."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from modelmux.config import Config, Loaded
from modelmux.config.effective_config import NO_SETTINGS, Settings
from modelmux.process.sd_notify import ServiceManager
from modelmux.process.server import DrainSettings
from modelmux.process.status_file import StatusFile
from modelmux.store.local_state import LocalState
from modelmux.telemetry.log import Logger


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorOptions:
    """What the supervisor needs.

    :param sockets: one for each worker; the same one each time where the platform cannot spread connections.
    :param host: where the sockets listen.
    :param jitter: a random number from 0 to 1.
    :param reported_credentials: why there are no credentials, if the log has that already.
    :param settings: those of ``config``, with their origins.
    :param admin: the listening socket of the admin API, which a process of its own serves; None without one.
    """

    config: Config
    sockets: list[socket.socket]
    read: Callable[[], Loaded]
    host: str
    url: str
    log: Logger
    manager: ServiceManager
    status: StatusFile | None
    state: LocalState
    drain: DrainSettings
    jitter: Callable[[], float]
    reported_credentials: str | None = None
    admin: socket.socket | None = None
    admin_url: str = ""
    settings: Settings = NO_SETTINGS
