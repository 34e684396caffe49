"""``server.workers`` above 1, or accounts with their admin API: the process that starts the workers and that of the
admin API, watches them, and handles signals for all of them.

It binds the sockets and forks; a worker that exits is started again, with growing delays if that repeats. It owns
signals, status file and service manager. One selector and no event loop, and no thread that lasts through a fork but
one that waits for the log's reader: such a process can fork at any time. No request waits for it.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import time
from typing import Final

from modelmux.dialects.registry import api_paths
from modelmux.process.reload import ReloadResult
from modelmux.process.server import CLOSE_TIMEOUT, ENDING
from modelmux.process.stop_messages import ending_message, stopping_message
from modelmux.process.workers.child import ChildOptions
from modelmux.process.workers.config_rollout import ConfigRollout
from modelmux.process.workers.forked import run_forked, serve_as_child
from modelmux.process.workers.options import SupervisorOptions
from modelmux.process.workers.protocol import (
    Answer,
    AskWorkers,
    ConfigApplied,
    DirectoryChanged,
    Draining,
    Question,
    ReadDirectory,
    Ready,
    ServeSockets,
    Shutdown,
    ToSupervisor,
    WorkerAnswer,
)
from modelmux.process.workers.scoreboard import Scoreboard
from modelmux.process.workers.signals import Signals, fork, kill, signal_name, signals_blocked
from modelmux.process.workers.totals import FinishedTotals, read_totals
from modelmux.process.workers.worker_slot import (
    ADMIN,
    HANG_TIMEOUT,
    Channel,
    State,
    WorkerSlot,
    assign_orphaned_sockets,
    hang_timeout,
)
from modelmux.telemetry import names
from modelmux.telemetry.log import error_location

#: Seconds between two looks at every worker; less where a service manager expects keep-alives more often.
TICK_INTERVAL: Final = 2.0


class Supervisor:
    """See the module."""

    def __init__(self, options: SupervisorOptions) -> None:
        self._options = options
        self._log = options.log
        self._manager = options.manager
        self._drain = options.drain
        self._slots = [WorkerSlot(n) for n in range(1, len(options.sockets) + 1)]
        self._children = self._slots + ([WorkerSlot(ADMIN)] if options.admin is not None else [])
        self._shared_socket = len(set(options.sockets)) < len(options.sockets)
        self._board = Scoreboard(len(self._slots))
        self._finished = FinishedTotals(self._board, os.getpid())
        self._rollout = ConfigRollout(
            options.config, self._children, options.read, options.host, options.log, self._on_reloaded, options.state,
            options.settings,
        )  # fmt: skip
        self._selector = selectors.DefaultSelector()
        self._signals = Signals()
        self._selector.register(self._signals.socket, selectors.EVENT_READ)
        self._started = self._stopping = False
        self._exit_code = 0
        self._kill_at: float | None = None
        watchdog = options.manager.watchdog
        self._hang_timeout = hang_timeout(watchdog)
        self._tick_interval = min(TICK_INTERVAL, watchdog / 3) if watchdog else TICK_INTERVAL
        self._last_tick = time.monotonic()

    def run(self) -> int:
        """Until a signal ends it, or the workers cannot start.

        :returns: the exit code.
        """
        gc.collect()
        gc.freeze()  # objects that exist now stay shared with the workers until one of them is written to
        try:
            for slot in self._children:
                self._start(slot)
            while not self._stopping or any(slot.pid for slot in self._children):
                self._run_once()
            self._log.info(names.EVENT_STOPPED)
        finally:
            self._close()
        return self._exit_code

    def _close(self) -> None:
        """Children that still run exit when their sockets to this process are closed."""
        for slot in self._children:
            if slot.channel is not None:
                slot.channel.socket.close()
        self._close_listeners()
        self._selector.close()
        self._signals.close()

    def _close_listeners(self) -> None:
        for sock in (*self._options.sockets, self._options.admin):
            if sock is not None:
                sock.close()

    def _run_once(self) -> None:
        """Wait for an event, and handle it and all that is due."""
        self._update_interest()
        for key, events in self._selector.select(max(self._next_deadline() - time.monotonic(), 0)):
            if key.fileobj is self._signals.socket:
                self._on_signals()
            else:
                self._on_channel(key.data, events)
        now = time.monotonic()
        for slot in self._children:
            if slot.start_at is not None and slot.start_at <= now:
                self._start(slot)
        self._rollout.on_tick(now)
        if self._kill_at is not None and self._kill_at <= now:
            self._kill_all()
        if self._last_tick + self._tick_interval <= now:
            self._tick(now)

    def _update_interest(self) -> None:
        """Have the selector wait for writability where something could not be sent."""
        for slot in self._children:
            if slot.channel is not None and not slot.channel.ended:
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if slot.channel.pending else 0)
                self._selector.modify(slot.channel.socket, events, slot)

    def _next_deadline(self) -> float:
        """When something is due even if nothing happens."""
        times = [self._kill_at, self._rollout.deadline, *(slot.start_at for slot in self._children)]
        return min([self._last_tick + self._tick_interval, *(at for at in times if at is not None)])

    # --- starting workers, and their exits ------------------------------------------------------------------------

    def _start(self, slot: WorkerSlot) -> None:
        ends: tuple[socket.socket, ...] = ()
        slot.incarnation += 1
        try:
            ends = ours, theirs = socket.socketpair()
            with signals_blocked():
                pid = fork()
                if pid == 0:
                    run_forked(lambda: self._run_child(slot, ours, theirs), slot.name, self._log)
        except OSError as error:  # out of memory, processes or descriptors: others serve, and it is tried again
            for end in ends:
                end.close()
            slot.start_at = time.monotonic() + slot.backoff.delay(0, self._options.jitter())
            self._log.error(names.EVENT_WORKER, worker=slot.name, message=f"cannot be started: {error.strerror}")
            return
        theirs.close()
        slot.on_start(pid, Channel(ours), time.monotonic())
        self._selector.register(ours, selectors.EVENT_READ, slot)

    def _run_child(self, slot: WorkerSlot, ours: socket.socket, link: socket.socket) -> int:
        """Continue as a child, in the forked process. Of the supervisor's descriptors it keeps the listening sockets
        that it serves: with an end of another child's socket pair, that one could not notice that the supervisor has
        exited."""
        ours.close()
        for other in self._children:
            if other.channel is not None:
                other.channel.socket.close()
        self._selector.close()
        self._signals.close()
        if self._options.status is not None:
            self._options.status.detach()
        common = ChildOptions(
            number=slot.number, config=self._rollout.config, generation=self._rollout.generation, link=link,
            board=self._board, heartbeat=self._tick_interval / 2, drain=self._drain, log=self._log,
            settings=self._rollout.settings,
        )  # fmt: skip
        return serve_as_child(common, slot.incarnation, self._options)

    def _reap(self) -> None:
        for slot in self._children:
            if slot.pid:
                pid, status = os.waitpid(slot.pid, os.WNOHANG)
                if pid:
                    self._on_exit(slot, os.waitstatus_to_exitcode(status))

    def _on_exit(self, slot: WorkerSlot, code: int) -> None:
        self._read(slot)
        if slot.channel is not None:
            self._close_channel(slot.channel)
        failed_start, now = slot.state is State.STARTING and not self._started, time.monotonic()
        pid, lifetime = slot.pid, now - slot.started
        expected = slot.state is State.DRAINING and code == 0
        slot.on_exit()
        if slot.number != ADMIN:
            self._finished.fold(slot.number)
            self._options.state.worker_ended(slot.number)
        self._rollout.on_exit(slot, now)
        if self._stopping:
            return
        how = f"was ended by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        if failed_start:
            self._log.error(names.EVENT_WORKER, worker=slot.name, message=f"{how} before it could serve")
            self._exit_code = code if code > 0 else 1
            self._stop()
            return
        if slot.number != ADMIN:
            self._finished.count_restart()
        slot.start_at = now + (delay := slot.backoff.delay(lifetime, self._options.jitter()))
        emit = self._log.warning if expected else self._log.error
        emit(names.EVENT_WORKER, worker=slot.name, pid=pid, restart_in_s=round(delay, 3),
             message=how if expected else f"{how}; {slot.describe_exit()}")  # fmt: skip
        self._assign_sockets()

    def _close_channel(self, channel: Channel) -> None:
        if not channel.ended:
            self._selector.unregister(channel.socket)
        channel.socket.close()

    # --- messages of workers --------------------------------------------------------------------------------------

    def _on_channel(self, slot: WorkerSlot, events: int) -> None:
        if slot.channel is None:  # its exit was handled in this very round
            return
        if events & selectors.EVENT_WRITE:
            slot.channel.flush()
        if events & selectors.EVENT_READ:
            self._read(slot)

    def _read(self, slot: WorkerSlot) -> None:
        """Handle the messages that have arrived. SIGCHLD, not the end of the channel, tells of an exit."""
        channel = slot.channel
        if channel is None or channel.ended:
            return
        try:
            for message in channel.receive():
                self._on_message(slot, message)
        except ValueError as error:
            self._log.error(names.EVENT_INTERNAL_ERROR, worker=slot.name, traceback=error_location(error))
            kill(slot.pid)
            channel.ended = True
        if channel.ended:
            self._selector.unregister(channel.socket)

    def _on_message(self, slot: WorkerSlot, message: ToSupervisor) -> None:
        match message:
            case Ready():
                self._on_ready(slot)
            case Draining():
                slot.state = State.DRAINING
                self._assign_sockets()
            case DirectoryChanged(version):
                for worker in self._slots:
                    worker.send(ReadDirectory(version))
            case AskWorkers(number, chosen, body):
                for worker in self._slots:
                    if chosen in (0, worker.number):
                        worker.send(Question(number, body))
            case Answer(number, body):
                for child in self._children[len(self._slots) :]:  # that of the admin API, if there is one
                    child.send(WorkerAnswer(number, slot.number, body))
            case ConfigApplied(generation, problem):
                self._rollout.on_applied(slot, generation, problem, time.monotonic())

    def _on_ready(self, slot: WorkerSlot) -> None:
        slot.state = State.READY
        if self._started:
            self._log.info(names.EVENT_WORKER, worker=slot.name, action="ready", pid=slot.pid)
        elif all(s.state is State.READY for s in self._children):
            self._started = True
            options = self._options
            self._log.info(
                names.EVENT_LISTENING, url=options.url, apis=", ".join(api_paths()), workers=len(self._slots)
            )  # fmt: skip
            if options.admin_url:
                self._log.info(names.EVENT_LISTENING, url=options.admin_url, apis="admin")
            self._manager.ready("Serving")
        self._assign_sockets()

    def _assign_sockets(self) -> None:
        """Make sure every listening socket has a worker that accepts from it."""
        if self._shared_socket or self._stopping or not self._started:
            return
        assignment = assign_orphaned_sockets(self._slots)
        for slot in self._slots:
            if slot.extra_sockets != assignment[slot.number]:
                slot.extra_sockets = assignment[slot.number]
                slot.send(ServeSockets(slot.extra_sockets))

    def _tick(self, now: float) -> None:
        """Look for heartbeats of all workers, and tell the service manager that they are alive if all are."""
        self._reap()
        # Not by the clock alone: if this process was stopped for a while, that is not the workers' fault.
        elapsed, self._last_tick = min(now - self._last_tick, 2 * self._tick_interval), now
        for slot in self._children:
            if slot.pid:
                record = self._board.admin if slot.number == ADMIN else self._board.workers[slot.number - 1]
                hangs = slot.record_heartbeat(record.heartbeat(), elapsed, self._hang_timeout)
                if hangs and not self._stopping:  # a drain has a timeout of its own
                    self._kill_hung(slot)
        limit = (self._manager.watchdog or HANG_TIMEOUT) / 2
        if all(slot.silent < limit for slot in self._slots if slot.state is State.READY):
            self._manager.alive()
        self._finished.count_log_drops(self._log.dropped())
        self._assign_sockets()

    def _kill_hung(self, slot: WorkerSlot) -> None:
        self._log.error(
            names.EVENT_WORKER, worker=slot.name, message=f"has not responded for {slot.silent:.0f} s: killed"
        )
        kill(slot.pid)

    # --- signals --------------------------------------------------------------------------------------------------

    def _on_signals(self) -> None:
        arrived = self._signals.drain()
        if signal.SIGCHLD in arrived:
            self._reap()
        for number in arrived:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop()
            elif number == signal.SIGHUP:
                self._reload()
            elif number == signal.SIGUSR1:
                self._reopen_logs()

    def _reopen_logs(self) -> None:
        self._log.reopen_files()
        for slot in self._children:
            if slot.pid:
                kill(slot.pid, signal.SIGUSR1)

    def _stop(self) -> None:
        """The first time: drain. After that: end at once."""
        at_once, self._stopping = self._stopping, True
        longest = ENDING if at_once else self._drain.total
        until = time.monotonic() + longest + 2 * CLOSE_TIMEOUT
        self._kill_at = min(until, self._kill_at or until)
        if not at_once:
            self._manager.stopping(longest + 2 * CLOSE_TIMEOUT)
            self._close_listeners()  # the children have their own copies for the time of the delay
        self._tell_stopping(at_once=at_once)
        for slot in self._children:
            slot.start_at = None
            slot.send(Shutdown(at_once))

    def _tell_stopping(self, *, at_once: bool) -> None:
        """Requests are counted as the workers reported them, at most 20 ms ago."""
        gauges = read_totals(self._board, metrics=True).metrics.gauges
        running = int(gauges.get(names.METRIC_IN_FLIGHT, {}).get((), 0))
        drain = self._drain
        message = ending_message(running) if at_once else stopping_message(running, drain.delay, drain.timeout)
        if running or not at_once:
            self._log.info(names.EVENT_STOPPING, message=message)

    def _kill_all(self) -> None:
        self._kill_at = None
        for slot in self._children:
            if slot.pid:
                self._log.error(names.EVENT_WORKER, worker=slot.name, message="does not exit: killed")
                kill(slot.pid)

    def _reload(self) -> None:
        if not self._stopping:
            self._manager.reloading(time.monotonic())
            self._rollout.start(time.monotonic())

    def _on_reloaded(self, result: ReloadResult) -> None:
        result.report(self._log, self._options.status)
        if not self._stopping:
            self._manager.ready("Serving")
