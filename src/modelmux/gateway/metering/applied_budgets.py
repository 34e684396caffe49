"""Which windows of budgets a request is charged to: found once for all requests that have the same key and route.

What is found holds until the directory changes, a window ends or an adjustment does, so nothing has to be looked for on
the path of most requests. A budget that looks at more of a request (its tags, its end user) is looked for each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Final

from modelmux.accounts.adjustments import limit_of, unchanged_between
from modelmux.accounts.alerts import Watch
from modelmux.accounts.attribution import end_user_of
from modelmux.accounts.budget_windows import usable_zone_of_budget
from modelmux.accounts.budgets import Budget, Request, chain_of, depends_on_request
from modelmux.accounts.directory import Directory
from modelmux.accounts.name_pattern import matches_model
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.windows import CurrentWindows
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.metering.entry_of import Rules, row_tags

#: Pairs of key and route that are remembered.
_MANY: Final = 100_000


class BudgetWindow:
    """The window of one budget that a request is charged to.

    :param limit: in force when the request arrived, with top-ups.
    :param end: microseconds in UTC; None for a lifetime.
    :ivar watch: what tells when it reaches a threshold.
    :ivar unit, model: see ``ChargedWindow``.
    """

    __slots__ = ("budget", "end", "expects", "is_hard", "is_money", "key", "limit", "model", "unit", "watch")

    def __init__(self, key: WindowKey, budget: Budget, limit: int, end: int | None) -> None:
        self.key = key
        self.budget = budget
        self.limit = limit
        self.end = end
        self.is_hard = budget.mode == "hard"
        self.expects = budget.reserve == "expected"
        self.unit = budget.unit
        self.is_money = budget.unit == "usd"
        self.model = budget.applies_to.model
        self.watch = Watch(budget, limit, end)

    def counts(self, model: str) -> bool:
        """Whether calls of a model are charged to it. :param model: its Vertex id."""
        return self.model is None or matches_model(model, self.model)


class AppliedBudgets:
    """The windows that one request is charged to, whatever model is called.

    :ivar limits: of the windows, in force when the request arrived, with top-ups.
    :ivar expects: whether one of them holds what answers usually cost.
    :ivar since, until: microseconds in UTC between which requests of the same key and route have the same windows; 0
        if others may have others.
    """

    __slots__ = ("_of_models", "expects", "limits", "since", "until", "windows")

    def __init__(self, windows: Sequence[BudgetWindow], since: int = 0, until: float = 0) -> None:
        self.windows = tuple(windows)
        self.limits: Mapping[WindowKey, int] = {one.key: one.limit for one in windows}
        self.expects = any(one.expects for one in windows)
        self.since = since
        self.until = until
        self._of_models: dict[str, tuple[BudgetWindow, ...]] = {}

    def held_for(self, model: str) -> tuple[BudgetWindow, ...]:
        """Those of hard budgets that calls of a model are charged to. :param model: its Vertex id."""
        windows = self._of_models.get(model)
        if windows is None:
            windows = self._of_models[model] = tuple(one for one in self.windows if one.is_hard and one.counts(model))
        return windows


_NONE: Final = AppliedBudgets(())


class BudgetFinder:
    """Finds the windows of requests.

    :param directory: returns that of now. :param zone: of windows whose budget and team have none.
    """

    def __init__(self, directory: Callable[[], Directory], rules: Rules, zone: tzinfo) -> None:
        self._current = directory
        self._rules = rules
        self._zone = zone
        self._windows = CurrentWindows()
        self._directory: Directory | None = None
        self._known: dict[tuple[str, str, str | None, str], AppliedBudgets] = {}

    def find(self, exchange: Exchange, at: int) -> AppliedBudgets:
        """
        :param at: microseconds in UTC, when the request arrived: its windows are those of that moment.
        """
        directory = self._current()
        if not directory.budgets:
            return _NONE
        if directory is not self._directory:
            self._directory = directory
            self._known.clear()
        caller = exchange.inbound.caller  # as it was when the request began: its key may have another team by now
        known = (caller.owner, caller.team, caller.person, exchange.route.name if exchange.route is not None else "")
        applied = self._known.get(known)
        if applied is None or not applied.since <= at < applied.until:
            applied = self._find(exchange, directory, at)
            if applied.until:
                if len(self._known) >= _MANY:
                    self._known.clear()
                self._known[known] = applied
        return applied

    def _find(self, exchange: Exchange, directory: Directory, at: int) -> AppliedBudgets:
        inbound, decoded, rules = exchange.inbound, exchange.decoded, self._rules
        caller = inbound.caller
        key, teams = rules.keys.get(caller.owner, caller.owner), tuple(caller.team.split("/")) if caller.team else ()
        candidates = directory.budgets_of((key, caller.person, *teams))
        end_user, tags = None, {}
        depends = any(depends_on_request(budget.applies_to) for budget in candidates)
        if depends:
            end_user = end_user_of(inbound.headers, rules.end_user_headers, decoded.end_user if decoded else None)
            metadata = decoded.metadata if decoded else None
            tags = dict(row_tags(inbound.headers, metadata, caller.tags, rules.redact))
        request = Request(
            key=key,
            teams=teams,
            person=caller.person,
            end_user=None if end_user is None else rules.end_user_form(rules.redact(end_user)),
            route=exchange.route.name if exchange.route is not None else "",
            tags=tags,
        )
        windows, since, until = [], 0, float("inf")
        for budget, subject in chain_of(candidates, request):
            window = self._windows.at(budget.window, at, usable_zone_of_budget(directory, budget, self._zone))
            adjustments = directory.adjustments_of(budget.id, subject)
            limit = limit_of(budget, adjustments, subject, window, at)
            windows.append(BudgetWindow(WindowKey(budget.id, subject, window.start), budget, limit, window.end))
            begin, end = unchanged_between(adjustments, window, at)
            since, until = max(since, begin), min(until, end)
        return AppliedBudgets(windows) if depends else AppliedBudgets(windows, since, until)
