"""Log output that never waits: lines are put into a bounded buffer, and a thread writes them.

A write can take for ever: to a pipe without a reader, to a terminal that was stopped, to a file on slow storage. Here
only the thread waits. The output itself stays blocking: O_NONBLOCK belongs to the open file, which a parent process and
its terminal share. If the buffer is full, lines are dropped and counted, and a line in their place tells how many.

The thread is a daemon, started with the first line: it cannot delay the end of the process. Before a fork it is ended
if it is idle; if it waits for the output, the fork takes place beside it. That is safe: it waits in a system call
without holding a lock of Python or of the C library, and the child makes the locks of this module anew.
Not in this module: what a line looks like.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from enum import Enum
from queue import SimpleQueue
from typing import Final

#: Bytes of lines that may wait for one output: some 2,500 requests.
BUFFER_BYTES: Final = 1024 * 1024
#: Most bytes that are written at once.
_BATCH_BYTES: Final = 64 * 1024
#: Seconds for which the end of a process waits for its lines to be written.
FLUSH_TIMEOUT: Final = 1.0
#: Seconds for which a fork waits for the thread to end.
_PAUSE_TIMEOUT: Final = 0.05


class _Stop(Enum):
    STOP = 0


_STOP: Final = _Stop.STOP


class _Gap:
    """Stands in the queue where lines were dropped.

    :param lines: how many; the last gap of a queue still grows.
    :param time: when the last one was dropped.
    """

    def __init__(self) -> None:
        self.lines = 0
        self.time = 0.0


#: Lines, or something to do after the lines before it.
_Item = bytes | _Gap | Callable[[], None] | _Stop

#: All there are, for forks.
_WRITERS: Final[weakref.WeakSet[BackgroundWriter]] = weakref.WeakSet()


class BackgroundWriter:
    """An output with a buffer and a thread. Every method returns at once but for ``flush``.

    :param write: writes bytes, however long it takes, and returns whether it could; called in the thread.
    :param notice: the line, as bytes, that tells how many lines were dropped, and when the last of them was.
    :param limit: most bytes that wait to be written.
    :param on_fork: called in a forked process, for what ``write`` uses.
    :param now: Unix seconds.
    """

    def __init__(
        self,
        write: Callable[[bytes], bool],
        notice: Callable[[int, float], bytes],
        limit: int = BUFFER_BYTES,
        on_fork: Callable[[], None] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._write = write
        self._notice = notice
        self._limit = limit
        self._on_fork = on_fork
        self._now = now
        self._reset()
        _WRITERS.add(self)

    def _reset(self) -> None:
        self.dropped = 0
        # Reentrant: a signal handler or a destructor may write while its own thread is writing.
        self._lock = threading.RLock()
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._put_bytes = self._written_bytes = 0
        self._gap: _Gap | None = None
        self._untold, self._untold_time = 0, 0.0  # dropped lines that no written line has told of
        self._pausing = False

    def put(self, data: bytes) -> None:
        """Have lines written, each with a line break at its end, or drop them all if the buffer has no room.

        Once lines were dropped, half of the buffer has to be free again: so gaps are few, and what is between them is
        complete.
        """
        with self._lock:
            waiting = self._put_bytes - self._written_bytes
            if waiting and waiting + len(data) > (self._limit if self._gap is None else self._limit // 2):
                self._drop(data)
                return
            self._gap = None
            self._put_bytes += len(data)
            self._enqueue(data)

    def call(self, action: Callable[[], None]) -> None:
        """Have ``action`` called in the thread, after what was put before."""
        with self._lock:
            self._enqueue(action)

    def flush(self, timeout: float = FLUSH_TIMEOUT) -> bool:
        """Wait until everything that was put is written, for ``timeout`` seconds at most.

        :returns: whether it was.
        """
        if self._thread is None and self._queue.empty():
            return True
        written = threading.Event()
        self.call(written.set)
        return self._thread is not None and written.wait(timeout)

    def pause(self, timeout: float = _PAUSE_TIMEOUT) -> None:
        """End the thread, if it can write everything within the timeout. The next line starts another one."""
        with self._lock:
            thread = self._thread
            if thread is None:
                return
            if not self._pausing:
                self._pausing = True
                self._queue.put(_STOP)
        thread.join(timeout)

    def after_fork_in_child(self) -> None:
        """The lines that wait, and the count of those dropped, are the parent's."""
        self._reset()
        if self._on_fork is not None:
            self._on_fork()

    def _drop(self, data: bytes) -> None:
        if self._gap is None:
            self._gap = _Gap()
            self._enqueue(self._gap)
        lines = data.count(b"\n")
        self._gap.lines += lines
        self._gap.time = self._now()
        self.dropped += lines

    def _enqueue(self, item: _Item) -> None:
        self._queue.put(item)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="modelmux-log", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no more threads, or the interpreter is about to exit: the next line tries again
                self._thread = None

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        if hasattr(signal, "pthread_sigmask"):  # signals are for the main thread: they have to wake its event loop
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            lines, item = self._next()
            if lines:
                self._write_lines(lines)
            if isinstance(item, _Gap):
                self._on_gap(item)
            elif callable(item):
                item()
            elif item is _STOP and self._stops():
                return

    def _next(self) -> tuple[bytes, _Item | None]:
        """Wait for lines or for another item.

        :returns: all lines that can be written together, and the item that follows them, if one does.
        """
        item: _Item | None = self._queue.get()
        if not isinstance(item, bytes):
            return b"", item
        batch, size = [], 0
        while isinstance(item, bytes):
            batch.append(item)
            size += len(item)
            item = None
            if size < _BATCH_BYTES and not self._queue.empty():  # only this thread takes from it
                item = self._queue.get()
        return b"".join(batch), item

    def _write_lines(self, lines: bytes) -> None:
        told = self._untold
        try:
            written = self._write(self._notice(told, self._untold_time) + lines if told else lines)
        except Exception:  # noqa: BLE001 - no other thread would be started
            written = False
        if written:
            self._untold -= told
        else:
            lost = lines.count(b"\n")
            self._untold += lost
            self._untold_time = self._now()
            with self._lock:
                self.dropped += lost
        self._written_bytes += len(lines)

    def _on_gap(self, gap: _Gap) -> None:
        """Tell of dropped lines."""
        with self._lock:
            if self._gap is gap:
                self._gap = None
        self._untold += gap.lines
        self._untold_time = gap.time
        self._write_lines(b"")

    def _stops(self) -> bool:
        with self._lock:
            self._pausing = False
            if self._queue.empty():
                self._thread = None
            return self._thread is None


def _before_fork() -> None:
    for writer in list(_WRITERS):
        writer.pause()


def _after_fork_in_child() -> None:
    for writer in list(_WRITERS):
        writer.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
