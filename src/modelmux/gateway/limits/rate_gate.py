"""The admission step that keeps requests within the limits of their key, person, teams and model: all or none.

Nothing waits here: a request is admitted or refused in one step of the event loop, in microseconds, so a key that is at
its limit delays no other one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from modelmux.accounts.access import contact_of
from modelmux.accounts.attribution import end_user_of
from modelmux.accounts.budgets import Request, depends_on_request
from modelmux.accounts.directory import Directory
from modelmux.accounts.limits import AppliedLimit, LimitUse, limits_of, limits_of_key
from modelmux.accounts.rate_limits import fits, seconds_until, tick_at
from modelmux.accounts.rates import Rate
from modelmux.accounts.records import Key, Person, Team
from modelmux.claude.token_estimate import BYTES_PER_TOKEN
from modelmux.dialects.base import Caller, Decoded, Inbound
from modelmux.errors import CallerRateLimited
from modelmux.gateway.limits.admitted import TOKENS, Admitted, Expected, Gauge, tightest
from modelmux.gateway.limits.refusal import hint_of, message_of
from modelmux.gateway.limits.usual_output import UsualOutput
from modelmux.gateway.metering.entry_of import row_tags
from modelmux.routing.model import Route
from modelmux.runtime import Runtime
from modelmux.store.counters.base import Counter, Counters

#: Sets of limits that are remembered.
_MANY: Final = 100_000
#: Seconds after which a client may try again that has too many requests at once.
_RETRY_CONCURRENT: Final = 1.0
_OPERATOR: Final = "the operator of this gateway"


class RateGate:
    """A ``Gate``; one for each configuration.

    :param directory: returns that of now. :param outputs: how long replies to keys usually are.
    :param end_user_headers: see ``Rules``.
    """

    def __init__(
        self,
        counters: Counters,
        outputs: UsualOutput,
        directory: Callable[[], Directory],
        runtime: Runtime,
        end_user_headers: Sequence[bytes] = (),
    ) -> None:
        self._counters = counters
        self._outputs = outputs
        self._current = directory
        self._clock = runtime.clock
        self._now = runtime.now
        self._end_user_headers = end_user_headers
        self._directory: Directory | None = None
        self._known: dict[tuple[str, str, str | None, str, str], tuple[Gauge, ...]] = {}
        self._measures: dict[tuple[str, str, str | None], bool] = {}
        self._depends = False

    async def enter(self, inbound: Inbound, decoded: Decoded, route: Route) -> Admitted | None:
        """
        :returns: what the request has taken; None if nothing limits it.
        :raises CallerRateLimited:
        """
        directory = self._latest()
        if self._depends:
            gauges = self._gauges(directory, inbound, decoded, route)
        else:
            caller = inbound.caller  # as it was when the request began: its key may have another team by now
            known = (caller.owner, caller.team, caller.person, route.card.id, route.name)
            cached = self._known.get(known)
            if cached is None:
                if len(self._known) >= _MANY:
                    self._known.clear()
                cached = self._known[known] = self._gauges(directory, inbound, decoded, route)
            gauges = cached
        return self._admit(gauges, inbound, decoded, route) if gauges else None

    async def leave(self, inbound: Inbound, entered: Admitted | None) -> None:
        del inbound
        if entered is not None:
            entered.leave()
            if not entered.is_settled:  # another gate has refused it, or its client has left the queue
                entered.give_back(self._counters, tick_at(self._clock()))

    def check(self, inbound: Inbound) -> None:
        """See ``Limits``: the limits that apply whatever is asked for, of its key, person and teams."""
        request = _request_of(inbound.caller)
        gauges = [
            gauge
            for applied in limits_of(self._latest(), request)
            if applied.holder != "limit"
            for gauge in _gauges_of(applied)
            if gauge.rate not in TOKENS
        ]
        self._looked_at(gauges, _NOTHING, tick_at(self._clock()), inbound)

    def measures(self, caller: Caller) -> bool:
        """Whether tokens of a caller may be limited, so that it matters how long a prompt is."""
        directory = self._latest()
        known = (caller.owner, caller.team, caller.person)
        measures = self._measures.get(known)
        if measures is None:
            if len(self._measures) >= _MANY:
                self._measures.clear()
            measures = self._measures[known] = _has_token_limits(directory, caller)
        return measures

    def admitted(self, entered: Sequence[object]) -> Admitted | None:
        """See ``Limits``."""
        admitted = next((one for one in entered if isinstance(one, Admitted)), None)
        if admitted is not None:
            admitted.is_settled = True
        return admitted

    def uses(self, key: Key) -> list[LimitUse]:
        """What counts towards the limits of a key now, for its holder. Nothing is counted by this."""
        tick, uses = tick_at(self._clock()), []
        for applied in limits_of_key(self._current(), key):
            for rate, limit in applied.rates.items():
                counter = self._counters.counter(name_of(applied, rate), tick)
                used = counter.running if rate == "concurrent" else counter.used(tick)
                uses.append(LimitUse(applied, rate, limit // counter.share or 1, max(0, used)))
        return uses

    def _latest(self) -> Directory:
        """The directory of now; what is remembered is of that one."""
        directory = self._current()
        if directory is not self._directory:
            self._forget(directory)
        return directory

    def _forget(self, directory: Directory) -> None:
        self._directory = directory
        self._known.clear()
        self._measures.clear()
        active = (limit for limit in directory.limits.values() if limit.status == "active")
        self._depends = any(depends_on_request(limit.applies_to) for limit in active)

    def _gauges(self, directory: Directory, inbound: Inbound, decoded: Decoded, route: Route) -> tuple[Gauge, ...]:
        """The limits that apply to a request."""
        caller = inbound.caller
        request = replace(_request_of(caller), model=route.card.id, route=route.name)
        if self._depends:
            request = replace(
                request,
                end_user=end_user_of(inbound.headers, self._end_user_headers, decoded.end_user),
                tags=dict(row_tags(inbound.headers, decoded.metadata, caller.tags, str)),
            )
        return tuple(gauge for applied in limits_of(directory, request) for gauge in _gauges_of(applied))

    def _admit(self, gauges: Sequence[Gauge], inbound: Inbound, decoded: Decoded, route: Route) -> Admitted:
        """:raises CallerRateLimited:"""
        tick = tick_at(self._clock())
        expected = _NOTHING
        for gauge in gauges:
            if gauge.rate in TOKENS:
                expected = self._expected(inbound, decoded, route)
                break
        taken = self._looked_at(gauges, expected, tick, inbound)
        for gauge, counter, _ in taken:
            if gauge.rate == "concurrent":
                counter.enter()
            else:
                counter.add(tick, expected.needed(gauge.rate))
        return Admitted(tick, expected, taken)

    def _looked_at(
        self, gauges: Sequence[Gauge], expected: Expected, tick: int, inbound: Inbound
    ) -> Sequence[tuple[Gauge, Counter, int]]:
        """Limits with their counters and what counts. :raises CallerRateLimited: it does not fit in one of them."""
        counters, taken, is_above = self._counters, [], False
        for gauge in gauges:
            rate = gauge.rate
            counter = gauge.counter(counters, tick)
            used = counter.running if rate == "concurrent" else counter.used(tick)
            needed, limit = expected.needed(rate), gauge.limit // counter.share or 1
            if used + needed > limit and not fits(used, needed, limit):
                is_above = True
            taken.append((gauge, counter, used))
        if is_above:
            raise self._refusal(taken, expected, tick, inbound)
        return taken

    def _expected(self, inbound: Inbound, decoded: Decoded, route: Route) -> Expected:
        card = route.card
        prompt = int(decoded.prompt_bytes / BYTES_PER_TOKEN[card.tokenizer])
        output = min(_max_tokens(decoded) or card.max_output, self._outputs.of(inbound.caller.owner))
        return Expected(min(prompt, card.context_window), output)

    def _refusal(
        self, taken: Sequence[tuple[Gauge, Counter, int]], expected: Expected, tick: int, inbound: Inbound
    ) -> CallerRateLimited:
        """Of the limits that are reached, it names the one that has room last."""
        clock, refused = self._clock(), []
        for gauge, counter, used in taken:
            needed, limit = expected.needed(gauge.rate), gauge.limit // counter.share or 1
            if fits(used, needed, limit):
                continue
            if gauge.rate == "concurrent":
                seconds = _RETRY_CONCURRENT
            else:
                room = 0 if needed > limit else limit - needed
                seconds = seconds_until(counter.ticks_until(tick, room), clock)
            refused.append((seconds, gauge, limit, used, needed))
        seconds, gauge, limit, used, needed = max(refused, key=lambda one: one[0])
        error = CallerRateLimited(
            message_of(gauge.applied, gauge.rate, limit, used, needed),
            retry_after=seconds,
            rate=gauge.rate,
            hint=hint_of(gauge.rate, seconds, self._contact(inbound.caller)),
        )
        error.limits = self._states(taken, tick, clock)
        return error

    def _states(self, taken: Sequence[tuple[Gauge, Counter, int]], tick: int, clock: float) -> Sequence[Any]:
        rates = [(gauge, counter, used) for gauge, counter, used in taken if gauge.rate != "concurrent"]
        ticks = max((counter.ticks_until(tick, 0) for _, counter, _ in rates), default=0)
        left = [(gauge.rate, gauge.limit // counter.share or 1, used) for gauge, counter, used in rates]
        return tightest(left, seconds_until(ticks, clock), self._now())

    def _contact(self, caller: Caller) -> str:
        directory = self._current()
        key = directory.keys.get(caller.owner)
        return _OPERATOR if key is None else contact_of(directory, key)


_NOTHING: Final = Expected()


def name_of(applied: AppliedLimit, rate: Rate) -> str:
    """Of the counter of a limit."""
    return f"{applied.id}\0{rate}\0{applied.subject}"


def _request_of(caller: Caller) -> Request:
    """Whatever it asks for."""
    teams = tuple(caller.team.split("/")) if caller.team else ()
    return Request(key=caller.owner, teams=teams, person=caller.person)


def _gauges_of(applied: AppliedLimit) -> list[Gauge]:
    return [Gauge(rate, limit, name_of(applied, rate), applied) for rate, limit in applied.rates.items()]


def _max_tokens(decoded: Decoded) -> int:
    """0 if the client does not limit the reply."""
    if decoded.request is not None:
        return decoded.request.body.max_tokens
    value = decoded.native.content.get("max_tokens") if decoded.native is not None else None
    return value if isinstance(value, int) and value > 0 else 0


def _has_token_limits(directory: Directory, caller: Caller) -> bool:
    """Whether tokens of a caller may be limited."""
    holders: list[Key | Team | Person | None] = [
        directory.keys.get(caller.owner),
        *(directory.teams.get(team) for team in caller.team.split("/")),
    ]
    if caller.person is not None:
        holders.append(directory.people.get(caller.person))
    every = [holder.limits for holder in holders if holder is not None]
    every += [limit.limits for limit in directory.limits.values() if limit.status == "active"]
    return any(rates is not None and (rates.tpm or rates.itpm) for rates in every)
