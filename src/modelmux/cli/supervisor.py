"""``server.workers`` above 1: the process that starts the workers, watches them, and speaks for all of them.

It binds the sockets and forks; a worker that ends is started again, later each time if that goes on. It owns signals,
status file and service manager, and answers workers that ask how all of them are. One thread and one selector, no event
loop: such a process can fork at any time. What must not come in here: requests. None of them waits for this process.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from modelmux.app import check_exposure, create_app, restart_needed
from modelmux.cli.census import Census
from modelmux.cli.crew import Channel, Member, State, stand_ins
from modelmux.cli.link import Adopt, Adopted, Answer, Ask, Care, Leave, Leaving, Ready, Said, Tell, ToSupervisor
from modelmux.cli.notify import ServiceManager
from modelmux.cli.reloading import Outcome, listening_at, notes, problems
from modelmux.cli.runtime import StatusFile
from modelmux.cli.serving import END_SECONDS, Drain
from modelmux.cli.signals import Signals, held
from modelmux.cli.worker import ASK_SECONDS, Post, work
from modelmux.config import Config, Loaded
from modelmux.telemetry import names
from modelmux.telemetry.logs import Log, where
from modelmux.telemetry.whole import families

#: Seconds between two looks at every worker; less where a service manager wants signs of life more often.
TICK_SECONDS: Final = 2.0
#: Seconds after which a worker whose event loop stands still is ended and replaced.
HUNG_SECONDS: Final = 20.0
#: Seconds the workers get to take a configuration over; `modelmux reload` waits longer.
ADOPT_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Question:
    """A worker asked how all are; ``waiting``: the others whose report of that number is still to come."""

    asker: Member
    number: int
    metrics: bool
    waiting: dict[Member, int]
    until: float


@dataclass(slots=True)
class _Reload:
    """A configuration that the workers are taking over."""

    waiting: set[Member]
    outcome: Outcome
    until: float


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
    log: Log
    manager: ServiceManager
    status: StatusFile | None


class Supervisor:
    """See the module."""

    def __init__(self, charge: Charge) -> None:
        server = charge.config.server
        self._charge = charge
        self._config = charge.config
        self._log = charge.log
        self._manager = charge.manager
        self._drain = Drain(server.drain_delay, server.drain_timeout)
        self._crew = [Member(n) for n in range(1, len(charge.sockets) + 1)]
        self._shared = len(set(charge.sockets)) < len(charge.sockets)
        self._selector = selectors.DefaultSelector()
        self._signals = Signals()
        self._selector.register(self._signals.socket, selectors.EVENT_READ, self._on_signals)
        self._census = Census()
        self._questions: list[_Question] = []
        self._generation = 1
        self._reload: _Reload | None = None
        self._again = False
        self._started = self._stopping = False
        self._code = 0
        self._kill_at: float | None = None
        watchdog = charge.manager.watchdog
        self._tick_seconds = min(TICK_SECONDS, watchdog / 3) if watchdog else TICK_SECONDS
        self._ticked = time.monotonic()
        self._registry = CollectorRegistry()
        self._serving = Gauge(names.METRIC_WORKERS, "Workers that accept requests.", registry=self._registry)
        self._restarts = Counter(
            names.METRIC_WORKER_RESTARTS, "Workers that ended without being told to.", registry=self._registry
        )
        ProcessCollector(registry=self._registry)

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
        for key, events in self._selector.select(max(self._next() - time.monotonic(), 0)):
            if key.fileobj is self._signals.socket:
                self._on_signals()
            else:
                self._on_channel(key.data, events)
        now = time.monotonic()
        for member in self._crew:
            if member.start_at is not None and member.start_at <= now:
                self._start(member)
        for question in [q for q in self._questions if q.until <= now]:
            self._answer(question)
        if self._reload is not None and self._reload.until <= now:
            self._end_reload()
        if self._kill_at is not None and self._kill_at <= now:
            self._kill_all()
        if self._ticked + self._tick_seconds <= now:
            self._tick(now)

    def _next(self) -> float:
        """When there is something to do though nothing happens."""
        times = [self._ticked + self._tick_seconds, self._kill_at, *(m.start_at for m in self._crew)]
        times += [q.until for q in self._questions]
        times += [self._reload.until] if self._reload is not None else []
        return min(at for at in times if at is not None)

    # --- starting and ending workers ------------------------------------------------------------------------------

    def _start(self, member: Member) -> None:
        ours, theirs = socket.socketpair()
        try:
            with held():
                pid = os.fork()
                if pid == 0:
                    self._become(member, ours, theirs)
        except OSError as error:
            ours.close()
            theirs.close()
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
            code = work(
                Post(member.number, self._config, self._generation, sockets, link, self._drain, self._charge.log)
            )
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException as error:  # noqa: BLE001 - nothing may go up to where the supervisor was
            self._log.error(names.EVENT_INTERNAL_ERROR, worker=member.number, where=where(error))
        finally:
            with contextlib.suppress(OSError, ValueError):
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
        starting, now = member.state is State.STARTING, time.monotonic()
        told = member.state is State.LEAVING and code == 0
        lived, pid = now - member.started, member.pid
        member.end()
        self._census.gone(member.number)
        self._expect_nothing_of(member)
        if self._stopping:
            return
        how = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        if starting and not self._started:
            self._log.error(names.EVENT_WORKER, worker=member.number, message=f"{how} before it could serve")
            self._code = code if code > 0 else 1
            self._stop()
            return
        self._restarts.inc()
        delay = member.backoff.delay(lived)
        member.start_at = now + delay
        say = self._log.warning if told else self._log.error
        say(names.EVENT_WORKER, worker=member.number, ended_pid=pid, again_in_s=delay,
            message=how if told else f"{how}; {member.describe()}")  # fmt: skip
        self._arrange()

    def _forget(self, channel: Channel) -> None:
        with contextlib.suppress(KeyError):  # since its end was read
            self._selector.unregister(channel.socket)
        channel.socket.close()

    # --- what workers say -----------------------------------------------------------------------------------------

    def _on_channel(self, member: Member, events: int) -> None:
        channel = member.channel
        if channel is None:  # ended in this very turn
            return
        if events & selectors.EVENT_WRITE:
            channel.flush()
        if events & selectors.EVENT_READ and not self._read(member):
            self._selector.unregister(channel.socket)  # the process's end will be told by SIGCHLD
            return
        self._watch(member)

    def _read(self, member: Member) -> bool:
        """:returns: whether more may come."""
        channel = member.channel
        if channel is None:
            return False
        try:
            for message in channel.receive():
                self._heard(member, message)
        except EOFError:
            return False
        except ValueError as error:
            self._log.error(names.EVENT_INTERNAL_ERROR, worker=member.number, where=where(error))
            os.kill(member.pid, signal.SIGKILL)
            return False
        return True

    def _heard(self, member: Member, message: ToSupervisor) -> None:
        match message:
            case Ready():
                self._on_ready(member)
            case Leaving():
                member.state = State.LEAVING
                self._arrange()
            case Said(number, report):
                self._census.heard(member.number, report)
                member.answered, was_silent, member.silent = max(member.answered, number), member.silent, 0.0
                if was_silent:
                    self._arrange()
                self._reported(member)
            case Ask(number, metrics, report):
                self._census.heard(member.number, report)
                self._ask(member, number, metrics=metrics)
            case Adopted(_, problem):
                self._adopted(member, problem)

    def _on_ready(self, member: Member) -> None:
        member.state = State.SERVING
        self._tell(member, metrics=True)  # from now on it counts
        if self._started:
            self._log.info(names.EVENT_WORKER, worker=member.number, what="serves", pid=member.pid)
        elif all(m.state is State.SERVING for m in self._crew):
            self._started = True
            self._log.info(names.EVENT_SERVING, url=self._charge.url, workers=len(self._crew))
            self._manager.ready("Serving")
        self._arrange()

    def _arrange(self) -> None:
        """See that somebody accepts from every socket."""
        self._serving.set(sum(m.state is State.SERVING for m in self._crew))
        if self._shared or self._stopping or not self._started:
            return
        wanted = stand_ins(self._crew)
        for member in self._crew:
            if member.channel is not None and member.cares != wanted[member.number]:
                member.cares = wanted[member.number]
                self._send(member, Care(member.cares))

    def _send(self, member: Member, message: Any) -> None:
        member.send(message)
        self._watch(member)

    def _watch(self, member: Member) -> None:
        """Have the selector say when what could not be sent can be."""
        if member.channel is not None:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if member.channel.pending else 0)
            with contextlib.suppress(KeyError):  # it has closed its end
                self._selector.modify(member.channel.socket, events, member)

    def _tell(self, member: Member, *, metrics: bool) -> None:
        member.asked += 1
        self._send(member, Tell(member.asked, metrics))

    # --- the whole ------------------------------------------------------------------------------------------------

    def _ask(self, asker: Member, number: int, *, metrics: bool) -> None:
        """Have every other worker report, unless it owes a report already for a while."""
        waiting: dict[Member, int] = {}
        for member in self._crew:
            alive = member.state in (State.SERVING, State.LEAVING)
            if member is not asker and alive and not member.silent:
                self._tell(member, metrics=metrics)
                waiting[member] = member.asked
        question = _Question(asker, number, metrics, waiting, time.monotonic() + ASK_SECONDS / 2)
        self._questions.append(question)
        if not waiting:
            self._answer(question)

    def _reported(self, member: Member) -> None:
        for question in list(self._questions):
            if question.waiting.get(member, member.answered + 1) <= member.answered:
                del question.waiting[member]
                if not question.waiting:
                    self._answer(question)

    def _answer(self, question: _Question) -> None:
        self._questions.remove(question)
        serving = [m.number for m in self._crew if m.state is State.SERVING]
        own = families(self._registry) if question.metrics else None
        self._send(question.asker, Answer(question.number, self._census.whole(serving, len(self._crew), own)))

    def _expect_nothing_of(self, member: Member) -> None:
        """It ended: who waits for it need not."""
        self._questions = [q for q in self._questions if q.asker is not member]
        for question in [q for q in self._questions if member in q.waiting]:
            del question.waiting[member]
            if not question.waiting:
                self._answer(question)
        if self._reload is not None and member in self._reload.waiting:
            self._adopted(member, None)  # the one that follows it has the new configuration

    def _tick(self, now: float) -> None:
        """Signs of life of all workers, and to the service manager if there are all."""
        # Not by the clock alone: if this process was stopped for a while, the workers are not to blame.
        self._reap()
        passed, self._ticked = min(now - self._ticked, 2 * self._tick_seconds), now
        for member in [m for m in self._crew if m.pid]:
            if member.asked > member.answered:
                member.silent += passed
                if member.silent >= HUNG_SECONDS and not self._stopping:
                    self._log.error(names.EVENT_WORKER, worker=member.number,
                                    message=f"has not answered for {member.silent:.0f} s: ended")  # fmt: skip
                    os.kill(member.pid, signal.SIGKILL)
            else:
                self._tell(member, metrics=True)
        patience = (self._manager.watchdog or HUNG_SECONDS) / 2
        if all(m.silent < patience for m in self._crew if m.state is State.SERVING):
            self._manager.sign_of_life()
        self._arrange()

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
            self._send(member, Leave(at_once))

    def _kill_all(self) -> None:
        self._kill_at = None
        for member in self._crew:
            if member.pid:
                self._log.error(names.EVENT_WORKER, worker=member.number, message="does not end: killed")
                os.kill(member.pid, signal.SIGKILL)

    # --- a new configuration --------------------------------------------------------------------------------------

    def _hang_up(self) -> None:
        """Read the configuration and have all workers take it over. One at a time; another signal asks for another."""
        if self._stopping or self._reload is not None:
            self._again = True
            return
        self._manager.reloading(time.monotonic())
        try:
            loaded = self._charge.read()
            check_exposure(listening_at(self._charge.host, loaded.config))
            create_app(loaded.config, log=self._log)  # what can go wrong in a worker goes wrong here, and is said once
        except Exception as error:  # noqa: BLE001 - a reload must not take the gateway down
            self._reload = _Reload(set(), Outcome(problems(error)), 0)
            self._end_reload()
            return
        outcome = Outcome(notes=notes(loaded, restart_needed(self._config, loaded.config)))
        self._config, self._generation = loaded.config, self._generation + 1
        message = Adopt(self._generation, pickle.dumps(loaded.config))
        running = {m for m in self._crew if m.state in (State.STARTING, State.SERVING)}
        self._reload = _Reload(running, outcome, time.monotonic() + ADOPT_SECONDS)
        for member in running:
            self._send(member, message)
        if not running:
            self._end_reload()

    def _adopted(self, member: Member, problem: str | None) -> None:
        """A worker that cannot take over what it should is replaced by one that begins with it."""
        if problem is not None:
            self._log.error(names.EVENT_WORKER, worker=member.number, message=f"could not take it over: {problem}")
            self._send(member, Leave(at_once=False))
        if self._reload is not None:
            self._reload.waiting.discard(member)
            if not self._reload.waiting:
                self._end_reload()

    def _end_reload(self) -> None:
        assert self._reload is not None
        done, self._reload = self._reload, None
        done.outcome.notes += [f"worker {m.number} has not answered yet" for m in done.waiting]
        done.outcome.tell(self._log, self._charge.status)
        self._manager.ready("Serving")
        if self._again:
            self._again = False
            self._hang_up()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
