"""Resolves host names with the system resolver, in threads of its own.

A name server that is slow or down must hold up nothing but the names it is asked for. So there is one look-up for a
name at a time, which all callers share; an answer is kept for a while, and used on when a later look-up fails or takes
long (RFC 8767). Each user has an instance: names of clients' URLs cannot delay that of Vertex AI.

The threads are daemons, because a look-up cannot be cancelled, and the end of the process must not wait for one.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from modelmux.upstream.connect import AddressInfo

#: Seconds for which an answer is used without asking again.
FRESH: Final = 30.0
#: Seconds for which an older answer is used if the name cannot be looked up.
STALE: Final = 3600.0
#: Seconds that callers wait for a look-up while there is an older answer.
PATIENCE: Final = 1.0
#: Seconds until a name is looked up again after a failure, while there is an older answer; up to the second times as
#: long is added, at random: a name server that comes back is not asked by all processes at once.
RETRY_DELAY: Final = 5.0
RETRY_SPREAD: Final = 0.25
#: Answers kept.
MAX_ANSWERS: Final = 1024

_Key = tuple[str, int]
_Addresses = Sequence[AddressInfo]
#: What the server answers if the name does not exist. Anything else is a failure of the server.
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


class _Answer(NamedTuple):
    addresses: _Addresses
    received_at: float
    ask_again_at: float


class _LookUp:
    """One that runs or waits for a thread."""

    __slots__ = ("began_at", "result", "started", "waiters")

    def __init__(self, result: asyncio.Future[_Addresses], now: float) -> None:
        self.result = result
        self.began_at = now
        self.started = False
        self.waiters = 0


class NameLookUps:
    """A ``connect.Resolve``. Used by one event loop at a time; construction does no I/O.

    :param threads: look-ups that run at the same time.
    :param name: of the threads.
    :param clock: monotonic seconds.
    :param jitter: a random number from 0 to 1.
    """

    def __init__(
        self,
        threads: int,
        name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._free = threads
        self._name = name
        self._clock = clock
        self._jitter = jitter
        self._loop: asyncio.AbstractEventLoop | None = None
        self._look_ups: OrderedDict[_Key, _LookUp] = OrderedDict()
        self._answers: OrderedDict[_Key, _Answer] = OrderedDict()

    async def __call__(self, host: str, port: int) -> _Addresses:
        """The addresses of a host.

        :raises socket.gaierror: there is no such name, or it cannot be looked up.
        """
        if _is_address(host):
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        key, now = (host, port), self._clock()
        known = self._answers.get(key)
        if known is not None:
            if now < known.ask_again_at:
                return known.addresses
            if now - known.received_at > STALE:
                del self._answers[key]
                known = None
        look_up = self._join(key, now)
        patience = None if known is None else max(0.0, look_up.began_at + PATIENCE - now)
        try:
            await asyncio.wait([look_up.result], timeout=patience)
        finally:
            self._leave(key, look_up)
        if known is not None and (not look_up.result.done() or _is_failure(look_up.result)):
            return known.addresses
        return look_up.result.result()

    def _join(self, key: _Key, now: float) -> _LookUp:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # those of an earlier loop end without a listener
            self._loop = loop
            self._look_ups.clear()
        look_up = self._look_ups.get(key)
        if look_up is None:
            look_up = self._look_ups[key] = _LookUp(loop.create_future(), now)
            self._start_next(loop)
        look_up.waiters += 1
        return look_up

    def _leave(self, key: _Key, look_up: _LookUp) -> None:
        """One without a waiter is not started. A running one goes on: its answer is kept."""
        look_up.waiters -= 1
        if not look_up.waiters and not look_up.started and self._look_ups.get(key) is look_up:
            del self._look_ups[key]

    def _start_next(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._free <= 0:
            return
        for key, look_up in self._look_ups.items():
            if not look_up.started:
                thread = threading.Thread(target=self._run, args=(loop, key, look_up), name=self._name, daemon=True)
                thread.start()
                look_up.started = True
                self._free -= 1
                return

    def _run(self, loop: asyncio.AbstractEventLoop, key: _Key, look_up: _LookUp) -> None:
        """In a thread of its own."""
        outcome: _Addresses | OSError
        try:
            outcome = socket.getaddrinfo(*key, type=socket.SOCK_STREAM)
        except UnicodeError:
            outcome = socket.gaierror(socket.EAI_NONAME, "not a host name")
        except OSError as error:
            outcome = error
        with contextlib.suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(self._on_done, loop, key, look_up, outcome)

    def _on_done(
        self, loop: asyncio.AbstractEventLoop, key: _Key, look_up: _LookUp, outcome: _Addresses | OSError
    ) -> None:
        self._free += 1
        if self._look_ups.get(key) is look_up:
            del self._look_ups[key]
        if isinstance(outcome, OSError):
            look_up.result.set_exception(outcome)
            look_up.result.exception()  # mark it as retrieved: there may be no waiter any more
            self._note_failure(key, look_up.result)
        else:
            look_up.result.set_result(outcome)
            now = self._clock()
            self._answers[key] = _Answer(outcome, now, now + FRESH)
            self._answers.move_to_end(key)
            if len(self._answers) > MAX_ANSWERS:
                self._answers.popitem(last=False)
        self._start_next(loop)

    def _note_failure(self, key: _Key, result: asyncio.Future[_Addresses]) -> None:
        known = self._answers.get(key)
        if known is None:
            return
        if _is_failure(result):
            delay = RETRY_DELAY * (1.0 + RETRY_SPREAD * self._jitter())
            self._answers[key] = known._replace(ask_again_at=self._clock() + delay)
        else:
            del self._answers[key]


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            return True
    return False


def _is_failure(result: asyncio.Future[_Addresses]) -> bool:
    """Whether the name server failed, instead of answering."""
    error = result.exception()
    return error is not None and getattr(error, "errno", None) not in _NO_SUCH_NAME
