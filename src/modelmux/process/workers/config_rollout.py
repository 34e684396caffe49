"""A new configuration for all workers: read and checked once by the supervisor, then handed to each.

The supervisor keeps the one that was good last: a worker that is started later begins with it, whatever the file says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from modelmux.app import check_exposure, create_app, restart_needed
from modelmux.config import Config, Loaded
from modelmux.process.reload import Outcome, listening_at, notes, problems
from modelmux.process.workers.protocol import Adopt, Leave
from modelmux.process.workers.worker_slot import Member, State
from modelmux.telemetry import names
from modelmux.telemetry.log import Log

#: Seconds the workers get to take a configuration over; `modelmux reload` waits longer.
ADOPT_SECONDS: Final = 5.0


class Handover:
    """One reload at a time; being asked during one asks for another after it.

    :param read: reads the configuration anew.
    :param host: where the gateway listens, whatever a new configuration says.
    :param done: told what came of a reload.
    """

    def __init__(
        self,
        config: Config,
        crew: Sequence[Member],
        read: Callable[[], Loaded],
        host: str,
        log: Log,
        done: Callable[[Outcome], None],
    ) -> None:
        self.config = config
        self.generation = 1
        self.until: float | None = None
        self._crew = crew
        self._read = read
        self._host = host
        self._log = log
        self._done = done
        self._waiting: set[Member] = set()
        self._outcome = Outcome()
        self._again = False

    @property
    def running(self) -> bool:
        return self.until is not None

    def begin(self, now: float) -> None:
        """Read, check, hand over. What goes wrong is told to ``done``, and all stay with what they have."""
        if self.running:
            self._again = True
            return
        try:
            loaded = self._read()
            check_exposure(listening_at(self._host, loaded.config))
            create_app(loaded.config, log=self._log)  # what can go wrong in a worker goes wrong here, and is said once
        except Exception as error:  # noqa: BLE001 - a reload must not take the gateway down
            self._done(Outcome(problems(error)))
            return
        self._outcome = Outcome(notes=notes(loaded, restart_needed(self.config, loaded.config)))
        self.config, self.generation, self.until = loaded.config, self.generation + 1, now + ADOPT_SECONDS
        message = Adopt(self.generation, msgspec.msgpack.encode(loaded.tree))
        self._waiting = {m for m in self._crew if m.state in (State.STARTING, State.SERVING)}
        for member in self._waiting:
            member.send(message)
        self._end_if_complete(now)

    def adopted(self, member: Member, generation: int, problem: str | None, now: float) -> None:
        """A worker answered. One that cannot take over what it should is replaced by one that begins with it."""
        if problem is not None:
            self._log.error(names.EVENT_WORKER, worker=member.number, message=f"could not reload: {problem}")
            member.send(Leave(at_once=False))
        if generation == self.generation:
            self.gone(member, now)

    def gone(self, member: Member, now: float) -> None:
        """It has taken over, or ended: the one that follows it has the new configuration."""
        self._waiting.discard(member)
        self._end_if_complete(now)

    def see_to(self, now: float) -> None:
        """Wait no longer than is bearable."""
        if self.until is not None and self.until <= now:
            self._outcome.notes += [f"worker {m.number} has not answered yet" for m in self._waiting]
            self._waiting.clear()
            self._end_if_complete(now)

    def _end_if_complete(self, now: float) -> None:
        if self.until is None or self._waiting:
            return
        self.until = None
        self._done(self._outcome)
        if self._again:
            self._again = False
            self.begin(now)
