"""What a worker's clients ask of the whole: gathered, put to the supervisor, answered in bounded time.

No sockets: putting a question is handed in, an answer is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from modelmux.process.workers.aggregation import ANSWER_SECONDS
from modelmux.telemetry.worker_metrics import Whole

#: Seconds in which questions of clients are gathered, so that any number of them costs the whole only a few.
GATHER_SECONDS: Final = 0.005
#: Seconds a client waits, by whether it wants metrics. Probes commonly give up after one, Prometheus after ten.
PATIENCE: Final = {True: ANSWER_SECONDS + 2.5, False: ANSWER_SECONDS + 0.3}
#: Questions of a kind that the supervisor may owe an answer to.
MOST_OWED: Final = 4

_Question = asyncio.Future[Whole | None]


class Asking:
    """The questions of one worker.

    :param put: asks the supervisor; given are the question's number and whether metrics are wanted. False: there is
        no supervisor.
    """

    def __init__(self, put: Callable[[int, bool], bool]) -> None:
        self._put_to_supervisor = put
        self._gathering: dict[bool, _Question] = {}
        self._owed: dict[int, tuple[bool, _Question]] = {}
        self._number = 0
        self._known: Whole | None = None
        self._over = False

    async def ask(self, metrics: bool) -> Whole | None:
        """How all workers are.

        :returns: None if that cannot be known in time. Without metrics, what was known last serves then; a scrape must
            not get that, because another worker may have shown larger sums since.
        """
        question = self._gathering.get(metrics)
        if question is None:
            loop = asyncio.get_running_loop()
            question = self._gathering[metrics] = loop.create_future()
            loop.call_later(GATHER_SECONDS, self._put, metrics, question)
        whole = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE[metrics]):
                whole = await asyncio.shield(question)
        return whole or (None if metrics else self._known)

    def answered(self, number: int, whole: Whole | None) -> None:
        """The supervisor answered the question of that number; None if it cannot."""
        full, (metrics, question) = self._is_full(self._owed[number][0]), self._owed.pop(number)
        if whole is not None and not metrics:
            self._known = whole
        question.set_result(whole)
        if full and metrics in self._gathering:
            self._put(metrics, self._gathering[metrics])

    def over(self) -> None:
        """The supervisor is gone."""
        self._over = True
        for number in list(self._owed):
            self.answered(number, None)
        for metrics, question in list(self._gathering.items()):
            self._put(metrics, question)

    def _is_full(self, metrics: bool) -> bool:
        return sum(kind is metrics for kind, _ in self._owed.values()) >= MOST_OWED

    def _put(self, metrics: bool, question: _Question) -> None:
        """Put what was gathered, or go on gathering until one of those before is answered."""
        if self._gathering.get(metrics) is not question or self._is_full(metrics):
            return
        del self._gathering[metrics]
        self._number += 1
        if self._over or not self._put_to_supervisor(self._number, metrics):
            question.set_result(None)
        else:
            self._owed[self._number] = metrics, question
