"""What the supervisor knows of its workers' counters: the last report of each, and what those left that ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from modelmux.telemetry.worker_metrics import Family, Report, Whole, added_counts, kept, merged


class Census:
    """The reports of a gateway's workers, by their numbers."""

    def __init__(self) -> None:
        self._last: dict[int, Report] = {}
        self._past_counts: dict[str, int] = {}
        self._past: list[Family] = []

    def heard(self, number: int, report: Report) -> None:
        """A report without metrics leaves those of the one before."""
        before = self._last.get(number)
        if report.families is None and before is not None:
            report.families = before.families
        self._last[number] = report

    def gone(self, number: int) -> None:
        """A worker ended: what it counted is kept, what it was is forgotten."""
        last = self._last.pop(number, None)
        if last is not None:
            self._past_counts = added_counts([self._past_counts, last.counts])
            self._past = kept(self._past, last.families or [])

    def whole(self, serving: Iterable[int], of: int, own: list[Family] | None) -> Whole:
        """All workers together.

        :param serving: those that accept requests: what keeps one of them from being ready keeps the whole.
        :param own: the supervisor's metrics; None if metrics are not wanted.
        """
        accepting = list(serving)
        troubles = (self._last[n].problem for n in accepting if n in self._last)
        shown = None
        if own is not None:
            reported = {str(n): r.families or [] for n, r in sorted(self._last.items())}
            shown = merged(self._past, {**reported, "supervisor": own})
        return Whole(
            counts=added_counts([self._past_counts, *(r.counts for r in self._last.values())]),
            problem=next((problem for problem in troubles if problem), None),
            serving=len(accepting),
            of=of,
            families=shown,
        )
