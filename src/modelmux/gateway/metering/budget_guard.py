"""Holds the worst case of every call before it is made, and settles it with the row of the request.

In the common case nothing waits: what the process has leased suffices. Otherwise the request has an exchange with the
store, which asks other processes for what they do not need, and is refused after ``RECALL_SECONDS`` if that is not
enough.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Final, NamedTuple

from msgspec.structs import replace

from modelmux.accounts.alerts import Watches
from modelmux.accounts.budget_windows import usable_zone_of_budget
from modelmux.accounts.debits import amount_of, debits_of
from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import Entry
from modelmux.accounts.lease_book import BETWEEN_SECONDS, RECALL_SECONDS, LeaseBook
from modelmux.accounts.lease_term import LeaseTerm
from modelmux.accounts.periods import day_of
from modelmux.accounts.slices import Hold, WindowKey
from modelmux.accounts.usual_output import UsualOutput
from modelmux.accounts.worst_case import tokens_that_fit, worst_case
from modelmux.catalog.prices import Price
from modelmux.claude.demand import Demand, demand_of
from modelmux.errors import BudgetSpent, NotPermitted, StoreUnavailable
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.metering.applied_budgets import BudgetFinder, BudgetWindow
from modelmux.gateway.metering.arrival import arrival_of
from modelmux.gateway.metering.budget_refusal import refusal
from modelmux.gateway.metering.clamp import clamped, limit_fields, output_that_fits
from modelmux.gateway.metering.entry_of import Rules, charge_of
from modelmux.gateway.metering.exact_prompt import exact_prompt
from modelmux.gateway.metering.held import Held
from modelmux.gateway.metering.outage_allowance import OutageAllowance
from modelmux.gateway.preparation import Prepared
from modelmux.routing.model import Deployment
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed, accounts_unavailable
from modelmux.store.ledger.writer import LedgerWriter
from modelmux.telemetry.records import AttemptRecord

_OPERATOR: Final = "the operator of this gateway"


class _Lack(NamedTuple):
    """What a call needs beyond what its process has leased.

    :param more: in addition to what is held. :param before: what the calls before it may have cost.
    """

    held: Held
    more: Mapping[WindowKey, int]
    before: Mapping[WindowKey, int]
    demand: Demand
    deployment: Deployment
    exchange: Exchange


class BudgetGuard:
    """The budgets of the requests that one configuration serves. The leases are those of the process.

    :param directory: returns that of now.
    :param zone: of windows whose budget and team have none.
    :param wait: seconds for which a request of a budget with ``on_short = "wait"`` waits.
    :param refuses_unpriced: whether budgets in money refuse a model without a price; otherwise it costs them nothing.
    :param watches: gets the windows whose thresholds may be reached.
    :param usual: how long answers are, for budgets that hold no more than that.
    :param on_underrun: gets the nano-USD that a request cost above its hold.
    :param on_short: gets the seconds for which a request waited, because its process had leased too little.
    :param open_journal: is called before anything is held, and raises what keeps notes from being written: what a
        process without a journal had leased counts as spent when it is killed.
    :param term: of the leases; None if it never ends.
    :param allowance: what may be held beyond leases while the store does not answer; None for nothing.
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
        on_short: Callable[[float], None] = lambda _: None,
        open_journal: Callable[[], object] = lambda: None,
        term: LeaseTerm | None = None,
        allowance: OutageAllowance | None = None,
    ) -> None:
        self._book = book
        self._writer = writer
        self._directory = directory
        self._rules = rules
        self._runtime = runtime
        self._zone = zone
        self._finder = BudgetFinder(directory, rules, zone)
        self._wait = wait
        self._refuses_unpriced = refuses_unpriced
        self._watches = watches or Watches()
        self._usual = usual or UsualOutput()
        self._on_underrun = on_underrun
        self._on_short = on_short
        self._open_journal = open_journal
        self._term = term or LeaseTerm(math.inf)
        self._allowance = allowance if allowance is not None and allowance.is_open else None

    async def hold(
        self, exchange: Exchange, prepared: Prepared, deployment: Deployment
    ) -> tuple[Held | None, Prepared]:
        """Hold what the next call may cost, beside what the calls before it have cost, or may have.

        :returns: what is held, None if no budget applies; and the request that it is held for, which has fewer tokens
            of output if a budget asks for that.
        :raises BudgetSpent: it does not fit. :raises NotPermitted: a hard budget in money applies to a model without a
            price. :raises StoreUnavailable: the process has leased too little, and there is no answer.
        """
        last = exchange.attempts[-1] if exchange.attempts else None
        held: Held | None = None if last is None else last.held
        if held is None:
            applied = self._finder.find(exchange, arrival_of(exchange, self._runtime))
            if not applied.windows:
                return None, prepared
            held = Held(applied, Hold({}), exchange.inbound.caller.team)
        before = {} if last is None else held.billed(self._cost(last, held, exchange))
        worst: dict[WindowKey, int] = {}
        held.demand = None
        hard = held.applied.held_for(deployment.card.id)
        if hard:
            self._open_journal()
            worst, prepared = await self._hold_call(exchange, prepared, deployment, held, hard, before)
        held.before, held.worst = before, worst
        held.note_amounts()
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
        """What the call costs at most, which is held now, and the request; see ``hold``. :param windows: hard ones."""
        most_prompt: int | None = None
        while True:
            if exchange.is_costly:
                demand = await exchange.services.large_requests.run(demand_of, prepared.encoded, deployment.card)
            else:
                demand = demand_of(prepared.encoded, deployment.card)
            if most_prompt is not None:
                demand = replace(demand, prompt=min(demand.prompt, most_prompt))
            worst, amounts = self._worst(windows, demand, deployment, exchange), held.hold.amounts
            more = {
                key: missing
                for key, amount in worst.items()
                if (missing := amount + before.get(key, 0) - amounts.get(key, 0)) > 0
            }
            try:
                if not self._try(held, more):
                    await self._obtain(_Lack(held, more, before, demand, deployment, exchange))
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
        costs = dict(amounts) if entry is None else debits_of(entry, held.charged, self._rules.current_prices())
        for one in held.applied.windows:
            if costs.get(one.key):
                self._watches.charged(one.key, one.watch)
        self._book.settle(held.hold, costs, self._runtime.clock())
        if entry is None:
            return None
        if (underrun := held.underrun(costs)) > 0:
            self._on_underrun(underrun)
        if held.applied.expects:
            for attempt in entry.attempts:
                if attempt.result == "ok" and attempt.counts is not None and attempt.model is not None:
                    self._usual.add(entry.key, attempt.model, attempt.counts.output)
        return entry.charged(tuple([pair for pair in costs.items() if pair[1]]), held.money)

    def _cost(self, call: AttemptRecord, held: Held, exchange: Exchange) -> Mapping[WindowKey, int]:
        """What the last call costs, of each window that it is held of: what its row has; all that it may, where nothing
        was reported. One that fails once it has begun its reply is charged for its prompt, whatever the error."""
        is_known = call.usage is not None and not (call.body is not None and exchange.is_costly)  # else it takes long
        if not is_known:
            return held.worst if call.may_be_billed or call.usage is not None else {}
        charged = charge_of(call, arrival_of(exchange, self._runtime), self._rules.current_prices())
        amounts = {one.key: amount_of(charged, one.unit) for one in held.windows if one.key in held.worst}
        return {key: held.worst[key] if amount is None else amount for key, amount in amounts.items()}

    def _worst(
        self, windows: Sequence[BudgetWindow], demand: Demand, deployment: Deployment, exchange: Exchange
    ) -> dict[WindowKey, int]:
        """What the call costs at most. :param windows: hard ones."""
        price = self._price(deployment, exchange)
        owner, model = exchange.inbound.caller.owner, deployment.card.id
        amounts = {}
        for one in windows:
            its = demand
            if one.expects:
                its = self._usual.expected(self._rules.keys.get(owner, owner), model, demand)
            amount = worst_case(its, one.unit, price, deployment.location)
            if amount is None and self._refuses_unpriced:
                raise NotPermitted(
                    f"The price of {deployment.card.id} is unknown, and the budget {one.budget.name!r} limits what "
                    "may be spent.",
                    code="price_unknown",
                    hint="The operator can set it in [accounts.prices], or set accounts.unknown_price.",
                )
            amounts[one.key] = amount or 0
        return amounts

    async def _obtain(self, lack: _Lack) -> None:
        """Hold more than the process has leased: with an exchange, and in an outage beyond its leases, if that is
        allowed. :raises BudgetSpent: :raises StoreUnavailable:"""
        allowance, clock = self._allowance, self._runtime.clock
        if allowance is None:
            await self._extend(lack)
            return
        held, more, outage, failure = lack.held, lack.more, allowance.outage, None
        if outage.asks(clock()):
            try:
                await self._extend(lack, outage.waits)
            except TimeoutError:
                outage.failed(clock())
            except StoreUnavailable as error:
                failure = error
                outage.failed(clock())
            else:
                return
        parts = {one.key: allowance.part for one in held.windows if one.is_money}
        beyond = self._book.extend_beyond(
            held.hold, more, held.applied.limits, parts, clock(), has_ended=self._has_ended
        )
        if not isinstance(beyond, str):
            allowance.used(beyond)
            return
        if failure is None and (
            beyond == "refused" or self._waits(held, more)
        ):  # as without an allowance: it may be slow
            try:
                await self._extend(lack)
            except StoreUnavailable as error:
                failure = error
                outage.failed(clock())
            else:
                return
        if beyond == "spent" or failure is None:
            raise self._refusal(lack)
        raise failure

    async def _extend(self, lack: _Lack, patience: float | None = None) -> None:
        """Hold more than the process has leased.

        :param patience: seconds for which it waits for each answer; None if that is for the store to say.
        :raises BudgetSpent: :raises StoreUnavailable: :raises TimeoutError: an answer took longer.
        """
        held, more, clock = lack.held, lack.more, self._runtime.clock
        if self._has_ended:
            await self._renew()
            if self._try(held, more):
                return
        since = clock()
        self._book.wait(more)
        try:
            while True:
                async with asyncio.timeout(patience):  # the exchange goes on
                    await self._exchange()
                if self._has_ended:
                    raise _unavailable("its answer came late")
                if self._try(held, more):
                    return
                most = self._wait if self._waits(held, more) else None
                what = self._book.after_exchange(more, since, clock(), most)
                if what == "late":
                    raise _unavailable("its answers come slowly")
                if what == "refuse":
                    break
                await self._runtime.sleep(BETWEEN_SECONDS)
        finally:
            self._book.wait(more, -1)
            self._on_short(clock() - since)
        raise self._refusal(lack)

    def _waits(self, held: Held, more: Mapping[WindowKey, int]) -> bool:
        """Whether the budgets that are short ask for that: one of them does, and none of them refuses."""
        short = {key for key, of in self._book.missing(more).items() if sum(of) < more[key]}
        asked = {one.budget.on_short for one in held.windows if one.key in short}
        return "wait" in asked and "refuse" not in asked

    def _refusal(self, lack: _Lack) -> BudgetSpent:
        """Names the window in which the fewest tokens fit."""
        held, more, before, demand, deployment, exchange = lack
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

    @property
    def _has_ended(self) -> bool:
        """Whether the leases of this process may be ended by others at any moment."""
        return self._term.has_ended(self._runtime.clock())

    def _try(self, held: Held, more: Mapping[WindowKey, int]) -> bool:
        if more and self._has_ended:
            return False
        return self._book.extend(held.hold, more, held.applied.limits, self._runtime.clock())

    async def _renew(self) -> None:
        """The process may have stood still, and the store be well. :raises StoreUnavailable:"""
        with contextlib.suppress(TimeoutError):  # the exchange goes on
            async with asyncio.timeout(RECALL_SECONDS):
                await self._exchange()
        if self._has_ended:
            raise _unavailable("the leases of this process could not be renewed")

    async def _exchange(self) -> None:
        try:
            await self._writer.exchange()
        except StoreFailed as error:
            raise _unavailable(str(error)) from None
        except TimeoutError:
            raise _unavailable("it does not answer") from None

    def _price(self, deployment: Deployment, exchange: Exchange) -> Price | None:
        """That of the day on which the request arrived, as its row has it."""
        day = day_of(arrival_of(exchange, self._runtime))
        return self._rules.current_prices().price(deployment.card.id, day)


def _unavailable(detail: str) -> StoreUnavailable:
    return accounts_unavailable("The budgets of this request cannot be read at the moment.", detail)
