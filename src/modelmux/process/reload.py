"""Reloading the configuration of a running gateway: read, check, apply, report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from modelmux.app import Gateway
from modelmux.config import Config, ConfigError, Loaded
from modelmux.process.status_file import StatusFile
from modelmux.server.exposure import check_exposure
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, error_location


@dataclass(slots=True)
class ReloadResult:
    """The outcome of a reload.

    :param problems: why the configuration was rejected; empty if it is in force.
    :param advisories: what else it needs.
    """

    problems: list[str] = field(default_factory=list)
    advisories: list[str] = field(default_factory=list)

    def report(self, log: Log, file: StatusFile | None) -> None:
        """Log it, and write it to the status file."""
        for problem in self.problems:
            log.error(names.EVENT_CONFIG, message=problem)
        for advisory in self.advisories:
            log.warning(names.EVENT_CONFIG, message=advisory)
        log.info(
            names.EVENT_CONFIG, action="rejected; the previous one stays in force" if self.problems else "reloaded"
        )
        if file is not None:
            status = file.status
            status.problems, status.advisories = self.problems, self.advisories
            status.generation += 1
            try:
                file.write()
            except OSError as error:  # no space left: serving goes on, only `modelmux reload` cannot see the result
                log.error(names.EVENT_CONFIG, message=f"{file.path}: cannot be written: {error.strerror}")


class Reloader:
    """Reads, checks and applies a configuration. Failures are logged and written to the status file; nothing is raised,
    and the gateway keeps the configuration it has.

    :param host: where the process listens, whatever the new configuration says.
    """

    def __init__(
        self, gateway: Gateway, read: Callable[[], Loaded], host: str, log: Log, status_file: StatusFile | None
    ) -> None:
        self._gateway = gateway
        self._read = read
        self._host = host
        self._log = log
        self._status_file = status_file

    async def __call__(self) -> None:
        try:
            loaded = await asyncio.to_thread(self._read)
            check_exposure(with_host(loaded.config, self._host))
            result = ReloadResult(advisories=advisories(loaded, await self._gateway.reload(loaded.config)))
        except Exception as error:  # noqa: BLE001 - a reload must not take the server down
            result = ReloadResult(failure_reasons(error))
        result.report(self._log, self._status_file)


def failure_reasons(error: Exception) -> list[str]:
    """Why a configuration was rejected, in sentences, with the remedy."""
    if isinstance(error, ConfigError):
        return error.sentences
    return [f"the gateway failed to read its configuration: {error_location(error)}"]


def advisories(loaded: Loaded, need_restart: list[str]) -> list[str]:
    """What else a configuration needs, in sentences.

    :param need_restart: the changed settings that a running process cannot apply.
    """
    return [*loaded.warnings, *(f"{name} changed: restart the gateway to apply it" for name in need_restart)]


def with_host(config: Config, host: str) -> Config:
    """A configuration for a process that already listens on ``host``."""
    return msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, host=host))


def with_admin_listener(config: Config, before: Config) -> Config:
    """A configuration for a gateway whose admin API already listens where ``before`` says."""
    return msgspec.structs.replace(config, admin=msgspec.structs.replace(config.admin, listen=before.admin.listen))
