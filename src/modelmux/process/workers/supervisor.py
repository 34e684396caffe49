"""``server.workers`` above 1: the process that starts the workers, watches them, and speaks for all of them.

It binds the sockets and forks; a worker that ends is started again, later each time if that goes on. It owns signals,
status file and service manager, and answers workers that ask how all of them are. One thread and one selector, no event
loop: such a process can fork at any time. What must not come in here: requests. None of them waits for this process.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from modelmux.config import Config, Loaded
from modelmux.process.reload import Outcome
from modelmux.process.sd_notify import ServiceManager
from modelmux.process.server import END_SECONDS, Drain
from modelmux.process.status_file import StatusFile
from modelmux.process.workers.aggregation import Inquiries
from modelmux.process.workers.config_rollout import Handover
from modelmux.process.workers.protocol import Adopted, Ask, Care, Leave, Leaving, Ready, Said, ToSupervisor
from modelmux.process.workers.signals import Signals, held
from modelmux.process.workers.worker import Post, work
from modelmux.process.workers.worker_slot import HUNG_SECONDS, Channel, Member, State, patience_with, stand_ins
from modelmux.telemetry import names
from modelmux.telemetry.log import Logger, error_location

#: Seconds between two looks at every worker; less where a service manager wants signs of life more often.
TICK_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What the supervisor is given.

    :param sockets: one for each worker; the same one each time where the platform cannot spread connections.
    :param read: reads the configuration anew.
    :param host: where the sockets listen.
    """

    config: Config
    sockets: list[socket.socket]
    read: Callable[[], Loaded]
    host: str
    url: str
    log: Logger
    manager: ServiceManager
    status: StatusFile | None


class Supervisor:
    """See the module."""

    def __init__(self, charge: Charge) -> None:
        server = charge.config.server
        self._charge = charge
        self._log = charge.log
        self._manager = charge.manager
        self._drain = Drain(server.drain_delay, server.drain_timeout)
        self._crew = [Member(n) for n in range(1, len(charge.sockets) + 1)]
        self._shared = len(set(charge.sockets)) < len(charge.sockets)
        self._inquiries = Inquiries(self._crew)
        self._handover = Handover(charge.config, self._crew, charge.read, charge.host, charge.log, self._reloaded)
        self._selector = selectors.DefaultSelector()
        self._signals = Signals()
        self._selector.register(self._signals.socket, selectors.EVENT_READ)
        self._started = self._stopping = False
        self._code = 0
        self._kill_at: float | None = None
        watchdog = charge.manager.watchdog
        self._patience = patience_with(watchdog)
        self._tick_seconds = min(TICK_SECONDS, watchdog / 3) if watchdog else TICK_SECONDS
        self._ticked = time.monotonic()

    def run(self) -> int:
        """Until a signal ends it, or the workers cannot start.

        :returns: the exit code.
        """
        gc.collect()
        gc.freeze()  # what is there now is shared with the workers for as long as nobody writes to it
        try:
            for member in self._crew:
                self._start(member)
            while not self._stopping or any(m.pid for m in self._crew):
                self._turn()
        finally:
            self._close()
        return self._code

    def _close(self) -> None:
        """The workers end when their sockets to here are closed, if any is left."""
        for member in self._crew:
            if member.channel is not None:
                member.channel.socket.close()
        for sock in self._charge.sockets:
            sock.close()
        self._selector.close()
        self._signals.close()

    def _turn(self) -> None:
        """Wait for something to happen, and see to it."""
        self._watch()
        for key, events in self._selector.select(max(self._next() - time.monotonic(), 0)):
            if key.fileobj is self._signals.socket:
                self._on_signals()
            else:
                self._on_channel(key.data, events)
        now = time.monotonic()
        for member in self._crew:
            if member.start_at is not None and member.start_at <= now:
                self._start(member)
        self._inquiries.see_to(now)
        self._handover.see_to(now)
        if self._kill_at is not None and self._kill_at <= now:
            self._kill_all()
        if self._ticked + self._tick_seconds <= now:
            self._tick(now)

    def _watch(self) -> None:
        """Have the selector say when what could not be sent can be."""
        for member in self._crew:
            if member.channel is not None and not member.channel.ended:
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if member.channel.pending else 0)
                self._selector.modify(member.channel.socket, events, member)

    def _next(self) -> float:
        """When there is something to do though nothing happens."""
        times = [self._kill_at, self._inquiries.until, self._handover.until, *(m.start_at for m in self._crew)]
        return min([self._ticked + self._tick_seconds, *(at for at in times if at is not None)])

    # --- starting and ending workers ------------------------------------------------------------------------------

    def _start(self, member: Member) -> None:
        ends: tuple[socket.socket, ...] = ()
        try:
            ends = ours, theirs = socket.socketpair()
            with held():
                pid = os.fork()
                if pid == 0:
                    self._become(member, ours, theirs)
        except OSError as error:  # no memory, process or descriptor left: others serve, and later there may be some
            for end in ends:
                end.close()
            member.start_at = time.monotonic() + member.backoff.delay(0)
            self._log.error(names.EVENT_WORKER, worker=member.number, message=f"cannot be started: {error.strerror}")
            return
        theirs.close()
        member.begin(pid, Channel(ours), time.monotonic())
        self._selector.register(ours, selectors.EVENT_READ, member)

    def _become(self, member: Member, ours: socket.socket, link: socket.socket) -> NoReturn:
        """The forked process goes on as a worker. Of the supervisor's it keeps the listening sockets only: an end of
        another worker's socket pair would hide from that one that the supervisor is gone."""
        code = 1
        try:
            ours.close()
            for other in self._crew:
                if other.channel is not None:
                    other.channel.socket.close()
            self._selector.close()
            self._signals.close()
            if self._charge.status is not None:
                self._charge.status.leave()
            sockets = self._charge.sockets
            config, generation = self._handover.config, self._handover.generation
            code = work(Post(member.number, config, generation, sockets, link, self._drain, self._log))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException as error:  # noqa: BLE001 - nothing may go up to where the supervisor was
            self._log.error(names.EVENT_INTERNAL_ERROR, worker=member.number, traceback=error_location(error))
        finally:
            with contextlib.suppress(OSError, ValueError):
                self._log.flush()  # nothing that was set for the end of a process happens behind ``_exit``
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        for member in self._crew:
            if member.pid:
                pid, status = os.waitpid(member.pid, os.WNOHANG)
                if pid:
                    self._ended(member, os.waitstatus_to_exitcode(status))

    def _ended(self, member: Member, code: int) -> None:
        self._read(member)
        if member.channel is not None:
            self._forget(member.channel)
        early, now = member.state is State.STARTING and not self._started, time.monotonic()
        pid, lived, told = member.pid, now - member.started, member.state is State.LEAVING and code == 0
        member.end()
        self._inquiries.gone(member)
        self._handover.gone(member, now)
        if self._stopping:
            return
        how = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        if early:
            self._log.error(names.EVENT_WORKER, worker=member.number, message=f"{how} before it could serve")
            self._code = code if code > 0 else 1
            self._stop()
            return
        self._inquiries.restarts.inc()
        delay = member.backoff.delay(lived)
        member.start_at = now + delay
        say = self._log.warning if told else self._log.error
        say(names.EVENT_WORKER, worker=member.number, pid=pid, restart_in_s=delay,
            message=how if told else f"{how}; {member.describe()}")  # fmt: skip
        self._arrange()

    def _forget(self, channel: Channel) -> None:
        if not channel.ended:
            self._selector.unregister(channel.socket)
        channel.socket.close()

    # --- what workers say -----------------------------------------------------------------------------------------

    def _on_channel(self, member: Member, events: int) -> None:
        if member.channel is None:  # ended in this very turn
            return
        if events & selectors.EVENT_WRITE:
            member.channel.flush()
        if events & selectors.EVENT_READ:
            self._read(member)

    def _read(self, member: Member) -> None:
        """Hear what has arrived. That the process has ended, SIGCHLD says."""
        channel = member.channel
        if channel is None or channel.ended:
            return
        try:
            for message in channel.receive():
                self._heard(member, message)
        except ValueError as error:
            self._log.error(names.EVENT_INTERNAL_ERROR, worker=member.number, traceback=error_location(error))
            _kill(member.pid)
            channel.ended = True
        if channel.ended:
            self._selector.unregister(channel.socket)

    def _heard(self, member: Member, message: ToSupervisor) -> None:
        match message:
            case Ready():
                self._on_ready(member)
            case Leaving():
                member.state = State.LEAVING
                self._arrange()
            case Said(number, report):
                member.answered, was_silent, member.silent = max(member.answered, number), member.silent, 0.0
                self._inquiries.heard(member, report)
                if was_silent:
                    self._arrange()
            case Ask():
                self._inquiries.ask(member, message, time.monotonic())
            case Adopted(generation, problem):
                self._handover.adopted(member, generation, problem, time.monotonic())

    def _on_ready(self, member: Member) -> None:
        member.state = State.SERVING
        member.tell(metrics=True)
        if self._started:
            self._log.info(names.EVENT_WORKER, worker=member.number, action="serving", pid=member.pid)
        elif all(m.state is State.SERVING for m in self._crew):
            self._started = True
            self._log.info(names.EVENT_LISTENING, url=self._charge.url, workers=len(self._crew))
            self._manager.ready("Serving")
        self._arrange()

    def _arrange(self) -> None:
        """See that somebody accepts from every socket."""
        if self._shared or self._stopping or not self._started:
            return
        wanted = stand_ins(self._crew)
        for member in self._crew:
            if member.cares != wanted[member.number]:
                member.cares = wanted[member.number]
                member.send(Care(member.cares))

    def _tick(self, now: float) -> None:
        """Signs of life of all workers, and to the service manager if there are all."""
        self._reap()
        # Not by the clock alone: if this process was stopped for a while, the workers are not to blame.
        passed, self._ticked = min(now - self._ticked, 2 * self._tick_seconds), now
        for member in [m for m in self._crew if m.pid]:
            if member.asked > member.answered:
                if member.bear(passed, self._patience) and not self._stopping:  # a drain has an end of its own
                    self._end_hung(member)
            else:
                member.tell(metrics=True)
        patience = (self._manager.watchdog or HUNG_SECONDS) / 2
        if all(m.silent < patience for m in self._crew if m.state is State.SERVING):
            self._manager.sign_of_life()
        self._arrange()

    def _end_hung(self, member: Member) -> None:
        self._log.error(names.EVENT_WORKER, worker=member.number,
                        message=f"has not answered for {member.silent:.0f} s: ended")  # fmt: skip
        _kill(member.pid)

    # --- signals --------------------------------------------------------------------------------------------------

    def _on_signals(self) -> None:
        arrived = self._signals.take()
        if signal.SIGCHLD in arrived:
            self._reap()
        for number in arrived:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop()
            elif number == signal.SIGHUP:
                self._hang_up()

    def _stop(self) -> None:
        """The first time: drain. After that: end at once."""
        at_once, self._stopping = self._stopping, True
        longest = END_SECONDS * 3 if at_once else self._drain.longest
        until = time.monotonic() + longest + 2 * END_SECONDS
        self._kill_at = min(until, self._kill_at or until)
        if not at_once:
            self._manager.stopping(longest + 2 * END_SECONDS)
            for sock in self._charge.sockets:  # the workers have their own copies for the time of the delay
                sock.close()
        for member in self._crew:
            member.start_at = None
            member.send(Leave(at_once))

    def _kill_all(self) -> None:
        self._kill_at = None
        for member in self._crew:
            if member.pid:
                self._log.error(names.EVENT_WORKER, worker=member.number, message="does not end: killed")
                _kill(member.pid)

    def _hang_up(self) -> None:
        """Read the configuration again."""
        if not self._stopping:
            self._manager.reloading(time.monotonic())
            self._handover.begin(time.monotonic())

    def _reloaded(self, outcome: Outcome) -> None:
        outcome.tell(self._log, self._charge.status)
        if not self._stopping:
            self._manager.ready("Serving")


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended, and SIGCHLD will say or has said so
        os.kill(pid, signal.SIGKILL)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
