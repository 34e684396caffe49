"""Questions of the process of the admin API to workers, over the supervisor: who is asked, who has answered in time.

A worker answers from its event loop, between two other things; one that hangs leaves its part of the answer out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from modelmux.accounts.live_requests import LiveAnswer, LiveQuestion, decode_answer, decode_question, encode
from modelmux.admin.backend import Answers
from modelmux.process.workers.protocol import Answer, AskWorkers, Question, WorkerAnswer
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, error_location

#: Seconds for all answers to a question.
TIMEOUT: Final = 1.0
#: Questions under way at once; others wait. Each takes time of every worker.
MOST: Final = 4


class _Open:
    """A question under way."""

    def __init__(self, workers: Iterable[int]) -> None:
        self.missing = set(workers)
        self.answers: dict[int, LiveAnswer] = {}
        self.is_complete = asyncio.Event()
        if not self.missing:
            self.is_complete.set()


class WorkerQuestions:
    """
    :param send: to the supervisor.
    :param workers: returns the numbers of those that run.
    """

    def __init__(
        self, send: Callable[[AskWorkers], None], workers: Callable[[], Iterable[int]], timeout: float = TIMEOUT
    ) -> None:
        self._send = send
        self._workers = workers
        self._timeout = timeout
        self._open: dict[int, _Open] = {}
        self._last = 0
        self._turns = asyncio.Semaphore(MOST)

    async def ask(self, question: LiveQuestion, worker: int | None = None) -> Answers:
        """See ``Backend``."""
        async with self._turns:
            running = set(self._workers())
            chosen = running if worker is None else running & {worker}
            self._last += 1
            number, pending = self._last, _Open(chosen)
            self._open[number] = pending
            try:
                if chosen:
                    self._send(AskWorkers(number, worker or 0, encode(question)))
                async with asyncio.timeout(self._timeout):
                    await pending.is_complete.wait()
            except TimeoutError:
                pass
            finally:
                del self._open[number]
            return Answers(pending.answers, sorted(pending.missing))

    def on_answer(self, message: WorkerAnswer) -> None:
        """One that comes too late changes nothing, and one that cannot be read is none."""
        pending = self._open.get(message.number)
        if pending is None or message.worker not in pending.missing:
            return
        with contextlib.suppress(msgspec.DecodeError):
            pending.answers[message.worker] = decode_answer(message.body)
            pending.missing.discard(message.worker)
        if not pending.missing:
            pending.is_complete.set()


def answered(question: Question, answer: Callable[[LiveQuestion], LiveAnswer], log: Log) -> Answer | None:
    """The answer of a worker; None if it fails, which is for the log: the worker serves on."""
    try:
        return Answer(question.number, encode(answer(decode_question(question.body))))
    except Exception as error:  # noqa: BLE001 - it must not end the link to the supervisor, and with it the worker
        log.error(names.EVENT_INTERNAL_ERROR, traceback=error_location(error))
        return None
