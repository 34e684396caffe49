"""What a running gateway does when it is told to read its configuration again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from modelmux.app import Gateway, check_exposure
from modelmux.config import Config, ConfigError, Loaded
from modelmux.process.status_file import StatusFile
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, error_location


@dataclass(slots=True)
class Outcome:
    """What came of reading the configuration again.

    :param problems: why it was refused; empty if it is served.
    :param notes: what it needs beside.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def tell(self, log: Log, file: StatusFile | None) -> None:
        """Log it, and show it in the status file."""
        for problem in self.problems:
            log.error(names.EVENT_CONFIG, message=problem)
        for note in self.notes:
            log.warning(names.EVENT_CONFIG, message=note)
        log.info(
            names.EVENT_CONFIG,
            action="rejected" if self.problems else "reloaded",
        )
        if file is not None:
            status = file.status
            status.problems, status.notes, status.generation = self.problems, self.notes, status.generation + 1
            file.write()


class Reloader:
    """Reads, checks and puts in place. Whatever goes wrong is logged and shown in the status file; nothing is raised,
    and the gateway goes on with what it had.

    :param host: where the process listens, whatever the new configuration says.
    """

    def __init__(self, gateway: Gateway, read: Callable[[], Loaded], host: str, log: Log, status: StatusFile | None):
        self._gateway = gateway
        self._read = read
        self._host = host
        self._log = log
        self._status = status

    async def __call__(self) -> None:
        try:
            loaded = await asyncio.to_thread(self._read)
            check_exposure(listening_at(self._host, loaded.config))
            outcome = Outcome(notes=notes(loaded, await self._gateway.reload(loaded.config)))
        except Exception as error:  # noqa: BLE001 - a reload must not take the server down
            outcome = Outcome(problems(error))
        outcome.tell(self._log, self._status)


def problems(error: Exception) -> list[str]:
    """Why a configuration was refused, in sentences."""
    if isinstance(error, ConfigError):
        return error.problems
    return [f"the gateway failed to read its configuration: {error_location(error)}"]


def notes(loaded: Loaded, fixed: list[str]) -> list[str]:
    """What a configuration needs beside, in sentences.

    :param fixed: the changed settings that a running process cannot take over.
    """
    return [*loaded.warnings, *(f"{name} changed: restart the gateway for that" for name in fixed)]


def listening_at(host: str, config: Config) -> Config:
    """A configuration as it is for a process that listens at ``host`` already."""
    return msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, host=host))
