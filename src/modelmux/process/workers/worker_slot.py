"""The workers and the process of the admin API as the supervisor sees them: state, socket pair, restart delay, and who
serves orphaned sockets.

Not in this module: forking, signals, the selector. Those are the supervisor's.
"""

from __future__ import annotations

import contextlib
import enum
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from modelmux.process.workers.protocol import SUPERVISOR_DECODER, FrameDecoder, ToSupervisor, ToWorker, encode_frame

#: Seconds until a worker that exited is started again; each further early exit doubles them.
MIN_RESTART_DELAY: Final = 0.1
MAX_RESTART_DELAY: Final = 30.0
#: Up to this part of the delay is added, at random: workers that exited together are not started together.
RESTART_SPREAD: Final = 0.25
#: A worker that ran for this many seconds is stable: its exit counts as a first one.
STABLE_AFTER: Final = 60.0
#: Seconds after which a worker whose event loop is blocked is killed and replaced; never less than the second number.
HANG_TIMEOUT: Final = 20.0
MIN_HANG_TIMEOUT: Final = 5.0
#: Early exits in a row that are called a crash loop.
_CRASH_LOOP: Final = 3
#: The number of the process of the admin API, where workers are counted from 1.
ADMIN: Final = 0
_READ_SIZE: Final = 2**18


class State(enum.Enum):
    """``STARTING`` until it accepts requests, ``DRAINING`` when it is about to exit, ``DOWN`` without a process."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    DOWN = "down"


@dataclass(slots=True)
class Backoff:
    """The delay before a worker is started again."""

    early_exits: int = 0

    def delay(self, lifetime: float, jitter: float = 0.0) -> float:
        """Seconds, after the exit of a worker that ran for ``lifetime`` seconds.

        :param jitter: a random number from 0 to 1.
        """
        self.early_exits = 0 if lifetime >= STABLE_AFTER else self.early_exits + 1
        delay = min(MIN_RESTART_DELAY * 2.0 ** min(max(self.early_exits - 1, 0), 20), MAX_RESTART_DELAY)
        return delay * (1.0 + RESTART_SPREAD * jitter)


class Channel:
    """The supervisor's end of the socket pair to one worker. Never blocks: what cannot be sent yet is buffered."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.ended = False
        self._frames = FrameDecoder()
        self._unsent = bytearray()

    @property
    def pending(self) -> bool:
        return bool(self._unsent)

    def send(self, message: ToWorker) -> None:
        self._unsent += encode_frame(message)
        self.flush()

    def flush(self) -> None:
        """Errors are ignored: reading notices a worker that has exited."""
        with contextlib.suppress(BlockingIOError, OSError):
            while self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]

    def receive(self) -> Iterator[ToSupervisor]:
        """The messages that have arrived. ``ended`` is set when no more will come.

        :raises ValueError: the bytes are not a message.
        """
        while not self.ended:
            try:
                data = self.socket.recv(_READ_SIZE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.ended = True
                return
            for body in self._frames.feed(data):
                try:
                    yield SUPERVISOR_DECODER.decode(body)
                except msgspec.DecodeError as error:
                    raise ValueError(str(error)) from None


@dataclass(slots=True, eq=False)
class WorkerSlot:
    """The slot of one worker, or of the process of the admin API; one process after another runs in it.

    :param number: counts from 1, or is ``ADMIN``; the listening socket of a worker has the index ``number - 1``.
    :param incarnation: counts the processes that ran in this slot.
    :param heartbeat: the state of its slot of the scoreboard at the last look.
    :param silent: seconds for which that has not changed.
    :param extra_sockets: the sockets of others that it was told to serve.
    """

    number: int
    backoff: Backoff = field(default_factory=Backoff)
    state: State = State.DOWN
    pid: int = 0
    incarnation: int = 0
    channel: Channel | None = None
    started: float = 0.0
    start_at: float | None = None
    heartbeat: bytes = b""
    silent: float = 0.0
    extra_sockets: list[int] = field(default_factory=list)

    @property
    def name(self) -> int | str:
        """For log lines."""
        return process_name(self.number)

    @property
    def title(self) -> str:
        """For people."""
        return "the admin API" if self.number == ADMIN else f"worker {self.number}"

    def on_start(self, pid: int, channel: Channel, now: float) -> None:
        """A process was started."""
        self.pid, self.channel, self.started, self.state = pid, channel, now, State.STARTING
        self.start_at, self.silent, self.extra_sockets = None, 0.0, []

    def on_exit(self) -> None:
        """The process has exited."""
        self.pid, self.channel, self.state = 0, None, State.DOWN

    def send(self, message: ToWorker) -> None:
        if self.channel is not None:
            self.channel.send(message)

    def record_heartbeat(self, heartbeat: bytes, elapsed: float, timeout: float) -> bool:
        """Note the state of its scoreboard slot, ``elapsed`` seconds after the last one. A worker that runs changes it.

        :returns: whether it has now been silent for ``timeout`` seconds; once.
        """
        before = self.silent
        self.silent = 0.0 if heartbeat != self.heartbeat else before + elapsed
        self.heartbeat = heartbeat
        return before < timeout <= self.silent

    def describe_exit(self) -> str:
        """What its exit means, for people."""
        exits = self.backoff.early_exits
        if exits >= _CRASH_LOOP:
            return f"crash loop: exited {exits} times shortly after start; see the log lines above"
        if self.number == ADMIN:
            return "requests of the admin API are lost, those of models are not"
        return "its requests are lost, those of other workers are not"


def process_name(number: int) -> int | str:
    """A child as log lines name it."""
    return "admin" if number == ADMIN else number


def hang_timeout(watchdog: float | None) -> float:
    """Seconds after which a silent worker is replaced.

    :param watchdog: seconds after which a service manager that hears nothing restarts the whole gateway. It hears
        nothing once a worker has been silent for half of them; the other half is the time to replace that one only.
    """
    return HANG_TIMEOUT if watchdog is None else min(max(watchdog, MIN_HANG_TIMEOUT), HANG_TIMEOUT)


def assign_orphaned_sockets(slots: Sequence[WorkerSlot]) -> dict[int, list[int]]:
    """Which sockets each worker serves in addition to its own: number -> indices of sockets.

    Where each worker has a socket of its own, the kernel keeps sending connections to that of a worker that has exited,
    hangs or is not ready yet. Those would wait until it serves again.
    """
    able = [slot for slot in slots if slot.state is State.READY and not slot.silent]
    sockets: dict[int, list[int]] = {slot.number: [] for slot in slots}
    orphans = [slot.number - 1 for slot in slots if slot not in able]
    for index, orphan in enumerate(orphans if able else []):
        sockets[able[index % len(able)].number].append(orphan)
    return sockets
