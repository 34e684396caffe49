"""A new configuration for all workers: read and checked once by the supervisor, then sent to each.

The supervisor keeps the last valid one: a worker that is started later begins with it, whatever the file says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from modelmux.app import create_app
from modelmux.config import Config, Loaded
from modelmux.config.admin_check import admin_address
from modelmux.config.effective_config import NO_SETTINGS, Settings, settings_of
from modelmux.config.restart import restart_needed
from modelmux.process.reload import ReloadResult, advisories, failure_reasons, with_admin_listener, with_host
from modelmux.process.workers.protocol import ApplyConfig, Shutdown
from modelmux.process.workers.worker_slot import ADMIN, State, WorkerSlot
from modelmux.server.exposure import check_exposure
from modelmux.store.directory.same_accounts import check_same_accounts
from modelmux.store.local_state import LocalState
from modelmux.telemetry import names
from modelmux.telemetry.log import Log

#: Seconds the workers get to apply a configuration; `modelmux reload` waits longer.
APPLY_TIMEOUT: Final = 5.0


class ConfigRollout:
    """One rollout at a time; a request during one starts another after it.

    :param read: reads the configuration.
    :param host: where the gateway listens, whatever a new configuration says.
    :param on_done: called with the result of each rollout.
    :param state: what the workers keep on this machine.
    :param settings: those of the configuration, to show.
    """

    def __init__(
        self,
        config: Config,
        slots: Sequence[WorkerSlot],
        read: Callable[[], Loaded],
        host: str,
        log: Log,
        on_done: Callable[[ReloadResult], None],
        state: LocalState | None = None,
        settings: Settings = NO_SETTINGS,
    ) -> None:
        self.config = config
        self.settings = settings
        self.generation = 1
        self.deadline: float | None = None
        self._slots = slots
        self._read = read
        self._host = host
        self._log = log
        self._on_done = on_done
        self._state = state
        self._waiting: set[WorkerSlot] = set()
        self._result = ReloadResult()
        self._repeat = False

    @property
    def in_progress(self) -> bool:
        return self.deadline is not None

    def start(self, now: float) -> None:
        """Read, check, send. After a failure, which ``on_done`` gets, all workers keep the configuration they have."""
        if self.in_progress:
            self._repeat = True
            return
        try:
            loaded = self._read()
            listening = with_admin_listener(with_host(loaded.config, self._host), self.config)
            admin_address(loaded.config)  # after a restart it counts
            check_exposure(listening)
            check_same_accounts(self.config, loaded.config)
            # What would fail in a worker fails here, and is logged once.
            app = create_app(loaded.config, log=self._log, state=self._state)
            settings = settings_of(loaded)
            app.apply_accounts()  # the last step that may fail; workers read what it wrote
        except Exception as error:  # noqa: BLE001 - a reload must not take the gateway down
            self._on_done(ReloadResult(failure_reasons(error)))
            return
        self._result = ReloadResult(advisories=advisories(loaded, restart_needed(self.config, loaded.config)))
        self.config, self.settings = listening, settings  # also for workers that are started later
        self.generation, self.deadline = self.generation + 1, now + APPLY_TIMEOUT
        message = ApplyConfig(self.generation, msgspec.msgpack.encode(loaded.tree))
        self._waiting = {slot for slot in self._slots if slot.state in (State.STARTING, State.READY)}
        shown = replace(message, settings=msgspec.msgpack.encode(self.settings))
        for slot in self._waiting:
            slot.send(shown if slot.number == ADMIN else message)
        self._finish_if_complete(now)

    def on_applied(self, slot: WorkerSlot, generation: int, problem: str | None, now: float) -> None:
        """A worker answered. One that cannot apply the configuration is replaced by one that starts with it."""
        if problem is not None:
            self._log.error(names.EVENT_WORKER, worker=slot.name, message=f"could not reload: {problem}")
            slot.send(Shutdown(at_once=False))
        if generation == self.generation:
            self.on_exit(slot, now)

    def on_exit(self, slot: WorkerSlot, now: float) -> None:
        """The worker is done, or has exited: its successor starts with the new configuration."""
        self._waiting.discard(slot)
        self._finish_if_complete(now)

    def on_tick(self, now: float) -> None:
        """Stop waiting at the deadline."""
        if self.deadline is not None and self.deadline <= now:
            self._result.advisories += [f"{slot.title} has not confirmed it yet" for slot in self._waiting]
            self._waiting.clear()
            self._finish_if_complete(now)

    def _finish_if_complete(self, now: float) -> None:
        if self.deadline is None or self._waiting:
            return
        self.deadline = None
        self._on_done(self._result)
        if self._repeat:
            self._repeat = False
            self.start(now)
