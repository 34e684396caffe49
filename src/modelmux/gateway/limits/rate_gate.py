"""The admission step that keeps requests within the limits of their key, person, teams and model: all or none.

A request is admitted or refused in one step of the event loop, in microseconds, so a key that is at its limit delays no
other one. With ``limits.wait``, one that would be refused waits in a queue, and each look is such a step.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from modelmux.accounts.access import contact_of
from modelmux.accounts.attribution import end_user_of
from modelmux.accounts.budgets import Request, depends_on_request
from modelmux.accounts.directory import Directory
from modelmux.accounts.limit_leases import Seen
from modelmux.accounts.limits import AppliedLimit, LimitUse, limits_of, limits_of_key
from modelmux.accounts.rate_limits import seconds_until, tick_at
from modelmux.accounts.rates import Rate
from modelmux.accounts.records import Key, Person, Team
from modelmux.claude.native import let_go, read_again
from modelmux.claude.token_estimate import BYTES_PER_TOKEN
from modelmux.dialects.base import Caller, Decoded, Inbound
from modelmux.errors import CallerRateLimited
from modelmux.gateway.gates import LET_GO, apply
from modelmux.gateway.large_requests import LargeRequests
from modelmux.gateway.limits.admitted import TOKENS, Admitted, Expected, Gauge, Taken, admit, tightest
from modelmux.gateway.limits.attempt import RETRY_CONCURRENT, Attempt, Look, Tools
from modelmux.gateway.limits.limit_queue import POLL, LimitQueue
from modelmux.gateway.limits.refusal import hint_of, message_of
from modelmux.gateway.limits.usual_output import UsualOutput
from modelmux.gateway.metering.entry_of import row_tags
from modelmux.routing.model import Route
from modelmux.runtime import Runtime
from modelmux.store.counters.base import Counters

#: Sets of limits that are remembered.
_MANY: Final = 100_000
_OPERATOR: Final = "the operator of this gateway"
#: Seconds that a request needs at least for its call: its wait ends so much before its deadline.
_SPARE: Final = 0.1


class Waits(NamedTuple):
    """How requests wait for room.

    :param seconds: for which one does. :param most: how many do. :param most_bytes: returns how many bytes of bodies.
    :param total: seconds of a request whose model is not known yet. :param large: for requests that take long.
    """

    queue: LimitQueue
    seconds: float
    most: int
    most_bytes: Callable[[], float]
    total: float
    large: LargeRequests


class RateGate:
    """A ``Gate``; one for each configuration.

    :param directory: returns that of now. :param outputs: how long replies to keys usually are.
    :param end_user_headers: see ``Rules``.
    :param waits: None if a request that has no room is refused at once.
    :ivar waits: whether one waits.
    """

    def __init__(
        self,
        counters: Counters,
        outputs: UsualOutput,
        directory: Callable[[], Directory],
        runtime: Runtime,
        end_user_headers: Sequence[bytes] = (),
        waits: Waits | None = None,
    ) -> None:
        self._waits, self.waits = waits, waits is not None
        self._tools = Tools(counters, runtime.clock, self._error, directory)
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
        gauges = self._applied(inbound, decoded, route)
        if not gauges:
            return None
        if self._waits is not None:
            return await self._in_turn(self._waits, inbound, decoded, route)
        return self._admit(gauges, inbound, decoded, route)

    def _applied(self, inbound: Inbound, decoded: Decoded, route: Route) -> tuple[Gauge, ...]:
        """The limits that apply to a request now."""
        directory = self._latest()
        if self._depends:
            return self._gauges(directory, inbound, decoded, route)
        caller = inbound.caller  # as it was when the request began: its key may have another team by now
        known = (caller.owner, caller.team, caller.person, route.card.id, route.name)
        cached = self._known.get(known)
        if cached is None:
            if len(self._known) >= _MANY:
                self._known.clear()
            cached = self._known[known] = self._gauges(directory, inbound, decoded, route)
        return cached

    async def _in_turn(self, waits: Waits, inbound: Inbound, decoded: Decoded, route: Route) -> Admitted:
        """Wait for room, without what was decoded of a large request. :raises CallerRateLimited:"""
        native, rest = decoded.native, None
        if native is not None and len(native.body) >= LET_GO:
            rest = functools.partial(apply, waits.large, let_go, native, is_costly=decoded.is_costly)
        find = functools.partial(self._applied, inbound, decoded, route)
        expected = self._expected(inbound, decoded, route)
        attempt = Attempt(self._tools, find, expected, inbound, decoded.body_bytes, rest)
        seconds = min(waits.seconds - decoded.waited, self._time_left(inbound, route.timeouts.total))
        admitted = await waits.queue.admit(attempt, seconds, waits.most, waits.most_bytes())
        if native is not None and rest is not None and not native.content:
            try:
                await apply(waits.large, read_again, native, is_costly=decoded.is_costly)
            except BaseException:
                await self.leave(inbound, admitted)
                raise
        return admitted

    def _time_left(self, inbound: Inbound, total: float) -> float:
        """Seconds for which it may wait and have time for its call."""
        return inbound.received_at + min(total, inbound.timeout) - self._clock() - _SPARE

    async def leave(self, inbound: Inbound, entered: Admitted | None) -> None:
        del inbound
        if entered is not None:
            entered.leave()
            if not entered.is_settled:  # another gate has refused it, or its client has left the queue
                entered.give_back(self._counters, tick_at(self._clock()))
            if self._waits is not None and self._waits.queue.waiting:
                self._waits.queue.released([gauge.name for gauge, _, _ in entered.taken])

    def check(self, inbound: Inbound, size: int) -> Callable[[], Awaitable[object]] | None:
        """See ``Limits``: the limits that apply whatever is asked for, of its key, person and teams."""
        gauges, waits = self._of_caller(inbound), self._waits
        if waits is not None and gauges:
            # Nothing is taken: who looked decodes the request first, so the next one of the line waits a bit longer.
            attempt = Look(self._tools, functools.partial(self._of_caller, inbound), _NOTHING, inbound, size)
            seconds = min(waits.seconds, self._time_left(inbound, waits.total))
            return functools.partial(waits.queue.admit, attempt, seconds, waits.most, waits.most_bytes(), POLL)
        self._looked_at(gauges, _NOTHING, tick_at(self._clock()), inbound)
        return None

    def _of_caller(self, inbound: Inbound) -> list[Gauge]:
        """The limits that apply whatever is asked for, without those of tokens."""
        request = _request_of(inbound.caller)
        return [
            gauge
            for applied in limits_of(self._latest(), request)
            if applied.holder != "limit"
            for gauge in _gauges_of(applied)
            if gauge.rate not in TOKENS
        ]

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
                seen = counter.seen(limit, 0, tick, at_once=rate == "concurrent")
                uses.append(LimitUse(applied, rate, seen.limit, max(0, seen.used)))
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
        expected = self._expected_by(gauges, inbound, decoded, route)
        return admit(self._looked_at(gauges, expected, tick, inbound), expected, tick)

    def _expected_by(self, gauges: Sequence[Gauge], inbound: Inbound, decoded: Decoded, route: Route) -> Expected:
        """Nothing, if none of the limits is one of tokens."""
        for gauge in gauges:
            if gauge.rate in TOKENS:
                return self._expected(inbound, decoded, route)
        return _NOTHING

    def _looked_at(self, gauges: Sequence[Gauge], expected: Expected, tick: int, inbound: Inbound) -> Sequence[Taken]:
        """Limits with their counters and what is seen. :raises CallerRateLimited: one has no room."""
        counters, taken, is_above = self._counters, [], False
        for gauge in gauges:
            rate = gauge.rate
            counter = gauge.counter(counters, tick)
            needed = expected.needed(rate)
            seen = counter.seen(gauge.limit, needed, tick, at_once=rate == "concurrent")
            if needed > seen.free and not seen.fits(needed):
                is_above = True
            taken.append((gauge, counter, seen))
        if is_above:
            raise self._refusal(taken, expected, tick, inbound)
        return taken

    def _expected(self, inbound: Inbound, decoded: Decoded, route: Route) -> Expected:
        card = route.card
        prompt = int(decoded.prompt_bytes / BYTES_PER_TOKEN[card.tokenizer])
        output = min(_max_tokens(decoded) or card.max_output, self._outputs.of(inbound.caller.owner))
        return Expected(min(prompt, card.context_window), output)

    def _refusal(self, taken: Sequence[Taken], expected: Expected, tick: int, inbound: Inbound) -> CallerRateLimited:
        """Of the limits that are reached, it names the one that has room last."""
        clock, refused = self._clock(), []
        for gauge, counter, seen in taken:
            needed = expected.needed(gauge.rate)
            if seen.fits(needed):
                continue
            counter.refused(needed)
            if gauge.rate == "concurrent":
                seconds = RETRY_CONCURRENT
            else:
                seconds = seconds_until(counter.ticks_until_fits(seen, needed, tick), clock)
            refused.append((seconds, gauge, seen, needed))
        return self._error(refused, taken, tick, inbound)

    def _error(
        self,
        refused: Sequence[tuple[float, Gauge, Seen, int]],
        taken: Sequence[Taken],
        tick: int,
        inbound: Inbound,
        *,
        is_behind: bool = False,
    ) -> CallerRateLimited:
        """:param refused: seconds until there is room, and what has none. :param is_behind: others wait for it."""
        clock = self._clock()
        seconds, gauge, seen, needed = max(refused, key=lambda one: one[0])
        error = CallerRateLimited(
            message_of(gauge.applied, gauge.rate, seen, needed, is_behind=is_behind),
            retry_after=seconds,
            rate=gauge.rate,
            hint=hint_of(gauge.rate, seconds, self._contact(inbound.caller)),
        )
        error.limits = self._states(taken, tick, clock)
        return error

    def _states(self, taken: Sequence[Taken], tick: int, clock: float) -> Sequence[Any]:
        rates = [(gauge, counter, seen) for gauge, counter, seen in taken if gauge.rate != "concurrent"]
        ticks = max((counter.ticks_until_unused(tick) for _, counter, _ in rates), default=0)
        left = [(gauge.rate, seen.limit, seen.used) for gauge, _, seen in rates]
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
