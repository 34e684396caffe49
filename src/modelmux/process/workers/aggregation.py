"""Questions that workers put to their supervisor for their clients: how are all of us?

Every other worker is asked for a report; the answer is given when all have come, or without those that keep silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from modelmux.process.workers.protocol import Answer, Ask
from modelmux.process.workers.worker_reports import Census
from modelmux.process.workers.worker_slot import Member, State
from modelmux.telemetry import names
from modelmux.telemetry.worker_metrics import Report, families

#: Seconds the other workers get to report; the one that asked waits longer, a probe commonly a second.
ANSWER_SECONDS: Final = 0.5


@dataclass(slots=True)
class _Question:
    """:param waiting: those whose report of that number is still to come."""

    asker: Member
    number: int
    metrics: bool
    waiting: dict[Member, int]
    until: float


class Inquiries:
    """The open questions, and what the supervisor itself counts."""

    def __init__(self, crew: Sequence[Member]) -> None:
        self._crew = crew
        self._census = Census()
        self._open: list[_Question] = []
        self._registry = CollectorRegistry()
        self._serving = Gauge(names.METRIC_WORKERS, "Workers that accept requests.", registry=self._registry)
        self.restarts = Counter(
            names.METRIC_WORKER_RESTARTS, "Workers that ended without the gateway's end.", registry=self._registry
        )
        ProcessCollector(registry=self._registry)

    @property
    def until(self) -> float | None:
        """When the next question has to be answered whatever has come."""
        return min((q.until for q in self._open), default=None)

    def heard(self, member: Member, report: Report) -> None:
        """A worker reported: who waited for that may have an answer now."""
        self._census.heard(member.number, report)
        for question in list(self._open):
            if question.waiting.get(member, member.answered + 1) <= member.answered:
                del question.waiting[member]
                self._answer_if_complete(question)

    def ask(self, asker: Member, ask: Ask, now: float) -> None:
        """Have every other worker report, except one that has owed a report for a while."""
        self._census.heard(asker.number, ask.report)
        waiting: dict[Member, int] = {}
        for member in self._crew:
            if member is not asker and member.state in (State.SERVING, State.LEAVING) and not member.silent:
                waiting[member] = member.tell(metrics=ask.metrics)
        question = _Question(asker, ask.number, ask.metrics, waiting, now + ANSWER_SECONDS)
        self._open.append(question)
        self._answer_if_complete(question)

    def gone(self, member: Member) -> None:
        """A worker ended: it neither asks nor reports any more, and its counts are kept."""
        self._census.gone(member.number)
        self._open = [q for q in self._open if q.asker is not member]
        for question in [q for q in self._open if member in q.waiting]:
            del question.waiting[member]
            self._answer_if_complete(question)

    def see_to(self, now: float) -> None:
        """Answer what has waited long enough."""
        for question in [q for q in self._open if q.until <= now]:
            self._answer(question)

    def _answer_if_complete(self, question: _Question) -> None:
        if not question.waiting:
            self._answer(question)

    def _answer(self, question: _Question) -> None:
        self._open.remove(question)
        serving = [m.number for m in self._crew if m.state is State.SERVING]
        self._serving.set(len(serving))
        own = families(self._registry) if question.metrics else None
        question.asker.send(Answer(question.number, self._census.whole(serving, len(self._crew), own)))
