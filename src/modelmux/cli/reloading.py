"""What a running gateway does when it is told to read its configuration again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from modelmux.app import Gateway, check_exposure
from modelmux.cli.runtime import StatusFile
from modelmux.config import Config, ConfigError, Loaded
from modelmux.telemetry import names
from modelmux.telemetry.logs import Log, where


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
        problems: list[str] = []
        notes: list[str] = []
        try:
            loaded = await asyncio.to_thread(self._read)
            check_exposure(_listening_at(self._host, loaded.config))
            changed = await self._gateway.reload(loaded.config)
            notes = [*loaded.warnings, *(f"{name} changed: restart the gateway for that" for name in changed)]
        except ConfigError as error:
            problems = error.problems
        except Exception as error:  # noqa: BLE001 - a reload must not take the server down
            problems = [f"the gateway failed to read its configuration: {where(error)}"]
        for problem in problems:
            self._log.error(names.EVENT_CONFIG, message=problem)
        for note in notes:
            self._log.warning(names.EVENT_CONFIG, message=note)
        self._log.info(names.EVENT_CONFIG, what="refused; the old one stays" if problems else "reloaded")
        if self._status is not None:
            status = self._status.status
            status.problems, status.notes, status.generation = problems, notes, status.generation + 1
            self._status.write()


def _listening_at(host: str, config: Config) -> Config:
    return msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, host=host))
