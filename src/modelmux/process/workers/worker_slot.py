"""The workers as their supervisor sees them: state, the socket to each, when it is started again, who stands in for it.

No forking, no signals, no selector: those are the supervisor's.
"""

from __future__ import annotations

import contextlib
import enum
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from modelmux.process.workers.protocol import AT_SUPERVISOR, Frames, Tell, ToSupervisor, ToWorker, frame

#: Seconds until a worker that ended is started again; each further early end doubles them.
FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 30.0
#: Seconds a worker has to live for its end to count as a first one.
STEADY: Final = 60.0
#: Seconds after which a worker whose event loop stands still is ended and replaced; never less than the second number.
HUNG_SECONDS: Final = 20.0
LEAST_HUNG_SECONDS: Final = 5.0
_READ: Final = 2**18


class State(enum.Enum):
    """``STARTING`` until it accepts requests, ``LEAVING`` once it is about to end, ``DOWN`` without a process."""

    STARTING = "starting"
    SERVING = "serving"
    LEAVING = "leaving"
    DOWN = "down"


@dataclass(slots=True)
class Backoff:
    """How long to wait before a worker is started again."""

    early: int = 0

    def delay(self, lived: float) -> float:
        """Seconds, after a worker ended that lived ``lived`` seconds."""
        self.early = 0 if lived >= STEADY else self.early + 1
        return min(FIRST_DELAY * 2.0 ** min(max(self.early - 1, 0), 20), LONGEST_DELAY)


class Channel:
    """The supervisor's end of the socket pair to one worker. Never waits: what cannot be sent now is kept."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.ended = False
        self._frames = Frames()
        self._unsent = bytearray()

    @property
    def pending(self) -> bool:
        return bool(self._unsent)

    def send(self, message: ToWorker) -> None:
        self._unsent += frame(message)
        self.flush()

    def flush(self) -> None:
        """A worker that is gone is noticed by what reads from it."""
        with contextlib.suppress(BlockingIOError, OSError):
            while self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]

    def receive(self) -> Iterator[ToSupervisor]:
        """What has arrived. When nothing more will, ``ended`` is set.

        :raises ValueError: that was no message.
        """
        while not self.ended:
            try:
                data = self.socket.recv(_READ)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.ended = True
                return
            for body in self._frames.feed(data):
                try:
                    yield AT_SUPERVISOR.decode(body)
                except msgspec.DecodeError as error:
                    raise ValueError(str(error)) from None


@dataclass(slots=True, eq=False)
class Member:
    """One worker's place; processes come and go in it.

    :param number: counts from 1; its listening socket is the one before that.
    :param asked: the number of the last ``Tell``; ``answered`` of the last report.
    :param silent: seconds for which it has owed a report.
    :param cares: the sockets it was told to care for.
    """

    number: int
    backoff: Backoff = field(default_factory=Backoff)
    state: State = State.DOWN
    pid: int = 0
    channel: Channel | None = None
    started: float = 0.0
    start_at: float | None = None
    asked: int = 0
    answered: int = 0
    silent: float = 0.0
    cares: list[int] = field(default_factory=list)

    def begin(self, pid: int, channel: Channel, now: float) -> None:
        """A process was started."""
        self.pid, self.channel, self.started, self.state = pid, channel, now, State.STARTING
        self.start_at, self.asked, self.answered, self.silent, self.cares = None, 0, 0, 0.0, []

    def end(self) -> None:
        """The process is gone."""
        self.pid, self.channel, self.state = 0, None, State.DOWN

    def send(self, message: ToWorker) -> None:
        if self.channel is not None:
            self.channel.send(message)

    def tell(self, *, metrics: bool) -> int:
        """Have it report; the number by which it will."""
        self.asked += 1
        self.send(Tell(self.asked, metrics))
        return self.asked

    def bear(self, passed: float, patience: float) -> bool:
        """It owes a report and has been silent for that many more seconds.

        :returns: whether that was the end of patience; it is said once.
        """
        before, self.silent = self.silent, self.silent + passed
        return before < patience <= self.silent

    def describe(self, early: int = 3) -> str:
        """How it goes on, for people."""
        if self.backoff.early >= early:
            return f"it has ended {self.backoff.early} times soon after its start; the lines before say why, if any do"
        return "its requests are lost, those of other workers are not"


def patience_with(watchdog: float | None) -> float:
    """Seconds after which a worker that keeps silent is replaced.

    :param watchdog: seconds after which a service manager that hears nothing replaces the whole. It hears nothing once
        a worker has been silent for half of that, so here is the chance to lose one worker only.
    """
    return HUNG_SECONDS if watchdog is None else min(max(watchdog, LEAST_HUNG_SECONDS), HUNG_SECONDS)


def stand_ins(members: Sequence[Member]) -> dict[int, list[int]]:
    """Who accepts from whose socket besides its own: number -> indices of sockets.

    Where each worker has a socket of its own, the kernel goes on sending connections to that of a worker which is gone,
    hangs or is not ready yet. Without anybody to stand in they would wait.
    """
    able = [m for m in members if m.state is State.SERVING and not m.silent]
    cares: dict[int, list[int]] = {m.number: [] for m in members}
    orphans = [m.number - 1 for m in members if m not in able]
    for turn, orphan in enumerate(orphans if able else []):
        cares[able[turn % len(able)].number].append(orphan)
    return cares
