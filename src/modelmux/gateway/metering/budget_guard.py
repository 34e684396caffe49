"""Holds the worst case of every call before it is made, and settles it with the row of the request.

In the common case nothing waits: what the process has leased suffices. Otherwise the request has an exchange with the
store, which asks other processes for what they do not need, and is refused after ``RECALL_SECONDS`` if that is not
enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Final

from msgspec.structs import replace

from modelmux.accounts.adjustments import limit_of
from modelmux.accounts.alerts import Watches
from modelmux.accounts.attribution import end_user_of
from modelmux.accounts.budget_windows import usable_zone_of_budget
from modelmux.accounts.budgets import Request, chain_of, depends_on_request
from modelmux.accounts.debits import debits_of
from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import Entry
from modelmux.accounts.lease_book import LeaseBook
from modelmux.accounts.periods import day_of
from modelmux.accounts.slices import Hold, WindowKey
from modelmux.accounts.usual_output import UsualOutput
from modelmux.accounts.windows import CurrentWindows
from modelmux.accounts.worst_case import tokens_that_fit, worst_case
from modelmux.catalog.prices import Price
from modelmux.claude.demand import Demand, demand_of
from modelmux.errors import BudgetSpent, NotPermitted, StoreUnavailable
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.metering.budget_refusal import refusal
from modelmux.gateway.metering.clamp import clamped, limit_fields, output_that_fits
from modelmux.gateway.metering.entry_of import Rules, row_tags
from modelmux.gateway.metering.exact_prompt import exact_prompt
from modelmux.gateway.metering.held import BudgetWindow, Held
from modelmux.gateway.preparation import Prepared
from modelmux.routing.model import Deployment
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.writer import LedgerWriter

#: Seconds for which a request waits for what other processes have leased and do not need.
RECALL_SECONDS: Final = 1.0
#: Seconds between two exchanges of a request that waits.
_BETWEEN: Final = 0.05
_MICRO: Final = 1_000_000
_OPERATOR: Final = "the operator of this gateway"


class BudgetGuard:
    """The budgets of the requests that one configuration serves. The leases are those of the process.

    :param directory: returns that of now.
    :param zone: of windows whose budget and team have none.
    :param wait: seconds for which a request of a budget with ``on_short = "wait"`` waits.
    :param refuses_unpriced: whether budgets in money refuse a model without a price; otherwise it costs them nothing.
    :param watches: gets the windows whose thresholds may be reached.
    :param usual: how long answers are, for budgets that hold no more than that.
    :param on_underrun: gets the nano-USD that a request cost above its hold.
    :param open_journal: is called before anything is held, and raises what keeps notes from being written: what a
        process without a journal had leased counts as spent when it is killed.
    """

    def __init__(
        self,
        book: LeaseBook,
        writer: LedgerWriter,
        directory: Callable[[], Directory],
        rules: Rules,
        runtime: Runtime,
        *,
        zone: tzinfo,
        wait: float,
        refuses_unpriced: bool = True,
        watches: Watches | None = None,
        usual: UsualOutput | None = None,
        on_underrun: Callable[[int], None] = lambda _: None,
        open_journal: Callable[[], object] = lambda: None,
    ) -> None:
        self._book = book
        self._writer = writer
        self._directory = directory
        self._rules = rules
        self._runtime = runtime
        self._zone = zone
        self._current = CurrentWindows()
        self._wait = wait
        self._refuses_unpriced = refuses_unpriced
        self._watches = watches or Watches()
        self._usual = usual or UsualOutput()
        self._on_underrun = on_underrun
        self._open_journal = open_journal

    async def hold(
        self, exchange: Exchange, prepared: Prepared, deployment: Deployment
    ) -> tuple[Held | None, Prepared]:
        """Hold what the next call may cost, beside what the calls before it may have cost.

        :returns: what is held, None if no budget applies; and the request that it is held for, which has fewer tokens
            of output if a budget asks for that.
        :raises BudgetSpent: it does not fit. :raises NotPermitted: a hard budget in money applies to a model without a
            price. :raises StoreUnavailable: the process has leased too little, and there is no answer.
        """
        last = exchange.attempts[-1] if exchange.attempts else None
        held: Held | None = None if last is None else last.held
        if held is None:
            directory = self._directory()
            if not directory.budgets:
                return None, prepared
            held = Held(self._windows(exchange, directory), Hold({}), exchange.inbound.caller.team)
        if not held.windows:
            return None, prepared
        windows = [one for one in held.windows if one.counts(deployment.card.id)]
        before = held.billed(last_too=last is not None and last.may_be_billed)
        worst: dict[WindowKey, int] = {}
        held.demand = None
        if any(one.is_hard for one in windows):
            self._open_journal()
            worst, prepared = await self._hold_call(exchange, prepared, deployment, held, windows, before)
        held.before, held.worst = before, worst
        return held, prepared

    async def _hold_call(
        self,
        exchange: Exchange,
        prepared: Prepared,
        deployment: Deployment,
        held: Held,
        windows: Sequence[BudgetWindow],
        before: Mapping[WindowKey, int],
    ) -> tuple[dict[WindowKey, int], Prepared]:
        """What the call costs at most, which is held now, and the request; see ``hold``."""
        most_prompt: int | None = None
        while True:
            if exchange.is_costly:
                demand = await exchange.services.large_requests.run(demand_of, prepared.encoded, deployment.card)
            else:
                demand = demand_of(prepared.encoded, deployment.card)
            if most_prompt is not None:
                demand = replace(demand, prompt=min(demand.prompt, most_prompt))
            worst, amounts = self._worst(windows, demand, deployment, exchange), held.hold.amounts
            more = {key: amount + before.get(key, 0) - amounts.get(key, 0) for key, amount in worst.items()}
            more = {key: amount for key, amount in more.items() if amount > 0}
            try:
                await self._extend(held, more, before, demand, deployment, exchange)
            except BudgetSpent:
                short = self._book.missing(more)
                left = {key: amounts.get(key, 0) - before.get(key, 0) + sum(of) for key, of in short.items()}
                without = self._worst(windows, replace(demand, prompt=0), deployment, exchange)
                if most_prompt is None and not demand.searches and all(without[key] <= left[key] for key in left):
                    most_prompt = await exact_prompt(exchange, prepared, deployment)
                    if most_prompt is not None and most_prompt < demand.prompt:
                        continue
                price = self._price(deployment, exchange)
                most = output_that_fits(windows, left, demand, price, deployment.location)
                lowered = None if most is None else await clamped(exchange, prepared, most)
                if lowered is None:
                    for one in windows:
                        if one.key in short:
                            self._watches.refused(one.key, one.watch)
                    raise
                prepared = lowered
            else:
                held.demand = demand
                return worst, prepared

    def settle(self, held: Held, entry: Entry | None) -> Entry | None:
        """Release a hold, and spend what the request cost.

        :param entry: None if its row is lost: then it cost what it held.
        :returns: the row with what it spent of which windows.
        """
        amounts = held.hold.amounts
        costs = dict(amounts) if entry is None else debits_of(entry, held.charged(), self._rules.prices)
        hold = held.money
        for one in held.windows:
            if costs.get(one.key):
                self._watches.charged(one.key, one.watch)
        self._book.settle(held.hold, costs, self._runtime.clock())
        if entry is None:
            return None
        if (underrun := held.underrun(costs)) > 0:
            self._on_underrun(underrun)
        if any(one.budget.reserve == "expected" for one in held.windows):
            for attempt in entry.attempts:
                if attempt.result == "ok" and attempt.counts is not None and attempt.model is not None:
                    self._usual.add(entry.key, attempt.model, attempt.counts.output)
        return entry.charged(tuple((key, cost) for key, cost in costs.items() if cost), hold)

    def _windows(self, exchange: Exchange, directory: Directory) -> list[BudgetWindow]:
        """Those that a request is charged to, if their model is called: the ones of the moment at which it arrived."""
        inbound, decoded, rules = exchange.inbound, exchange.decoded, self._rules
        caller = inbound.caller
        key, teams = rules.keys.get(caller.owner, caller.owner), tuple(caller.team.split("/")) if caller.team else ()
        candidates = directory.budgets_of((key, caller.person, *teams))
        end_user, tags = None, {}
        if any(depends_on_request(budget.applies_to) for budget in candidates):
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
        now = self._arrived_at(exchange)
        windows = []
        for budget, subject in chain_of(candidates, request):
            window = self._current.at(budget.window, now, usable_zone_of_budget(directory, budget, self._zone))
            limit = limit_of(budget, directory.adjustments_of(budget.id, subject), subject, window, now)
            windows.append(BudgetWindow(WindowKey(budget.id, subject, window.start), budget, limit, window.end))
        return windows

    def _worst(
        self, windows: Sequence[BudgetWindow], demand: Demand, deployment: Deployment, exchange: Exchange
    ) -> dict[WindowKey, int]:
        """Of the hard ones."""
        price = self._price(deployment, exchange)
        owner, model = exchange.inbound.caller.owner, deployment.card.id
        amounts = {}
        for one in windows:
            if one.is_hard:
                its = demand
                if one.budget.reserve == "expected":
                    its = self._usual.expected(self._rules.keys.get(owner, owner), model, demand)
                amount = worst_case(its, one.budget.unit, price, deployment.location)
                if amount is None and self._refuses_unpriced:
                    raise NotPermitted(
                        f"The price of {deployment.card.id} is unknown, and the budget {one.budget.name!r} limits what "
                        "may be spent.",
                        code="price_unknown",
                        hint="The operator can set it in [accounts.prices], or set accounts.unknown_price.",
                    )
                amounts[one.key] = amount or 0
        return amounts

    async def _extend(
        self,
        held: Held,
        more: Mapping[WindowKey, int],
        before: Mapping[WindowKey, int],
        demand: Demand,
        deployment: Deployment,
        exchange: Exchange,
    ) -> None:
        """:raises BudgetSpent: :raises StoreUnavailable:"""
        limits = {one.key: one.limit for one in held.windows}
        if self._try(held, more, limits):
            return
        clock = self._runtime.clock
        waits = any(one.budget.on_short == "wait" for one in held.windows if one.key in more)
        until = clock() + (max(self._wait, RECALL_SECONDS) if waits else RECALL_SECONDS)
        self._book.wait(more)
        try:
            while True:
                await self._exchange()
                if self._try(held, more, limits):
                    return
                if clock() >= until or not (waits or self._book.may_come(more)):
                    break
                await self._runtime.sleep(_BETWEEN)
        finally:
            self._book.wait(more, -1)
        raise self._refusal(held, more, before, demand, deployment, exchange)

    def _refusal(
        self,
        held: Held,
        more: Mapping[WindowKey, int],
        before: Mapping[WindowKey, int],
        demand: Demand,
        deployment: Deployment,
        exchange: Exchange,
    ) -> BudgetSpent:
        """Names the window in which the fewest tokens fit."""
        price, location = self._price(deployment, exchange), deployment.location
        short = self._book.missing(more) or dict.fromkeys(more, (0, 0))
        tightest: tuple[int, float, BudgetWindow] | None = None
        for one in held.windows:
            if one.key not in short:
                continue
            left = sum(short[one.key])
            room = max(left, 0) + held.hold.amounts.get(one.key, 0) - before.get(one.key, 0)
            fits = tokens_that_fit(demand, one.budget.unit, price, location, room) or 0
            if tightest is None or (fits, left / more[one.key]) < tightest[:2]:
                tightest = fits, left / more[one.key], one
        assert tightest is not None, "something is missing"
        fits, _, window = tightest
        directory = self._directory()
        teams = tuple(held.team.split("/")) if held.team else ()
        contacts = (directory.teams[team].contact for team in reversed(teams) if team in directory.teams)
        return refusal(
            window,
            sum(short[window.key]),
            more[window.key],
            demand,
            fits,
            field=limit_fields(exchange)[0],
            zone=usable_zone_of_budget(directory, window.budget, self._zone),
            contact=next(filter(None, contacts), _OPERATOR),
            now=self._runtime.now(),
        )

    def _try(self, held: Held, more: Mapping[WindowKey, int], limits: Mapping[WindowKey, int]) -> bool:
        hold = self._book.reserve(more, limits, self._runtime.clock())
        if hold is None:
            return False
        for key, amount in hold.amounts.items():
            held.hold.amounts[key] = held.hold.amounts.get(key, 0) + amount
        return True

    async def _exchange(self) -> None:
        try:
            await self._writer.exchange()
        except StoreFailed as error:
            failure = StoreUnavailable(
                "The budgets of this request cannot be read at the moment.",
                code="accounts_unavailable", hint="Try again in a moment.", detail=str(error),
            )  # fmt: skip
            failure.retry_after = 2.0
            raise failure from None

    def _arrived_at(self, exchange: Exchange) -> int:
        """Microseconds in UTC."""
        return round((self._runtime.now() - self._runtime.clock() + exchange.inbound.received_at) * _MICRO)

    def _price(self, deployment: Deployment, exchange: Exchange) -> Price | None:
        """That of the day on which the request arrived, as its row has it."""
        day = day_of(self._arrived_at(exchange))
        return self._rules.prices.price(deployment.card.id, day)
